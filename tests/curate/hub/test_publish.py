"""What was built is what others load; a push is whole or not at all, whatever the Hub does."""

import itertools
import json
import re
import shutil
import signal
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_clients import TOKEN, run, start
from hub_server import HubServer
from hub_store import Blob
from scripted_server import ScriptedServer, page

from curate.errors import InputError
from curate.hub.publish import plan_push
from curate.licenses import card_fields


def sharded(built: Path, folder: Path, n_crystals: int = 4, license: str = "") -> Path:
    """A run folder whose dataset has one crystal a shard: a long dataset in small."""
    dataset = folder / "dataset"
    for config in ("default", "manifest"):
        (dataset / config).mkdir(parents=True)
        table = pq.read_table(built / "dataset" / config / "train-00000.parquet")
        if license and config == "default":
            column = pa.array([license] * len(table), pa.string())
            table = table.set_column(table.schema.names.index("license"), "license", column)
        for number in range(n_crystals):
            path = dataset / config / f"train-{number:05d}.parquet"
            pq.write_table(table.slice(number, 1), path)
    shutil.copy(built / "dataset" / "README.md", dataset)
    shutil.copy(built / "run.json", folder)
    return folder


def curate(hub: HubServer, home: Path, *arguments: object, token: str | None = TOKEN):
    """The command line, as a user runs it."""
    return run(hub, home, "-m", "curate", *map(str, arguments), token=token)


def contents(folder: Path, name: str = "ada/crystals") -> dict[str, bytes]:
    """The files of a run's dataset by their paths, the card filled with the repository's name."""
    dataset = folder / "dataset"
    files = {
        str(path.relative_to(dataset)): path.read_bytes()
        for path in dataset.rglob("*")
        if path.is_file()
    }
    return {**files, "README.md": files["README.md"].replace(b"OWNER/NAME", name.encode())}


LOAD = """
import sys
import pyarrow.parquet as pq
from datasets import load_dataset
from pathlib import Path

out = Path(sys.argv[1])
for name in ("default", "manifest"):
    for revision in ("main", "v1"):
        rows = load_dataset("ada/crystals", name, split="train", revision=revision)
        pq.write_table(rows.data.table.combine_chunks(), out / f"{name}-{revision}.parquet")
print([row["material_id"] for row in load_dataset("ada/crystals", streaming=True)["train"]])
"""


def test_others_load_the_rows_that_were_built(hub, built, tmp_path):
    pushed = curate(hub, tmp_path / "home", "push", built, "ada/crystals", "--tag", "v1")
    assert pushed.returncode == 0, pushed.stderr
    assert hub.dataset("ada/crystals").files() == contents(built)
    assert hub.dataset("ada/crystals").tags["v1"] == hub.dataset("ada/crystals").head

    loaded = run(hub, tmp_path / "fresh", "-c", LOAD, str(tmp_path), token=None)
    assert loaded.returncode == 0, loaded.stderr
    for config in ("default", "manifest"):
        rows = pq.read_table(built / "dataset" / config / "train-00000.parquet")
        for revision in ("main", "v1"):
            found = pq.read_table(tmp_path / f"{config}-{revision}.parquet")
            assert found.to_pylist() == rows.to_pylist()
            assert found.schema.types == rows.schema.types
    card = hub.dataset("ada/crystals").files()["README.md"].decode()
    assert 'load_dataset("ada/crystals", "manifest", split="train")' in card
    ids = pq.read_table(built / "dataset" / "default")["material_id"].to_pylist()
    assert loaded.stdout.splitlines()[-1] == str(ids)


def test_the_same_push_twice_makes_one_commit(hub, built, tmp_path):
    for line in ("pushed to", "already up to date:"):
        done = curate(hub, tmp_path, "push", built, "ada/crystals", "--tag", "v1")
        assert done.stdout.startswith(line), done.stderr
    titles = [commit.title for commit in hub.dataset("ada/crystals").history()]
    assert titles == ["Push 3 files, delete 0", "initial commit"]


def test_a_grown_run_sends_only_its_new_shards(hub, built, tmp_path):
    small, grown = sharded(built, tmp_path / "small", 2), sharded(built, tmp_path / "grown", 4)
    curate(hub, tmp_path, "push", small, "ada/crystals")
    n_sent = hub.count("lfs-put")
    curate(hub, tmp_path, "push", grown, "ada/crystals")
    assert n_sent == 2 * 2
    assert hub.count("lfs-put") - n_sent == 2 * 2
    assert hub.dataset("ada/crystals").files() == contents(grown)


