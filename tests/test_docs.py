"""README, pages and notebooks: commands parse, links lead somewhere, figures are those that were measured."""

import json
import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import code_tables
import measured_tables
import pytest
import tyro

from curate.cli import OTHER_COMMANDS
from curate.config import BuildConfig, build_flags
from model import cli
from model.presets import with_preset

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
README = ROOT / "README.md"
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))

FENCE = re.compile(r"^```(?:bash|sh)?\n(.*?)^```", re.M | re.S)


def commands_of(text: str) -> list[str]:
    """The commands of `curate` and `crysmmnet` in fenced blocks; those with words left out are not."""
    lines = "\n".join(FENCE.findall(text)).replace("\\\n", " ").splitlines()
    found = (line.strip().removeprefix("$ ") for line in lines)
    commands = [line for line in found if re.match(r"(\w+=\S+ )?(curate|crysmmnet) [a-z]", line)]
    return [line for line in commands if "…" not in line.split("=", 1)[-1] and "--help" not in line]


def parse(command: str) -> object:
    """The settings that a command is parsed into."""
    words = shlex.split(command, comments=True)
    while "=" in words[0]:
        words.pop(0)
    if words[:2] == ["crysmmnet", "train"] and words[3].startswith("prepared/"):
        words += ["--target", "x"]  # the prepared folder brings it
    if words[0] == "crysmmnet":
        return tyro.cli(cli.Command, args=with_preset(words[1:]))
    if words[1] == "build":
        return tyro.cli(build_flags(words[2:]), args=words[2:])
    return tyro.cli(OTHER_COMMANDS, args=words[1:])


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_the_commands_of_every_page_parse(page, monkeypatch):
    monkeypatch.setenv("seed", "1")
    for command in commands_of(page.read_text()):
        config = parse(command.replace("$seed", "1").replace("$SLURM_ARRAY_TASK_ID", "0"))
        assert config is not None, command


def test_commands_are_found_and_a_wrong_flag_is_noticed():
    assert isinstance(
        parse("A=b curate build --db jarvis --sample --out runs/x  # why"), BuildConfig
    )
    assert len(commands_of((DOCS / "tutorials" / "database.md").read_text())) >= 4
    with pytest.raises(SystemExit):
        parse("crysmmnet predict models/x a.cif --no-such-flag")


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_links_lead_to_files_that_exist(page):
    for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_links_lead_to_headings_that_exist(page):
    """What `mkdocs build --strict` does for the site, for the README too."""
    for link, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", page.read_text()):
        target = (page.parent / link).read_text() if link else page.read_text()
        headings = re.findall(r"^#+ (.+)$", target, re.M)
        slugs = {
            re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in headings
        }
        made = "{=" in target or ":::" in target  # its headings come when the site is built
        assert made or anchor in slugs, f"{page.name}: {link}#{anchor}"


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_addresses_elsewhere_are_well_formed(page):
    for address in re.findall(r"\]\((https?:[^)]*)\)|<(https?:[^>]*)>", page.read_text()):
        parts = urlsplit("".join(address))
        assert parts.scheme == "https" and re.fullmatch(r"[\w-]+(\.[\w-]+)+", parts.netloc)
        assert re.fullmatch(r"[\w./~%:+=-]*", parts.path), parts.path


def test_the_readme_is_short_and_its_figures_are_those_of_the_results():
    text = README.read_text()
    assert len(text.splitlines()) <= 150
    assert measured_tables.answers_table() in text
    ratio = measured_tables.figure("equality.json", "ratio", "total", shown=".0f")
    assert f"{ratio} times sooner" in text.replace("\n", " ")


def test_the_targets_that_the_readme_names_exist_and_run_in_ci():
    makefile, ci = (ROOT / "Makefile").read_text(), (ROOT / ".ci" / "run").read_text()
    targets = set(re.findall(r"`make ([a-z-]+)`", README.read_text()))
    assert {"lint", "test", "docs", "examples"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.M), target
        assert target in {"demo", "attack", "bench"} or re.search(
            rf"^run make {target}\b(?!-)", ci, re.M
        ), target


def test_a_figure_whose_file_is_gone_fails():
    with pytest.raises(FileNotFoundError):
        measured_tables.figure("no-such-file.json", "total")
    with pytest.raises(KeyError):
        measured_tables.figure("equality.json", "ratio", "no such figure")


@pytest.mark.parametrize("program", ["curate", "crysmmnet"])
def test_the_reference_has_every_command_and_no_place_of_this_machine(program):
    page = code_tables.commands(program)
    own = OTHER_COMMANDS if program == "curate" else cli.Command
    names = code_tables.subcommands(code_tables.parser_of(own))
    assert names
    for name in names:
        assert f"## {program} {name}\n" in page
    assert "`--out`" in page
    assert str(Path.home()) not in page
    assert str(ROOT) not in page


def test_the_example_of_the_formats_page_is_whole():
    shown = code_tables.condensed_example()
    condensed = json.loads(shown[len("```json\n") : shown.index("\n```")])
    page = (DOCS / "reference" / "formats.md").read_text()
    section = page[page.index("condensed_example") : page.index("## The model folder")]
    assert set(condensed) <= set(re.findall(r"`(\w+)`", section))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_have_no_outputs(path):
    cells = json.loads(path.read_text())["cells"]
    assert cells[0]["cell_type"] == "markdown"
    for cell in cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
