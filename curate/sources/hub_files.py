"""Which files of a dataset on the Hub hold the rows of one config and split."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from fsspec.utils import glob_translate

from curate.errors import InputError

DEFAULT = "default"
CONVERTED = "refs/convert/parquet"  # the Hub's own copy of most datasets
PICKLES = {".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib", ".npy", ".npz", ".h5"}
PICKLES |= {".lmdb", ".mdb", ".ckpt"}
ASE = ".aselmdb"
SPLITS = {  # words by which a file without a card's help tells its split
    "train": {"train", "training"},
    "validation": {"validation", "valid", "val", "dev"},
    "test": {"test", "testing", "eval", "evaluation"},
}


@dataclass(frozen=True)
class DatasetFiles:
    """The files of one config and split."""

    config: str
    paths: tuple[str, ...]  # sorted, in the repository


def data_files(
    name: str, paths: Sequence[str], card: Mapping[str, Any], config: str | None, split: str
) -> DatasetFiles:
    """The Parquet files of one config and split, by the dataset's card or by their names.

    Args:
        name: OWNER/NAME of the dataset.
        paths: All files of the repository.
        card: The YAML head of its card.
        config: Which config; None for the only one, or the default one.
        split: Which split.

    Raises:
        InputError: There is no such config or split, or its rows are in files that are not read.
    """
    if script := [path for path in paths if path == f"{name.split('/')[1]}.py"]:
        raise InputError(
            f"{name} is a dataset with a script, {script[0]}, which is not run; the Hub's own copy in "
            f"Parquet, where it has one, is read with --revision {CONVERTED}"
        )
    configs = configs_of(card)
    if configs:
        chosen = choose(name, configs, config)
        patterns = configs[chosen].get(split)
        if patterns is None:
            known = ", ".join(sorted(configs[chosen])) or "none"
            raise InputError(
                f"{name}, config {chosen} has no split {split!r}; --split takes {known}"
            )
        found = [path for path in paths if any(pattern.match(path) for pattern in patterns)]
    else:
        chosen = config or DEFAULT
        found = unlisted(name, paths, config, split)
    if others := [path for path in found if PurePosixPath(path).suffix.lower() != ".parquet"]:
        raise InputError(f"{name} has its rows in {others[0]}: {why_not(others[0])}")
    if not found:
        raise InputError(f"{name} has no file for config {chosen}, split {split}, at this revision")
    return DatasetFiles(chosen, tuple(sorted(found)))


def configs_of(card: Mapping[str, Any]) -> dict[str, dict[str, list[re.Pattern]]]:
    """The patterns of a card's `configs`, by config and split; empty where the card has none that can be
    read."""
    configs: dict[str, dict[str, list[re.Pattern]]] = {}
    listed = card.get("configs")
    for entry in listed if isinstance(listed, list) else ():
        if not isinstance(entry, Mapping) or not isinstance(entry.get("config_name"), str):
            continue
        files = entry.get("data_files")
        folder = entry.get("data_dir")
        prefix = f"{folder.strip('/')}/" if isinstance(folder, str) else ""
        if files is None and prefix:
            files = "**/*.parquet"
        by_split: dict[str, list[re.Pattern]] = {}
        pairs = files if isinstance(files, list) else [files]
        for pair in pairs:
            named = pair if isinstance(pair, Mapping) else {"split": "train", "path": pair}
            split, said = named.get("split"), named.get("path")
            for pattern in said if isinstance(said, list) else [said]:
                if isinstance(split, str) and isinstance(pattern, str) and len(pattern) < 1000:
                    translated = glob_translate(prefix + pattern.removeprefix("./"))
                    by_split.setdefault(split, []).append(re.compile(translated))
        configs[entry["config_name"]] = by_split
        if entry.get("default") is True:
            configs.setdefault(DEFAULT, by_split)
    return configs


def choose(name: str, configs: Iterable[str], config: str | None) -> str:
    """The config that is asked for; without one, the only or the default one."""
    known = list(configs)
    if config is None:
        config = known[0] if len(known) == 1 else DEFAULT
        if config not in known:
            raise InputError(
                f"{name} has the configs {', '.join(sorted(known))}; choose with --config"
            )
    if config not in known:
        raise InputError(
            f"{name} has no config {config!r}; --config takes {', '.join(sorted(known))}"
        )
    return config


def unlisted(name: str, paths: Sequence[str], config: str | None, split: str) -> list[str]:
    """The Parquet files of a dataset whose card lists none: those below the config's folder whose name,
    or a folder of theirs, has the split's word; for `train` all, where no name has any split's."""
    parquet = [path for path in paths if path.lower().endswith(".parquet")]
    if not parquet:
        odd = [path for path in paths if PurePosixPath(path).suffix.lower() in {*PICKLES, ASE}]
        some = odd or [path for path in paths if not path.startswith((".", "README"))]
        what = f"; it has {some[0]}: {why_not(some[0])}" if some else ""
        raise InputError(f"{name} has no Parquet files{what}")
    if config is not None:
        parquet = [path for path in parquet if path.startswith(f"{config}/")]
        if not parquet:
            raise InputError(
                f"{name} has no config {config!r}: its card lists none, and no folder has that name"
            )
    elif len(folders := {path.split("/")[0] for path in parquet if path.count("/") > 1}) > 1:
        raise InputError(
            f"{name} has the configs {', '.join(sorted(folders))}; choose with --config"
        )
    by_split = {
        known: [path for path in parquet if words & set(re.split(r"[^a-z0-9]+", path.lower()))]
        for known, words in SPLITS.items()
    }
    if split in SPLITS and (found := by_split[split]):
        return found
    if split == "train" and not any(by_split.values()):
        return parquet
    known = ", ".join(name for name, found in by_split.items() if found) or "train"
    raise InputError(f"{name} has no split {split!r}; --split takes {known}")


def why_not(path: str) -> str:
    """Why a file is not read, and what to do."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix == ASE:
        return "download it, and read it with --db ase --input FILE"
    if suffix in PICKLES:
        return "files that may hold pickles are not opened, for they can run code"
    return f"only Parquet is read; the Hub's own copy, where it has one, is read with --revision {CONVERTED}"