def test_a_shrunken_run_leaves_no_old_shards_and_keeps_the_files_of_others(hub, built, tmp_path):
    small, grown = sharded(built, tmp_path / "small", 2), sharded(built, tmp_path / "grown", 4)
    curate(hub, tmp_path, "push", grown, "ada/crystals")
    repo = hub.dataset("ada/crystals")
    notes = repo.head.tree["README.md"]
    repo.commit("main", {**repo.head.tree, "notes/own.md": notes}, "by hand", "", "ada")
    curate(hub, tmp_path, "push", small, "ada/crystals")
    assert repo.files() == {**contents(small), "notes/own.md": notes.data}
    assert len(repo.history()) == 4


def test_a_killed_push_run_again_sends_only_the_rest(hub, built, tmp_path):
    folder = sharded(built, tmp_path / "run")
    n_shards = 2 * 4
    for number in range(n_shards):  # one after the other, though the client sends five at a time
        hub.fail("lfs-put", delay=0.3 * (number + 1))
    pushing = start(hub, tmp_path, "-m", "curate", "push", str(folder), "ada/crystals")
    while hub.count("lfs-put") < n_shards // 2:
        assert pushing.poll() is None, pushing.communicate()
        time.sleep(0.01)
    pushing.send_signal(signal.SIGKILL)
    pushing.communicate()
    repo = hub.dataset("ada/crystals")
    n_there = len(repo.objects)
    assert n_shards // 2 <= n_there < n_shards
    assert repo.files() == {}

    hub.faults.clear()
    n_before = hub.count("lfs-put")
    again = curate(hub, tmp_path, "push", folder, "ada/crystals")
    assert again.returncode == 0, again.stderr
    assert hub.count("lfs-put") - n_before == n_shards - n_there
    assert repo.files() == contents(folder)
    assert len(repo.history()) == 2


ROUTES = (
    *("info", "create", "tree", "validate-yaml", "preupload", "lfs-batch", "lfs-put"),
    *("lfs-verify", "commit", "refs", "tag"),
)
FAULTS = {
    "409": {"status": 409},
    "412": {"status": 412},
    "429": {"status": 429, "retry_after": 1},
    "500": {"status": 500},
    "502": {"status": 502},
    "503": {"status": 503, "retry_after": 1},
    "504": {"status": 504},
    "drop": {"drop": True},
    "lost": {"drop": True, "late": True},
}
REFUSALS = {"400": 400, "401": 401, "403": 403, "413": 413}

PUSH_ALL = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from curate.web.retry import RetryPolicy
from curate.hub.mirror import mirror
from curate.hub.publish import plan_push

folder, retry = Path(sys.argv[1]) / "dataset", RetryPolicy(int(sys.argv[2]), 0.1, 0.2)

def outcome(name):
    try:
        return name, mirror(plan_push(folder, name, tag="v1"), retry=retry).commit, None
    except Exception as error:
        return name, type(error).__name__, str(error)

with ThreadPoolExecutor(16) as pool:
    print(json.dumps(list(pool.map(outcome, sys.argv[3:]))))
