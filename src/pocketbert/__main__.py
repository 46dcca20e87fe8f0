"""``python -m pocketbert`` is the ``pocketbert`` command."""

from pocketbert.command.cli import main

main()
