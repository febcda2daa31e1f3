"""Build text datasets from crystal databases."""

from curate.record import Description, StructureRecord

__all__ = ["Description", "StructureRecord"]
__version__ = "1.0.0"