"""


def push_all(hub, home, folder, attempts, names) -> dict[str, tuple[str, str | None]]:
    """Commit, or error and its sentence, of a push to each of these repositories."""
    done = run(hub, home, "-c", PUSH_ALL, str(folder), str(attempts), *names)
    assert done.returncode == 0, done.stderr
    assert TOKEN not in done.stdout + done.stderr
    return {name: (result, said) for name, result, said in json.loads(done.stdout)}


def test_a_passing_fault_at_any_route_ends_in_success(hub, built, tmp_path):
    names = {}
    for route, (fault, fields) in itertools.product(ROUTES, FAULTS.items()):
        name = f"ada/{route}-{fault}"
        names[name] = fields
        hub.fail(route, repo="" if route == "validate-yaml" else name, **fields)
    outcomes = push_all(hub, tmp_path, built, 6, names)
    assert {name: said for name, (_, said) in outcomes.items() if said} == {}
    for name in names:
        repo = hub.dataset(name)
        assert repo.files() == contents(built, name)
        assert [commit.title for commit in repo.history()] == [
            "Push 3 files, delete 0",
            "initial commit",
        ], name
        assert repo.tags["v1"] == repo.head
    assert not any(fault.times for fault in hub.faults)


def test_a_fault_that_stays_ends_in_one_sentence_and_an_untouched_repository(hub, built, tmp_path):
    names = {}
    faults = {"409": 409, "503": 503, "drop": None, **REFUSALS}
    for route, (fault, status) in itertools.product(ROUTES, faults.items()):
        if route == "validate-yaml":
            continue  # it does not say for which repository it is asked
        name = f"ada/{route}-{fault}"
        names[name] = route
        hub.fail(route, status, drop=status is None, times=float("inf"), repo=name)
    outcomes = push_all(hub, tmp_path, built, 1, names)
    for name, route in names.items():
        error, said = outcomes[name]
        assert error == "PublishError", (name, error, said)
        assert said and "\n" not in said and len(said) < 300, (name, said)
        repo = hub.repos.get(("datasets", name))
        finished = route in ("refs", "tag") and repo is not None and repo.files()
        assert repo is None or repo.files() == (contents(built, name) if finished else {}), name


def test_a_hub_that_does_not_answer_ends_in_one_sentence(hub, built, tmp_path):
    hub.fail("validate-yaml", 503, times=float("inf"))
    outcomes = push_all(hub, tmp_path, built, 2, ["ada/crystals"])
    error, said = outcomes["ada/crystals"]
    assert error == "PublishError"
    assert said == (
        "the Hub's answers for ada/crystals can't be read; run the same push again to continue: what "
        "was sent stays there"
    )
    assert hub.dataset("ada/crystals").files() == {}


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "the connection to the Hub fails ("),
        (
            {"HF_HUB_DISABLE_XET": "0", "HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "1"},
            "the connection to the Hub fails (Network error",
        ),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set: unset it to push"),
    ],
)
def test_a_hub_out_of_reach_ends_in_one_sentence(hub, built, tmp_path, more, sentence):
    done = run(hub, tmp_path, "-c", PUSH_ALL, str(built), "1", "ada/crystals", **more)
    [(_, error, said)] = json.loads(done.stdout)
    assert error == "PublishError"
    assert said.startswith(sentence)
    assert "\n" not in said


def test_the_hub_says_how_long_to_wait(hub, built, tmp_path):
    hub.fail("commit", 429, retry_after=2)
    done = curate(hub, tmp_path, "push", built, "ada/crystals")
    assert done.returncode == 0
    assert "push to ada/crystals: the Hub answers 429; attempt 2 in 2 s" in done.stderr
    first, second = (call.time for call in hub.calls if call.route == "commit")
    assert second - first >= 2


@pytest.mark.parametrize("route", ["commit", "preupload", "info"])
def test_a_wait_without_end_is_not_waited(hub, built, tmp_path, route):
    hub.fail(route, 429, times=9, retry_after=99999999)
    done = curate(hub, tmp_path, "push", built, "ada/crystals")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "the Hub asks to wait 99,999,999 s, and at most 900 s are waited" in done.stderr


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_token_does_not_follow_the_next_page_to_another_host(hub, built, tmp_path, host):
    assert curate(hub, tmp_path, "push", built, "ada/crystals").returncode == 0
    with ScriptedServer(lambda path: page([])) as other:
        hub.page_size, hub.next_page_at = 1, f"http://{host}:{other.port}"
        done = curate(hub, tmp_path, "push", built, "ada/crystals")
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
        assert f"names an address at {host}:{other.port}" in done.stderr
        assert "see whether HF_ENDPOINT is right" in done.stderr and TOKEN not in done.stderr
        assert other.requests == []


def test_another_push_in_between_is_not_overwritten_unseen(hub, built, tmp_path):
    hub.fail("commit", delay=3.0)
    pushing = start(hub, tmp_path, "-m", "curate", "push", str(built), "ada/crystals")
    while not hub.count("lfs-verify"):
        assert pushing.poll() is None, pushing.communicate()
        time.sleep(0.01)
    repo = hub.dataset("ada/crystals")
    other = repo.commit("main", {**repo.head.tree, "own.md": Blob(b"mine")}, "other", "", "ada")
    _, err = pushing.communicate()
    assert pushing.returncode == 0, err
    assert "the Hub answers 412" in err
    assert repo.head.parent == other
    assert repo.files() == {**contents(built), "own.md": b"mine"}


def test_what_the_user_can_mend_is_one_sentence(hub, built, tmp_path):
    hub.add_repo("models", "ada/net")
    hub.add_repo("datasets", "ada/open")
    sharded(built, tmp_path / "other", 2)
    curate(hub, tmp_path, "push", tmp_path / "other", "ada/tagged", "--tag", "v1")
    head = hub.dataset("ada/tagged").head
    for arguments, token, sentence in (
        ((built, "ada/x"), None, "there is no Hugging Face token: set HF_TOKEN or run `hf auth"),
        ((built, "ada/x"), "hf_wrong", "the Hub does not accept the token: set HF_TOKEN or run"),
        ((built, "bob/x"), "hf_reader", "this token may not write to bob/x (You must use a write"),
        ((built, "eve/x"), TOKEN, "this token may not write to eve/x (You don't have the rights"),
        ((built, "ada/net"), TOKEN, "ada/net is the name of a model already: choose another for"),
        ((built, "crystals"), TOKEN, "'crystals' is not a repository name: write OWNER/NAME"),
        ((built, "ada/a b"), TOKEN, "'ada/a b' is not a repository name: owner and name take"),
        ((built, "ada/x", "--tag", "a b"), TOKEN, "'a b' is not a tag name: use letters, digits"),
        ((built, "ada/open", "--private"), TOKEN, "ada/open exists and is public: push without"),
        ((built, "ada/tagged", "--tag", "v1"), TOKEN, "ada/tagged has a tag 'v1' already, for"),
        ((tmp_path, "ada/x"), TOKEN, f"{tmp_path} is not a run folder (no run.json)"),
    ):
        done = curate(hub, tmp_path / "home", "push", *arguments, token=token)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith(f"curate: {sentence}"), done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert ("datasets", "ada/x") not in hub.repos
    assert hub.dataset("ada/tagged").head == head


def test_a_tag_of_other_content_is_refused_before_anything_is_committed(hub, built, tmp_path):
    """Also where only the content of a file differs, and no path does."""
    folder = sharded(built, tmp_path / "run", 2)
    curate(hub, tmp_path / "home", "push", folder, "ada/crystals", "--tag", "v1")
    head = hub.dataset("ada/crystals").head
    with (folder / "dataset" / "README.md").open("a") as card:
        card.write("One more line.")
    done = curate(hub, tmp_path / "home", "push", folder, "ada/crystals", "--tag", "v1")
    assert done.returncode == 2
    assert "ada/crystals has a tag 'v1' already, for other content" in done.stderr
    assert hub.dataset("ada/crystals").head == head


def test_a_private_dataset_is_seen_only_with_a_token(hub, built, tmp_path):
    assert curate(hub, tmp_path, "push", built, "lab/secret", "--private").returncode == 0
    assert hub.dataset("lab/secret").private
    code = "from datasets import load_dataset; print(load_dataset('lab/secret')['train'].num_rows)"
    assert run(hub, tmp_path / "mine", "-c", code).stdout == "4\n"
    assert "DatasetNotFoundError" in run(hub, tmp_path / "other", "-c", code, token=None).stderr


def test_a_dry_run_shows_everything_and_calls_nobody(hub, built, tmp_path):
    before = contents(built)
    arguments = ("push", built, "ada/crystals", "--tag", "v1", "--private", "--dry-run")
    done = curate(hub, tmp_path, *arguments, token=None)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("dataset ada/crystals (private, tag v1)\n")
    for path, content in before.items():
        assert f"{len(content):,} bytes  {path}\n" in done.stdout
    assert done.stdout.endswith(before["README.md"].decode() + "\n")
    assert hub.calls == []
    assert contents(built) == before


def test_the_token_is_found_nowhere(hub, built, tmp_path):
    leak = f"Bearer {TOKEN} was refused"
    hub.fail("commit", 503, body=leak)
    hub.fail("tag", 400, body=leak, times=float("inf"))
    told = [
        curate(hub, tmp_path / "home", "push", built, "ada/crystals", "--tag", "v1"),
        curate(hub, tmp_path / "home", "push", built, TOKEN),
        run(hub, tmp_path / "home", "-c", ASK_EVERYTHING, str(built)),
    ]
    assert [done.returncode for done in told] == [2, 2, 0]
    assert "Bearer <token> was refused" in told[0].stderr
    assert "PublishError" in told[2].stdout
    for done in told:
        assert TOKEN not in done.stdout + done.stderr
    for path in (*tmp_path.rglob("*"), *built.rglob("*")):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
    for blob in hub.dataset("ada/crystals").head.tree.values():
        assert TOKEN.encode() not in blob.data


ASK_EVERYTHING = """
import logging, sys, traceback
from pathlib import Path
from curate.web.retry import RetryPolicy
from curate.hub.mirror import mirror
from curate.hub.publish import plan_push

