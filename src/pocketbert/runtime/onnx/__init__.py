"""Plans as ONNX graphs, in memory or in a file, and the runner of ONNX Runtime."""
