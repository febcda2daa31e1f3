"""Find crystals by words: `SearchIndex.open(data).search("layered telluride")`."""

from model.search.index import Match, SearchIndex

__all__ = ["Match", "SearchIndex"]
