"""A task of a public benchmark: every fold, models with and without text, a blend, and what was published."""
