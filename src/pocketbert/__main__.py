"""``python -m pocketbert`` is the ``pocketbert`` command."""

from pocketbert.cli import main

main()
