"""The thirteen kinds of failure, by commands, at any checkout: what each comes to there.

    python tests/attack/before.py CHECKOUT [--name NAME] [--only 3 5] [--out FILE]

`noticed`: refused in a sentence, or right in spite of it. `silent`: wrong without a word. `lost`: a sentence,
but good work or other crystals are lost by it. `traceback`, `hang`: as they say. CHECKOUT's packages are
imported from there; servers, crystals and damage are made here.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "helpers"), str(ROOT)]

LIMIT = 60.0  # s of computing, or of waiting, for each command
KINDS = {
    1: "one odd value blocks the whole dataset",
    2: "a file that stops or hangs a build",
    3: "silent corruption",
    4: "a model without some of its weights",
    5: "a kill that locks a folder",
    6: "data that imports code",
    7: "credentials sent on",
    8: "a hostile or broken service",
    9: "damaged run folders",
    10: "text from outside on the console",
    11: "tables read wrongly",
    12: "zips",
    13: "the rest",
}
TESTS = {  # that hold each kind now
    1: ["tests/attack/test_odd_values.py"],
    2: ["tests/attack/test_reading.py", "tests/attack/test_app.py"],
    3: ["tests/attack/test_integrity.py"],
    4: ["tests/attack/test_weights.py"],
    5: ["tests/attack/test_kills.py"],
    6: ["tests/curate/sources/test_json_entries.py"],
    7: ["tests/curate/sources/test_mp_hostile.py", "tests/curate/hub/test_publish.py"],
    8: ["tests/curate/sources/test_optimade_hostile.py", "tests/curate/web/test_bounds.py"],
    9: ["tests/attack/test_integrity.py"],
    10: ["tests/curate/work/test_console.py", "tests/curate/report/test_report.py"],
    11: ["tests/curate/sources/test_targets.py"],
    12: ["tests/curate/sources/test_paper_corpus.py"],
    13: ["tests/attack/test_weights.py", "tests/attack/test_integrity.py"],
}
ATOMS = {
    "lattice_mat": [[3.6, 0, 0], [0, 3.6, 0], [0, 0, 3.6]],
    "coords": [[0, 0, 0]],
    "elements": ["Na"],
}
CUT = '1\nLattice="3 0 0 0 3 0 0 0 3"\nNa 0 0 0\n4\nLat'
KNOWN = "formation_energy_peratom"  # a property whose unit every version knows
KILLER = """
import os, runpy, signal, sys
event, ending = sys.argv[1:3]
sys.argv = sys.argv[3:]
def watch(name, args):
    if name == "os.rename" and event == "rename" and os.fspath(args[1]).endswith(ending):
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "open" and event == "open" and str(args[0]).endswith(ending) and "w" in str(args[1]):
        os.close(os.open(args[0], os.O_CREAT | os.O_TRUNC | os.O_WRONLY))
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
TRAIN = (
    f"--target {KNOWN} --modality graph --epochs 2 --width 16 --alignn-layers 1 --gcn-layers 1"
    " --embedding-width 8 --projection-width 8 --batch-size 8 --cache cache"
)
SAMPLE = "curate build --db jarvis --sample --limit 20 --shard-size 5 --workers 1 --out"


@dataclass(frozen=True)
class Done:
    """A command that ended, or was ended."""

    code: int | None  # None where it was ended after the limit
    said: str


class Place:
    """A folder to work in, and commands of a checkout there."""

    def __init__(self, checkout: Path, folder: Path):
        self.checkout, self.folder = checkout.resolve(), folder
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("HF_", "MP_"))},
            "PYTHONPATH": str(self.checkout),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "NO_COLOR": "1",
            "COLUMNS": "300",
        }

    def path(self, name: str) -> Path:
        return self.folder / name

    def python(self, *words: str, limit: float = LIMIT, **environment: str) -> Done:
        """Python with these words, in the folder; its whole group is ended after the limit.

        The limit is of computing or of waiting, each by itself: on a busy machine neither passes while
        others have the processors.
        """
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                [sys.executable, *words],
                cwd=self.folder,
                env={**self.environment, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            waited, spent = 0.0, 0.0
            while process.poll() is None and max(waited, spent) < limit:
                began = time.monotonic()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.5)
                spent, is_working = effort(process.pid)
                waited += 0 if is_working else time.monotonic() - began
            code = process.poll()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            output.seek(0)
            return Done(code, output.read().decode(errors="surrogateescape"))

    def run(self, command: str, **more: Any) -> Done:
        """`curate …` or `model …`, split at blanks."""
        return self.python("-m", *command.split(), **more)

    def killed(self, event: str, ending: str, command: str) -> Done:
        """The command, ended at a file event."""
        return self.python("-c", KILLER, event, ending, *command.split())

    def rows(self, run: str = "run") -> dict[str, dict[str, Any]]:
        """The rows of a run's dataset by their ids; none where it can't be read."""
        try:
            table = pq.read_table(self.path(run) / "dataset" / "default")
        except (OSError, pa.ArrowException):
            return {}
        return {row["material_id"]: row for row in table.to_pylist()}

    def copy(self, name: str, to: str) -> Path:
        shutil.rmtree(self.path(to), ignore_errors=True)
        return Path(shutil.copytree(self.path(name), self.path(to), symlinks=True))


