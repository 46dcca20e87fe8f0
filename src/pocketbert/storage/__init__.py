"""Files: names on the hub become folders, regular files are opened, JSON from strangers read, files replaced whole."""
