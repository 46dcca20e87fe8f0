"""Plans in int8: centered, equalized and rounded weights, and the checkpoint folder that holds them."""