logging.basicConfig(level=logging.DEBUG)
try:
    plan = plan_push(Path(sys.argv[1]) / "dataset", "ada/crystals", tag="v1")
    mirror(plan, retry=RetryPolicy(2, 0.1))
except Exception as error:
    print("".join(traceback.TracebackException.from_exception(error, capture_locals=False).format()))
    while error is not None:
        print(repr(error), vars(error), error.__notes__ if hasattr(error, "__notes__") else "")
        error = error.__cause__ or error.__context__
"""


def test_a_card_with_the_token_in_it_is_not_pushed(hub, built, tmp_path):
    folder = sharded(built, tmp_path / "run")
    with (folder / "dataset" / "README.md").open("a") as card:
        card.write(f"made with HF_TOKEN={TOKEN}")
    done = curate(hub, tmp_path / "home", "push", folder, "ada/crystals")
    assert done.stderr == "curate: README.md contains your Hugging Face token: take it out\n"
    assert hub.calls == []


@pytest.mark.parametrize(
    ("license", "private", "reason"),
    [
        ("all rights reserved", True, "the licence 'all rights reserved' of some rows forbids"),
        ("CC BY-ND 4.0", False, "the licence 'CC BY-ND 4.0' of some rows forbids passing them on"),
        ("unknown", False, "the licence of some rows is unknown: build with --license to state it"),
        ("CC-BY-NC-4.0", False, "README.md states the licence 'other', its rows need 'cc-by-nc-4"),
        ("NIST terms of use", False, None),
    ],
)
def test_a_licence_that_forbids_it_stops_the_push(built, tmp_path, license, private, reason):
    folder = sharded(built, tmp_path / "run", license=license) / "dataset"
    if reason is None:
        assert plan_push(folder, "ada/crystals", private=private).repo_id == "ada/crystals"
        return
    with pytest.raises(InputError, match=re.escape(reason)):
        plan_push(folder, "ada/crystals", private=private)


@pytest.mark.parametrize(
    ("licenses", "fields"),
    [
        (["CC-BY-4.0"], {"license": "cc-by-4.0"}),
        (["BY-C", "CC BY 4.0"], {"license": "cc-by-4.0"}),  # as the Materials Project writes it
        (["BY-NC"], {"license": "cc-by-nc-4.0"}),
        (["MIT", "CC-BY-4.0"], {"license": "other", "license_name": "several-see-license-column"}),
        (
            ["NIST terms of use"],
            {
                "license": "other",
                "license_name": "nist-terms-of-use",
                "license_link": "https://www.nist.gov/open/license",
            },
        ),
        (
            ["https://a.org/terms"],
            {
                "license": "other",
                "license_name": "https-a.org-terms",
                "license_link": "https://a.org/terms",
            },
        ),
        (["Our terms"], {"license": "other", "license_name": "our-terms"}),
        ([None], {"license": "unknown"}),
    ],
)
def test_the_card_names_the_licence_of_the_rows(licenses, fields):
    assert card_fields(licenses) == fields


def test_half_a_dataset_is_not_pushed(built, tmp_path):
    folder = sharded(built, tmp_path / "run") / "dataset"
    (folder / "default" / "train-00001.parquet").unlink()
    with pytest.raises(InputError, match=r"default lacks train-00001.parquet: build again"):
        plan_push(folder, "ada/crystals")
    (folder / "README.md").unlink()
    shutil.rmtree(folder / "default")
    with pytest.raises(InputError, match=r"holds no default/train-\*\.parquet: build the dataset"):
        plan_push(folder, "ada/crystals")


BATCHES = """
import sys
import curate.hub.mirror
from curate.cli import main

