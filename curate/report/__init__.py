"""An HTML page that shows a dataset and opens from disk without a network."""
