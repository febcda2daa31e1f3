"""Cards for datasets and models: Markdown templates, filled only from a run's own files."""
