"""A dataset in, one HTML page to look at out; it opens from disk without a network."""
