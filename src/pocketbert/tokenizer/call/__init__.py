"""A call of a tokenizer: its arguments, padding, truncation, and the rows that it returns."""
