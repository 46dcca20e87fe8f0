"""WordPiece (Wu et al. 2016), in Python and on the ``tokenizers`` library."""
