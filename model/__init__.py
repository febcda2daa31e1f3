"""A text dataset of crystals in, property predictions out."""
