"""The ``pocketbert`` command."""
