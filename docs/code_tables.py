"""Tables of the documentation that are made from the code: commands, columns, what can be chosen.

A page writes `{= name(arguments) =}` where one stands.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import tyro
from measured_tables import table

ROOT = Path(__file__).parents[1]
PROCESSORS = "the processors of this machine"


def commands(program: str) -> str:
    """Every command of `curate` or `crysmmnet` with its flags, from its parser."""
    if program == "curate":
        from curate.cli import OTHER_COMMANDS
        from curate.config import build_flags

        build: Any = build_flags(["--help"])  # the common flags; those of sources follow
        parser = parser_of(Annotated[build, tyro.conf.subcommand("build")] | OTHER_COMMANDS)
    else:
        from model import cli

        parser = parser_of(cli.Command)
    sections = []
    for name, sub in subcommands(parser).items():
        sections.append(f"## {program} {name}\n\n{described(sub)}")
        if (program, name) == ("curate", "build"):
            sections += source_sections()
    return "\n\n".join(sections)


def parser_of(settings: Any) -> argparse.ArgumentParser:
    """The parser that tyro makes of settings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return tyro.extras.get_parser(settings)


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of its commands, by name."""
    for action in parser._actions:
        if isinstance(action.choices, dict):
            return dict(action.choices)
    raise ValueError("the parser has no commands")


def described(parser: argparse.ArgumentParser, leave_out: Iterable[str] = ()) -> str:
    """What a command does, and a table of its arguments."""
    rows = argument_rows(parser, set(leave_out))
    text = (parser.description or "").strip()
    return text + (
        "\n\n" + table(["argument", "value", "meaning", "default"], rows) if rows else ""
    )


def argument_rows(parser: argparse.ArgumentParser, leave_out: set[str]) -> list[list[str]]:
    """A row for each argument: name, values, meaning, default."""
    rows = []
    for action in parser._actions:
        flags = [flag for flag in action.option_strings if flag.startswith("--")]
        name = " ".join(f"`{flag}`" for flag in flags)
        if not flags:
            name = f"`{action.dest.rpartition('.')[2].upper()}`"
        if action.dest == "help" or name in leave_out:
            continue
        meaning, default = parted(action.help or "")
        rows.append([name, values_of(str(action.metavar or "")), meaning, default])
    return rows


def values_of(metavar: str) -> str:
    """What an argument takes: a kind, or the choices."""
    metavar = metavar.removeprefix("{None}|").replace("{None,", "{")
    if metavar in ("", "None"):
        return ""
    if metavar.startswith("["):  # several
        inner = re.search(r"\{(.*?)\}|[A-Z]+", metavar)
        return "any of " + values_of(inner[0]) if inner and "{" in inner[0] else "several"
    if metavar.startswith("{"):
        return ", ".join(f"`{choice}`" for choice in metavar.strip("{}").split(","))
    return metavar.lower()


def parted(text: str) -> tuple[str, str]:
    """Meaning and default of an argument, of the help that tyro writes; no place of this machine."""
    text = text.replace(str(Path.home()), "~")
    match = re.search(r"\s*\((default: .*|required|optional|fixed to: .*)\)\s*$", text, re.S)
    if match is None:
        return text, ""
    meaning, default = text[: match.start()], match[1].removeprefix("default: ")
    if "Processes that describe side by side, one thread each" in meaning and default.isdigit():
        default = PROCESSORS
    if default in ("required", "optional", PROCESSORS):
        return meaning, default
    return meaning, f"`{default}`" if default not in ("", "None", "False") else ""


def source_sections() -> list[str]:
    """The flags that each source adds to `curate build`."""
    from curate.config import build_flags
    from curate.sources import SOURCES

    common = {row[0] for row in argument_rows(parser_of(build_flags(["--help"])), set())}
    sections = []
    for name, known in SOURCES.items():
        flags = described(parser_of(build_flags(["--db", name])), common).partition("\n\n|")
        rows = f"\n\n|{flags[2]}" if flags[2] else ""
        sections.append(f"### curate build --db {name}\n\n{sentence(known.about)}{rows}")
    return sections


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return text[:1].upper() + text[1:].rstrip(".") + "."


def columns_table(which: str) -> str:
    """Columns of a table that a run writes, from the schema.

    Args:
        which: `DATASET`, `MANIFEST`, `STRUCTURES` or `DESCRIPTIONS` of `curate.run.schema`.
    """
    from curate.run import schema

    chosen = getattr(schema, which)
    names = chosen if isinstance(chosen, tuple) else chosen.names
    rows = []
    for name in names:
        column = schema.COLUMNS[name]
        kind = re.sub(r"list<\w+: (.*)>$", r"list of \1", str(column.type))
        kind = re.sub(r"list<\w+: (.*)>$", r"list of \1", kind)
        rows.append([f"`{name}`", kind, column.unit, column.meaning])
    return table(["column", "type", "unit", "meaning"], rows)


def text_views_table() -> str:
    """What a model can read in place of the whole description."""
    from curate.describe.text_views import VIEWS
    from model.config import CONTROLS

    rows = [["`description`", "the whole text"]]
    rows += [[f"`{name}`", view.meaning] for name, view in VIEWS.items()]
    rows += [[f"`{name}`", f"control: {meaning}"] for name, meaning in CONTROLS.items()]
    return table(["`--text`", "what it is"], rows)


def encoders_table() -> str:
    """The graph networks with their published sizes."""
    from model.encoder_settings import ENCODERS, SIZES

    rows = []
    for name, settings in ENCODERS.items():
        sizes = [
            f"`--{field.name.replace('_', '-')}` {field.default}"
            for field in dataclasses.fields(settings)
            if field.name in SIZES
        ]
        rows.append([f"`{name}`", ", ".join(sizes), inspect.getdoc(settings) or ""])
    return table(["`--encoder`", "sizes", "where they are from"], rows)


def descriptors_table() -> str:
    """Numbers of a crystal that need no learning."""
    from model.descriptors import DESCRIPTORS

    rows = []
    for name, descriptor in DESCRIPTORS.items():
        doc = (inspect.getdoc(type(descriptor)) or "").split("\n\n")[0]
        needs = "extra `potential`" if descriptor.potential is not None else ""
        rows.append([f"`{name}`", len(descriptor.names), doc, needs])
    return table(["`--descriptors`", "numbers", "what they are", "needs"], rows)


def presets_table() -> str:
    """Settings that belong together."""
    from model.presets import PRESETS

    return table(
        ["`--preset`", "stands for"],
        [[f"`{name}`", f"`{flags}`"] for name, flags in PRESETS.items()],
    )


def sources_table() -> str:
    """The databases that `curate build` reads."""
    from curate.sources import SOURCES

    return table(
        ["`--db`", "reads"], [[f"`{name}`", known.about] for name, known in SOURCES.items()]
    )


def properties_table() -> str:
    """Properties that are known by name."""
    from curate.properties import BY_NAME

    rows = [[f"`{name}`", known.unit, known.level] for name, known in BY_NAME.items()]
    return table(["property", "unit", "level of theory"], rows)


def included(path: str) -> str:
    """A file of the repository, as it is."""
    return (ROOT / path).read_text(encoding="utf-8")


def condensed_example() -> str:
    """The whole condensed structure of rutile, and the text that is written of it."""
    from pymatgen.core import Lattice, Structure

    from curate import StructureRecord
    from curate.describe import describe

    places = [[0, 0, 0], [0.305, 0.305, 0]]
    cell = Lattice.tetragonal(4.594, 2.959)
    rutile = Structure.from_spacegroup("P4_2/mnm", cell, ["Ti", "O"], places)
    description = describe(StructureRecord.from_pymatgen(rutile, material_id="rutile"))
    assert description.condensed_structure is not None, description.error_message
    shown = json.dumps(json.loads(description.condensed_structure), indent=1, ensure_ascii=False)
    shown = re.sub(r"\[[^\[\]{}]*\]", lambda numbers: " ".join(numbers[0].split()), shown)
    return f"```json\n{shown}\n```\n\nand the text of it:\n\n> {description.text}"


def notebooks_table() -> str:
    """The notebooks of examples/ with their first sentence."""
    rows = []
    for path in sorted((ROOT / "examples").glob("*.ipynb")):
        first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]
        title, _, text = "".join(first).partition("\n")
        rows.append([f"`{path.name}`", title.lstrip("# "), text.strip().split("\n\n")[0]])
    return table(["notebook", "", "what it does"], rows)


def statuses_table() -> str:
    """What `status` says of a row, from the comments beside the words in `curate.record`."""
    import curate.record

    source = inspect.getsource(curate.record)
    meanings = dict(re.findall(r'^    "(\w+)",(?:  # (.*))?$', source, re.M))
    rows = [[f"`{name}`", meanings[name]] for name in curate.record.STATUSES]
    return table(["`status`", "means"], rows)
