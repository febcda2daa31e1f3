"""Repositories as a Hub keeps them, in memory: commits that name blobs, branches, large objects."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

GITATTRIBUTES = b"".join(
    b"*.%s filter=lfs diff=lfs merge=lfs -text\n" % ending
    for ending in (b"bin", b"npz", b"parquet", b"pt", b"safetensors", b"zip")
)
LARGE = (".bin", ".npz", ".parquet", ".pt", ".safetensors", ".zip")  # as GITATTRIBUTES says
LARGE_BYTES = 10_000_000  # files above this are large whatever their name


class HubError(Exception):
    """An answer that is an error: HTTP status, the Hub's error code, its message."""

    def __init__(
        self, status: int, message: str, code: str | None = None, body: dict | None = None
    ):
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.body = body or {"error": message}


@dataclass(frozen=True)
class User:
    """Who a token belongs to, and what it may do."""

    name: str
    orgs: tuple[str, ...] = ()
    role: str = "write"  # or "read"


@dataclass(frozen=True)
class Blob:
    """The content of one file; `sha256` is set for large files, which git knows as pointers."""

    data: bytes
    sha256: str | None = None

    @property
    def oid(self) -> str:
        """The git object id: of the content, or of the pointer that stands for it."""
        data = self.data
        if self.sha256:
            data = (
                f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\n"
                f"size {len(self.data)}\n"
            ).encode()
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass(frozen=True)
class Commit:
    """One state of all files."""

    oid: str
    title: str
    message: str
    author: str
    tree: Mapping[str, Blob]
    parent: Commit | None = None
    date: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"))


class Repo:
    """One repository, with the large objects that were sent for it."""

    numbers = itertools.count()

    def __init__(self, kind: str, repo_id: str, private: bool):
        self.kind, self.id, self.private = kind, repo_id, private
        self.objects: dict[str, bytes] = {}  # sha256 → content, committed or not
        self.branches: dict[str, Commit] = {}
        self.tags: dict[str, Commit] = {}
        self.commit("main", {".gitattributes": Blob(GITATTRIBUTES)}, "initial commit", "", "system")

    @property
    def owner(self) -> str:
        """The user or organisation before the slash."""
        return self.id.split("/")[0]

    @property
    def head(self) -> Commit:
        """The newest commit of main."""
        return self.branches["main"]

    def files(self) -> dict[str, bytes]:
        """What main holds, without the Hub's own .gitattributes."""
        tree = self.head.tree
        return {path: tree[path].data for path in sorted(tree) if path != ".gitattributes"}

    def history(self, revision: str = "main") -> list[Commit]:
        """Commits of a revision, newest first."""
        commit: Commit | None = self.resolve(revision)
        commits = []
        while commit:
            commits.append(commit)
            commit = commit.parent
        return commits

    def resolve(self, revision: str) -> Commit:
        """The commit a branch, a tag or a commit id stands for."""
        named = {**self.tags, **self.branches}
        if revision in named:
            return named[revision]
        for commit in itertools.chain.from_iterable(self.history(name) for name in named):
            if len(revision) >= 7 and commit.oid.startswith(revision):
                return commit
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def commit(
        self, branch: str, tree: Mapping[str, Blob], title: str, message: str, author: str
    ) -> Commit:
        """Put a new commit on top of a branch."""
        parent = self.branches.get(branch)
        content = "".join(f"{path}{blob.oid}" for path, blob in sorted(tree.items()))
        oid = hashlib.sha1(f"{next(self.numbers)}{self.id}{title}{content}".encode()).hexdigest()
        self.branches[branch] = Commit(oid, title, message, author, dict(tree), parent)
        return self.branches[branch]


def is_large(path: str, size: int, sample: bytes) -> bool:
    """Whether a file of that name, size (bytes) and beginning goes to the large object store."""
    return path.endswith(LARGE) or size > LARGE_BYTES or b"\0" in sample


def apply(repo: Repo, tree: Mapping[str, Blob], lines: list[dict], decode) -> dict[str, Blob]:
    """The tree after the operations of a commit request; raises HubError."""
    tree = dict(tree)
    for line in lines:
        value = line["value"]
        match line["key"]:
            case "file":
                tree[value["path"]] = Blob(decode(value["content"]))
            case "lfsFile":
                if value["oid"] not in repo.objects:
                    raise HubError(400, "LFS pointer pointed to a file that does not exist")
                tree[value["path"]] = Blob(repo.objects[value["oid"]], value["oid"])
            case "deletedFile":
                if tree.pop(value["path"], None) is None:
                    raise HubError(404, "A file with this name doesn't exist", "EntryNotFound")
            case key:
                raise HubError(400, f"unknown operation {key!r}")
    return tree
