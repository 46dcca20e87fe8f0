"""What a training run can set: typed, checked, read from a file and written beside the model; no framework."""
