"""What a model is, without any framework: configurations, parameters, outputs, and what may be put in."""
