"""Parameters folded into few operations: a module per family, the heads, and the algebra that they share."""
