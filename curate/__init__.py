"""A crystal database in, a text dataset out."""

from curate.record import Description, StructureRecord

__all__ = ["Description", "StructureRecord"]
__version__ = "0.1.0"
