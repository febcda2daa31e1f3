"""The test Hub answers the real clients as the Hub does, for models and datasets."""

import json

import pytest
from hub_clients import TOKEN, run
from hub_server import HubServer


@pytest.fixture
def hub():
    with HubServer(page_size=3) as server:
        server.add_user(TOKEN, "ada", orgs=("lab",))
        yield server


STORY = """
import json, os, sys
from huggingface_hub import (
    CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_download, snapshot_download)
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

kind = sys.argv[1]
api, name, seen = HfApi(), "lab/crystals", {}
seen["url"] = str(api.create_repo(name, repo_type=kind))
seen["again"] = str(api.create_repo(name, repo_type=kind, exist_ok=True))
try:
    api.create_repo(name, repo_type=kind)
except HfHubHTTPError as error:
    seen["conflict"] = error.response.status_code
many = os.urandom(250_000)
first = api.create_commit(name, repo_type=kind, commit_message="first", operations=[
    CommitOperationAdd("README.md", b"---\\nlicense: cc-by-4.0\\n---\\ntext"),
    CommitOperationAdd("a/many.bin", many),
    CommitOperationAdd("a/few.bin", b"few"),
    CommitOperationAdd("a/b/note.txt", b"note"),
    CommitOperationAdd("c.txt", b"c"),
]).oid
api.create_tag(name, tag="v1", repo_type=kind)
tree = api.list_repo_tree(name, repo_type=kind, recursive=True)
seen["tree"] = [entry.path for entry in tree]
downloaded = hf_hub_download(name, "a/many.bin", repo_type=kind)
seen["same bytes"] = open(downloaded, "rb").read() == many
second = api.create_commit(name, repo_type=kind, commit_message="second", parent_commit=first,
                           operations=[CommitOperationDelete("a/many.bin"),
                                       CommitOperationAdd("d.txt", b"d")]).oid
seen["files"] = api.list_repo_files(name, repo_type=kind)
try:
    api.create_commit(name, repo_type=kind, commit_message="late", parent_commit=first,
                      operations=[CommitOperationAdd("e.txt", b"e")])
except HfHubHTTPError as error:
    seen["stale parent"] = error.response.status_code
refs = api.list_repo_refs(name, repo_type=kind)
seen["tag"] = [(t.name, t.target_commit == first) for t in refs.tags]
folder = snapshot_download(name, repo_type=kind, revision="v1")
seen["snapshot"] = sorted(os.listdir(folder))
try:
    api.repo_info(name, repo_type=kind, revision="v9")
except RevisionNotFoundError as error:
    seen["no revision"] = error.response.status_code
try:
    HfApi(token=False).repo_info("lab/other", repo_type=kind)
except RepositoryNotFoundError as error:
    seen["no repository, no token"] = error.response.status_code
try:
    api.create_commit(name, repo_type=kind, commit_message="card", operations=[
        CommitOperationAdd("README.md", b"---\\nlicense: my own\\n---\\n")])
except ValueError as error:
    seen["card"] = str(error).splitlines()[1][:29]
api.create_repo("lab/secret", repo_type=kind, private=True)
try:
    HfApi(token=False).repo_info("lab/secret", repo_type=kind)
except RepositoryNotFoundError as error:
    seen["private, no token"] = error.response.status_code
print(json.dumps(seen))
"""


@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_the_real_client_finds_what_it_put_there(hub, tmp_path, kind):
    done = run(hub, tmp_path, "-c", STORY, kind)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    url = f"{hub.url}/{'datasets/' if kind == 'dataset' else ''}lab/crystals"
    assert seen == {
        "url": url,
        "again": url,
        "conflict": 409,
        "tree": [
            *(".gitattributes", "README.md", "a", "a/b", "a/b/note.txt"),
            *("a/few.bin", "a/many.bin", "c.txt"),
        ],
        "same bytes": True,
        "files": [
            *(".gitattributes", "README.md", "a/b/note.txt", "a/few.bin", "c.txt", "d.txt"),
        ],
        "stale parent": 412,
        "tag": [["v1", True]],
        "snapshot": [".gitattributes", "README.md", "a", "c.txt"],
        "no revision": 404,
        "no repository, no token": 401,
        "card": '- "license" must be one of [a',
        "private, no token": 401,
    }
    assert not any(call.had_token for call in hub.calls if call.target.startswith("/storage"))
