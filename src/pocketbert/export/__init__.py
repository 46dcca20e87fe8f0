"""Exports: a checkpoint as a file that other engines run."""