curate.hub.mirror.FILES_A_COMMIT = 3
main()
"""


def test_many_files_take_several_commits_with_the_card_in_the_last(hub, built, tmp_path):
    many = sharded(built, tmp_path / "many")  # four shards each of two configs, and the card
    push = ("-c", BATCHES, "push", str(many), "ada/crystals", "--tag", "v1")
    hub.fail("commit", delay=2.0, times=float("inf"))
    killed = start(hub, tmp_path / "home", *push)
    for _ in range(1200):
        if hub.count("commit") == 1:
            break
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    time.sleep(2.5)  # what the server had begun
    hub.faults.clear()
    half = hub.dataset("ada/crystals").files()
    assert 3 <= len(half) < 9 and "README.md" not in half and not hub.dataset("ada/crystals").tags

    sent = hub.count("lfs-put")
    hub.fail("commit", 503)
    done = run(hub, tmp_path / "home", *push)
    assert done.returncode == 0, done.stderr
    assert "files left" in done.stderr
    repo = hub.dataset("ada/crystals")
    assert repo.files() == contents(many)
    assert repo.tags["v1"] == repo.head
    assert ["README.md" in commit.tree for commit in repo.history()] == [True, *[False] * 3]
    assert hub.count("lfs-put") <= 8 and sent >= 3  # nothing is sent twice
    for path in (many / "dataset" / "manifest").glob("*-0000[23].parquet"):
        path.unlink()
    assert run(hub, tmp_path / "home", *push[:-2]).returncode == 0
    assert repo.files() == contents(many)
