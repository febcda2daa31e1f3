"""A whole table of JARVIS to the describing step: `curate` beside jarvis-tools' own loader.

    OMP_NUM_THREADS=1 python benchmarks/stream.py

A zip of the shape of `dft_3d` (76,000 entries with 64 keys: the embedded crystals again and again
under new ids) is served on loopback. `curate` downloads it, checks it, and freezes it in a run folder;
`jarvis.db.figshare.data` loads the same file, put where it keeps its downloads. Each in a process of
its own: largest resident memory of the process and CPU seconds. Writes results/stream.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from pathlib import Path

from setting import peak_gib, setting

N_ENTRIES, N_KEYS = 76_000, 64
KNOWN = ("jid", "atoms", "spg_number", "formation_energy_peratom", "optb88vdw_bandgap", "slme")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=N_ENTRIES)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/stream.json")
    parser.add_argument("--only", nargs=2, metavar=("WAY", "PLACE"))
    arguments = parser.parse_args()
    if arguments.only:
        way, place = arguments.only
        started = time.process_time()
        count = {"curate": by_curate, "jarvis-tools": by_jarvis_tools}[way](place)
        seconds = round(time.process_time() - started, 1)
        print(json.dumps({"entries": count, "cpu_seconds": seconds, "peak_gib": peak_gib()}))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = write_zip(Path(folder), arguments.n)
        found = {"zip_mib": round(path.stat().st_size / 2**20, 1)}
        handler = partial(SimpleHTTPRequestHandler, directory=folder)
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            found["curate"] = run("curate", f"http://127.0.0.1:{server.server_port}")
            server.shutdown()
        found["jarvis-tools"] = run("jarvis-tools", folder)
    ratio = found["jarvis-tools"]["peak_gib"] / found["curate"]["peak_gib"]
    result = {"times_less_memory": round(ratio, 1), **found, "setting": setting()}
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def run(way: str, place: str) -> dict:
    command = [sys.executable, __file__, "--only", way, place]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def write_zip(folder: Path, n: int) -> Path:
    """The zip under its figshare number, and under the name jarvis-tools looks for."""
    from curate.sources.jarvis import TABLES, known_file
    from curate.sources.sample import Sample

    url, member = known_file(TABLES["dft_3d_2022"])
    path = folder / url.rsplit("/", 1)[1]
    records = list(Sample().records())
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(member, "w", force_zip64=True) as file,
    ):
        for number, record in zip(range(n), cycle(records), strict=False):
            file.write(b"[" if number == 0 else b", ")
            file.write(json.dumps(entry_of(record, number)).encode())
        file.write(b"]")
    (folder / f"{member}.zip").symlink_to(path)
    return path


def entry_of(record, number: int) -> dict:
    """An entry as the database has it: half of its values are "na"."""
    structure = record.to_pymatgen()
    known = {
        "jid": f"JVASP-{number}",
        "spg_number": str(record.spacegroup_number),
        "atoms": {
            "lattice_mat": structure.lattice.matrix.tolist(),
            "coords": structure.frac_coords.tolist(),
            "elements": list(record.species_at_sites),
            "abc": list(structure.lattice.abc),
            "angles": list(structure.lattice.angles),
            "cartesian": False,
            "props": [""] * record.nsites,
        },
    }
    for name in KNOWN[3:]:
        value = record.properties.get(name)
        known[name] = "na" if value is None else value
    others = {f"property_{i}": "na" if i % 2 else 0.1 * i for i in range(N_KEYS - len(known))}
    return known | others


def by_curate(mirror: str) -> int:
    from curate.build import settings_record
    from curate.config import BuildConfig
    from curate.run.folder import Run
    from curate.sources.jarvis import Jarvis
    from curate.work.freeze import fetch

    with tempfile.TemporaryDirectory() as folder:
        config = BuildConfig(out=Path(folder) / "run")
        source = Jarvis("dft_3d_2022", mirror=mirror, cache=Path(folder) / "cache")
        run = Run(config.out)
        with run.lock():
            run.check_settings(settings_record(config, source))
            fetch(run, source, config, None, watch=lambda progress: None)
        assert run.fetched is not None
        return run.fetched["entries"]


def by_jarvis_tools(store: str) -> int:
    from jarvis.db.figshare import data

    return len(data("dft_3d_2022", store_dir=store))


if __name__ == "__main__":
    main()