def effort(number: int) -> tuple[float, bool]:
    """Seconds that a process and those below it computed, and whether any of them would go on."""
    spent, is_working = 0.0, False
    with contextlib.suppress(psutil.Error):
        top = psutil.Process(number)
        for process in (top, *top.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                spent += times.user + times.system + times.children_user
                is_working |= process.status() in (psutil.STATUS_RUNNING, psutil.STATUS_DISK_SLEEP)
    return spent, is_working


Result = tuple[str, str, str]  # what was tried, what came of it, the last line that was said


def judged(title: str, done: Done, is_right: bool, refused: str = "noticed") -> Result:
    """What a command came to: `refused` is what a sentence with exit code 2 is worth."""
    lines = done.said.strip().splitlines()
    last = lines[-1][:160] if lines else ""
    if done.code is None:
        return title, "hang", "ended after the limit"
    if "Traceback (most recent call last)" in done.said:
        return title, "traceback", last
    if done.code == 2:
        return title, refused, last
    if is_right:
        return title, "noticed", "" if done.code == 0 else last
    return title, "silent", last


def entry(name: str, **more: Any) -> str:
    return json.dumps({"material_id": name, "atoms": ATOMS, **more})


def odd_values(at: Place) -> Iterator[Result]:
    for title, more in (
        ("a property beyond 2^63", {"calc_id": 2**63}),
        ("a property called split_mine", {"split_mine": "train"}),
    ):
        at.path("odd.jsonl").write_text(entry("good") + "\n" + entry("odd", **more) + "\n")
        done = at.run("curate build --db files --input odd.jsonl --workers 1 --out odd")
        yield judged(title, done, set(at.rows("odd")) == {"good", "odd"})
        shutil.rmtree(at.path("odd"), ignore_errors=True)


def symops_cif() -> str:
    """A cell of 190 times as many atoms as it lists."""
    lines = ["data_x", *(f"_cell_length_{x} 50" for x in "abc")]
    lines += [f"_cell_angle_{x} 90" for x in ("alpha", "beta", "gamma")]
    lines += ["loop_", "_symmetry_equiv_pos_as_xyz"]
    lines += [f"'x+{n}/9973, y+{n}/9967, z'" for n in range(190)]
    lines += ["loop_", *(f"_atom_site_{x}" for x in ("label", "fract_x", "fract_y", "fract_z"))]
    lines += [f"Na{n} 0.{n:03d} 0.{n * 7 % 1000:03d} 0.5" for n in range(120)]
    return "\n".join(lines) + "\n"


def files_among_good_ones(at: Place) -> Iterator[Result]:
    cell = '5.6 0 0 0 5.6 0 0 0 5.6"\n'
    whole = f'2\nLattice="{cell}Na 0 0 0\nCl 2.8 2.8 2.8\n'
    for title, name, content in (
        ("an extxyz cut after its first frame", "cut.extxyz", CUT),
        ("a CIF that expands to 22,800 atoms", "wide.cif", symops_cif()),
    ):
        folder = at.path("in")
        folder.mkdir()
        (folder / "good.extxyz").write_text(whole)
        (folder / name).write_text(content)
        command = "curate build --db files --input in --workers 1 --timeout 5 --out files"
        done = at.run(command, limit=30)
        is_right = any("good" in name for name in at.rows("files"))
        yield judged(title, done, is_right, refused="lost")
        shutil.rmtree(folder)
        shutil.rmtree(at.path("files"), ignore_errors=True)


def corruption(at: Place, n: int = 12) -> Iterator[Result]:
    """Single bits of a finished run, and two of its shards in each other's place."""
    before, chance = at.rows(), random.Random(1)
    for number in range(n):
        run = at.copy("run", "flipped")
        part = "dataset/default" if number % 2 else "descriptions"
        path = chance.choice(sorted((run / part).glob("*.parquet")))
        data = bytearray(path.read_bytes())
        bit = chance.randrange(8 * len(data))
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        done = at.run(f"{SAMPLE} flipped")
        now = at.rows("flipped")
        yield judged(f"a bit of {part.split('/')[0]}", done, now == before or not now)
    run = at.copy("run", "swapped")
    first, second = (run / "descriptions" / f"0000{number}.parquet" for number in (0, 1))
    other = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(other)
    done = at.run(f"{SAMPLE} swapped")
    yield judged("two shards swapped", done, at.rows("swapped") == before)


def weights(at: Place) -> Iterator[Result]:
    from safetensors.torch import load_file, save_file

    model = at.copy("model", "headless")
    kept = load_file(model / "model.safetensors")
    save_file(
        {name: value for name, value in kept.items() if not name.startswith("head")},
        model / "model.safetensors",
    )
    done = at.run("model predict headless si.cif")
    yield judged("weights of the head removed", done, False)


def kills(at: Place) -> Iterator[Result]:
    build, train = f"{SAMPLE} cut", f"model train --data run {TRAIN} --out cut"
    for title, event, ending, command in (
        ("before run.json gets its name", "rename", "run.json", build),
        ("before question.json gets its name", "rename", "question.json", train),
        ("after trainer_state.json was opened", "open", "trainer_state.json", train),
    ):
        shutil.rmtree(at.path("cut"), ignore_errors=True)
        first = at.killed(event, ending, command)
        assert first.code == -signal.SIGKILL, (title, first)
        done = at.run(command)
        is_right = at.path("cut/metrics.json").exists() or at.rows("cut") == at.rows()
        yield judged(f"killed {title}", done, is_right, refused="lost")


def named_module(at: Place) -> Iterator[Result]:
    at.path("innocent.py").write_text('open("imported", "w").close()\nclass X: pass\n')
    site = {"species": [{"element": "Na", "occu": 1}], "abc": [0, 0, 0]}
    site["properties"] = {"p": {"@module": "innocent", "@class": "X"}}
    cell = {"lattice": {"matrix": ATOMS["lattice_mat"]}, "sites": [site]}
    at.path("named.json").write_text(json.dumps(cell))
    done = at.run("curate build --db files --input named.json --workers 1 --out named")
    is_right = not at.path("imported").exists()
    title, outcome, said = judged("a module named in a site property", done, is_right)
    yield title, outcome if is_right else "silent", said


def credentials(at: Place) -> Iterator[Result]:
    from hub_clients import TOKEN
    from hub_server import HubServer
    from mp_entries import documents, texts
    from mp_server import KEY, MPServer
    from scripted_server import ScriptedServer, page

    def sent(other: ScriptedServer, secret: str) -> bool:
        return any(secret in value for _, told in other.requests for value in told.values())

    found = documents()
    at.path("ids.txt").write_text("mp-1\n")
    with (
        MPServer(summary=found, robocrys=texts(found)) as server,
        ScriptedServer(lambda path: page({"data": [], "meta": {"total_doc": 0}})) as other,
    ):
        target = f"http://localhost:{other.port}/materials/summary/"
        server.fail("summary", 302, times=99, location=target)
        command = "curate build --db mp --ids ids.txt --workers 1 --out mp"
        done = at.run(command, **server.environment)
        title, outcome, said = judged("a redirect of the Materials Project", done, True)
        yield title, "silent" if sent(other, KEY) else outcome, said
    with HubServer() as hub, ScriptedServer(lambda path: page([])) as other:
        hub.add_user(TOKEN, "ada")
        told = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0"}
        told |= {"HF_HOME": str(at.path("hf")), "HF_HUB_DISABLE_XET": "1"}
        assert at.run("curate push run ada/crystals", **told).code == 0
        hub.page_size, hub.next_page_at = 1, f"http://localhost:{other.port}"
        done = at.run("curate push run ada/crystals", **told)
        title, outcome, said = judged("a next page of the Hub at another host", done, True)
        yield title, "silent" if sent(other, TOKEN) else outcome, said


def services(at: Place) -> Iterator[Result]:
    from bad_answers import PAGES
    from scripted_server import Answer, ScriptedServer, page

    def answers(url: str, bad: dict[str, Answer | None], is_once: bool) -> Callable[[str], Answer]:
        def answer(path: str) -> Answer:
            start = next((known for known in PAGES if path.startswith(known)), None)
            if start is None:
                return page({}, 404)
            if start not in bad:
                return page(PAGES[start])
            given = bad.pop(start) if is_once else bad[start]
            return given or page({"data": [], "meta": {}, "links": {"next": f"{url}{path}"}})

        return answer

    evil = "x\n---\nlicense: mit\n<script>alert(1)</script>"
    info = {
        "data": {"api_version": "1.2.0"},
        "meta": {"provider": {"prefix": evil, "name": evil, "description": evil}},
    }
    cases: tuple[tuple[str, str, Answer | None], ...] = (
        ("Retry-After of 3 years", "/v1/structures", (503, {"Retry-After": "99999999"}, b"")),
        ("Retry-After of ², once", "/v1/structures", (503, {"Retry-After": "\xb2"}, b"")),
        ("an empty page whose next is itself", "/v1/structures", None),
        ("entries without attributes", "/v1/structures", page({"data": [{"id": 7}]})),
        ("a provider's name with line breaks", "/v1/info", page(info)),
    )
    for title, route, bad in cases:
        with ScriptedServer(lambda path: page({}, 404)) as server:
            server.answer = answers(server.url, {route: bad}, title.endswith("once"))
            command = f"curate build --db optimade --input {server.url} --workers 1 --out served"
            done = at.run(command)
        card = at.path("served/dataset/README.md")
        is_right = not card.exists() or "<script>" not in card.read_text()
        yield judged(title, done, is_right)
        shutil.rmtree(at.path("served"), ignore_errors=True)


def damaged_folders(at: Place) -> Iterator[Result]:
    for title, name, keep in (
        ("a truncated shard", "descriptions/00001.parquet", 200),
        ("an empty run.json", "run.json", 0),
        ("an empty structures.json", "structures.json", 0),
    ):
        run = at.copy("run", "damaged")
        (run / name).write_bytes((run / name).read_bytes()[:keep])
        for command in (
            "curate status damaged",
            "curate verify damaged --n 1",
            f"{SAMPLE} damaged",
        ):
            done = at.run(command)
            is_right = done.code != 0 or at.rows("damaged") == at.rows()
            yield judged(f"{title}, {command.split()[1]}", done, is_right)


def console(at: Place) -> Iterator[Result]:
    for title, name in (("an id of rich's marks", "[/b]"), ("an id of escapes", "a\x1b[31mred")):
        at.path("id.jsonl").write_text(entry(name) + "\n")
        for command in (
            "curate build --db files --input id.jsonl --workers 1 --out ids",
            "curate status ids",
        ):
            done = at.run(command)
            yield judged(f"{title}, {command.split()[1]}", done, "\x1b[31m" not in done.said)
        shutil.rmtree(at.path("ids"), ignore_errors=True)


def tables(at: Place) -> Iterator[Result]:
    at.path("table").mkdir()
    for name in ("m0", "m1"):
        shutil.copy(at.path("si.cif"), at.path(f"table/{name}.cif"))
    for title, content, right in (
        ("2_1 for a number", "m0,2_1\nm1,2\n", ["2_1", "2.0"]),  # a column of text, with a note
        ("a quote without its end", 'm0,"1\nm1,2\n', [1.0, 2.0]),
        ("a name twice", None, None),
    ):
        head = f"id,{KNOWN}\n" if content else f"id,{KNOWN},{KNOWN}\n"
        at.path("t.csv").write_text(head + (content or "m0,1,3\nm1,2,4\n"))
        done = at.run(
            "curate build --db files --input table --properties t.csv --workers 1 --out tables"
        )
        rows = at.rows("tables")
        found = [rows.get(name, {}).get(KNOWN) for name in ("m0", "m1")]
        yield judged(title, done, found == right)
        shutil.rmtree(at.path("tables"), ignore_errors=True)


def zips(at: Place) -> Iterator[Result]:
    from broken_zips import encrypted, garbled_data, unknown_method, wrong_checksum

    with zipfile.ZipFile(at.path("good.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        head = ",".join(f"column {number}" for number in range(6))
        row = "mp-149,Si,0.0,0.61,Si is diamond.,"
        archive.writestr("dataset/mp_2018_new/mat_text.csv", f"{head}\n{row}\n")
        archive.writestr("dataset/mp_2018_new/mp-149.cif", at.path("si.cif").read_text())
        empty = f"{head}\n"
        archive.writestr("dataset/mp_2018_small/description.csv", empty)
    for damage in (encrypted, unknown_method, wrong_checksum, garbled_data):
        at.path("bad.zip").write_bytes(damage(at.path("good.zip").read_bytes()))
        done = at.run("curate build --db crysmmnet --input bad.zip --workers 1 --out zipped")
        yield judged(damage.__name__.replace("_", " "), done, False)
        shutil.rmtree(at.path("zipped"), ignore_errors=True)


def the_rest(at: Place) -> Iterator[Result]:
    model = at.copy("model", "short")
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    yield judged("a truncated model", at.run("model predict short si.cif"), False)
    run = at.copy("run", "linked")
    at.path("precious").write_text("mine")
    lock = run / ".lock"
    lock.unlink(missing_ok=True)
    lock.symlink_to(at.path("precious"))
    done = at.run(f"{SAMPLE} linked")
    title, outcome, said = judged("a link in place of .lock", done, True)
    yield title, outcome if at.path("precious").read_text() == "mine" else "silent", said


CASES: dict[int, Callable[[Place], Iterator[Result]]] = {
    1: odd_values,
    2: files_among_good_ones,
    3: corruption,
    4: weights,
    5: kills,
    6: named_module,
    7: credentials,
    8: services,
    9: damaged_folders,
    10: console,
    11: tables,
    12: zips,
    13: the_rest,
}


OF_MODELS = {4, 13}  # kinds that need one


def prepare(at: Place, kinds: Iterable[int]) -> None:
    """A run, a crystal, and where one is needed a model, made by the checkout itself."""
    place = at.python("-c", "import curate; print(curate.__file__)").said.strip()
    assert Path(place).is_relative_to(at.checkout), place
    commands = [f"{SAMPLE} run"]
    if OF_MODELS & set(kinds):
        commands.append(f"model train --data run {TRAIN} --out model")
    for command in commands:
        done = at.run(command, limit=300)
        assert done.code == 0, done.said
    from pymatgen.core import Lattice, Structure

    silicon = Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.431), ["Si"], [[0, 0, 0]])
    silicon.to(str(at.path("si.cif")), fmt="cif")


def main() -> int:
    """0 if all was noticed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--name", help="of the commit, in the file")
    parser.add_argument("--only", nargs="*", type=int, help="kinds")
    parser.add_argument("--out", type=Path, help="JSON to add the outcomes to")
    words = parser.parse_args()
    is_noticed = True
    with tempfile.TemporaryDirectory() as name:
        at = Place(words.checkout, Path(name))
        kinds = words.only or list(CASES)
        prepare(at, kinds)
        for kind in kinds:
            rows = []
            for title, outcome, said in CASES[kind](at):
                said = said.replace(name, "…").replace(str(at.checkout), "…")
                rows.append({"what": title, "outcome": outcome, "said": said})
                is_noticed = is_noticed and outcome == "noticed"
                print(f"{kind:2} {outcome:9} {title}: {said}", flush=True)
            if words.out:
                store(words.out, words.name, at.checkout, kind, rows)
    return not is_noticed


def code_sha256(checkout: Path) -> str:
    """SHA-256 of the Python files of both packages, by their names."""
    total = hashlib.sha256()
    for package in ("curate", "model"):
        for path in sorted((checkout / package).rglob("*.py")):
            total.update(f"{path.relative_to(checkout)} ".encode() + path.read_bytes())
    return total.hexdigest()


def store(path: Path, commit: str, checkout: Path, kind: int, rows: list[dict[str, str]]) -> None:
    """Put the outcomes of a kind at a commit into the file."""
    stored = json.loads(path.read_text()) if path.exists() else {"commits": {}}
    stored.setdefault("code", {})[commit] = {
        "sha256": code_sha256(checkout),
        "python": platform.python_version(),
    }
    stored["kinds"] = {
        str(number): {"kind": title, "tests": TESTS[number]} for number, title in KINDS.items()
    }
    stored["commits"].setdefault(commit, {})[str(kind)] = rows
    path.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
