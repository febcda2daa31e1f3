"""One version everywhere, and a CITATION.cff that citation managers read (Citation File Format 1.2.0)."""

import re
import tomllib
from pathlib import Path

import yaml

from curate import __version__

ROOT = Path(__file__).parents[1]
REQUIRED = {"cff-version", "message", "title", "authors"}
ALLOWED = REQUIRED | {
    *(
        "abstract",
        "commit",
        "contact",
        "date-released",
        "doi",
        "identifiers",
        "keywords",
        "license",
    ),
    *("license-url", "preferred-citation", "references", "repository", "repository-artifact"),
    *("repository-code", "type", "url", "version"),
}
OF_REFERENCE = {  # of those that a paper in proceedings needs
    *("type", "title", "authors", "collection-title", "conference", "doi", "editors", "end"),
    *("month", "notes", "pages", "publisher", "start", "url", "volume", "year"),
}
OF_PERSON = {"family-names", "given-names", "name-particle", "name-suffix", "orcid", "affiliation"}
OF_ENTITY = {"name", "website", "email", "address", "city", "country", "orcid"}


def citation() -> dict:
    return yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "curate.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    assert citation()["version"] == __version__
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest is not None and newest[1] == __version__


def test_the_citation_is_one_that_others_read():
    found = citation()
    assert set(found) >= REQUIRED and set(found) <= ALLOWED
    assert (found["cff-version"], found["type"]) == ("1.2.0", "software")
    assert isinstance(found["version"], str)  # 1.0 without quotes would be a number
    assert found["license"] == "MIT" and "MIT" in (ROOT / "LICENSE").read_text()
    paper = found["preferred-citation"]
    assert set(paper) <= OF_REFERENCE and {"type", "title", "authors"} <= set(paper)
    assert paper["type"] in {"article", "conference-paper", "book", "report", "thesis"}
    assert all(isinstance(paper[key], int) for key in ("year", "volume", "start", "end"))
    assert paper["start"] < paper["end"] and paper["publisher"]["name"]
    for author in (*found["authors"], *paper["authors"]):
        assert set(author) <= OF_PERSON or ("name" in author and set(author) <= OF_ENTITY)


def test_readme_and_citation_name_the_same_paper():
    paper, readme = citation()["preferred-citation"], (ROOT / "README.md").read_text()
    assert paper["title"] in readme
    names = [f"{author['family-names']}, {author['given-names']}" for author in paper["authors"]]
    assert " and ".join(names) in readme
    assert f"pages = {{{paper['start']}--{paper['end']}}}" in readme
    assert f"volume = {{{paper['volume']}}}, year = {{{paper['year']}}}" in readme
