"""Files: names on the hub become folders, JSON from strangers, mapped tensors, files replaced as a whole."""
