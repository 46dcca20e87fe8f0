"""Runners of a program: the native CPU engine, and how many threads it may use."""
