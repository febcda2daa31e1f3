"""Crystal graph in, one vector a crystal out: one encoder a file."""
