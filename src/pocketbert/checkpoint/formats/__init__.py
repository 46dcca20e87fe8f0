"""One reader per format of weights; none runs code from a file."""
