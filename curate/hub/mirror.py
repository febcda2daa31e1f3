"""Make a repository on the Hugging Face Hub hold the same files as a folder, in one commit or a few."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import validate_repo_id

from curate.files import sha256_of
from curate.hub.faults import PublishError, call_hub
from curate.web.hub_client import keep_token
from curate.web.retry import RetryPolicy, without_token

log = logging.getLogger(__name__)
Kind = Literal["dataset", "model", "space"]
ADDRESS: dict[Kind, str] = {"dataset": "datasets/", "model": "", "space": "spaces/"}
CARD = "README.md"
FILES_A_COMMIT = (
    100  # the Hub advises 50 to 100; more are pushed in several commits, the card in the last
)
READABLE_BYTES = 10_000_000  # cards, tables and notes are smaller, and searched for the token


@dataclass(frozen=True)
class LocalFile:
    """One file to push."""

    path: str  # in the repository
    source: Path | bytes  # where its content is, or the content

    @cached_property
    def size(self) -> int:
        """Size in bytes."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size

    @cached_property
    def sha256(self) -> str:
        """SHA-256, by which the Hub identifies large files."""
        if isinstance(self.source, bytes):
            return hashlib.sha256(self.source).hexdigest()
        return sha256_of(self.source).hex()

    @cached_property
    def git_oid(self) -> str:
        """Git's object id, by which the Hub identifies small files."""
        return hashlib.sha1(b"blob %d\0" % self.size + self.content()).hexdigest()

    def content(self) -> bytes:
        """The whole content, in memory."""
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()

    def equals(self, remote: RepoFile | None) -> bool:
        """Whether the repository holds the same content under this path."""
        if remote is None or remote.size != self.size:
            return False
        if remote.lfs is not None:
            return remote.lfs.sha256 == self.sha256
        return remote.blob_id == self.git_oid


@dataclass(frozen=True)
class PushPlan:
    """What a push would put on the Hub."""

    kind: Kind
    repo_id: str
    private: bool
    tag: str | None
    files: tuple[LocalFile, ...]
    card: str

    def __str__(self) -> str:
        """As `--dry-run` prints it: repository, files with sizes, the whole card."""
        visibility = "private" if self.private else "public"
        tagged = f", tag {self.tag}" if self.tag else ""
        sizes = [f"{file.size:>14,} bytes  {file.path}" for file in self.files]
        total = sum(file.size for file in self.files)
        return "\n".join(
            [
                f"{self.kind} {self.repo_id} ({visibility}{tagged})",
                *sizes,
                f"{total:>14,} bytes in {len(self.files)} files",
                "",
                self.card,
            ]
        )


@dataclass(frozen=True)
class PushResult:
    """What a push did."""

    repo_id: str
    url: str
    commit: str
    is_new: bool  # False where the repository was equal already
    tag: str | None = None

    def __str__(self) -> str:
        """One line for the terminal."""
        done = "pushed to" if self.is_new else "already up to date:"
        return f"{done} {self.url}, commit {self.commit}{f', tag {self.tag}' if self.tag else ''}"


def files_of(folder: Path) -> list[LocalFile]:
    """Every finished file below a folder, without hidden and partial ones."""
    return [
        LocalFile(str(path.relative_to(folder).as_posix()), path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.suffix != ".partial"
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def check_name(repo_id: str, tag: str | None = None) -> None:
    """Raise PublishError if the name of the repository or of the tag is not valid."""
    shown = without_token(repo_id, get_token() or "")  # a token in the wrong place is not repeated
    if repo_id.count("/") != 1:
        raise PublishError(f"{shown!r} is not a repository name: write OWNER/NAME")
    try:
        validate_repo_id(repo_id)
    except HFValidationError:
        raise PublishError(
            f"{shown!r} is not a repository name: owner and name take letters, digits, '-', '_' and "
            "'.', up to 96 together"
        ) from None
    if tag is not None and not re.fullmatch(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9._-]*(?<!\.)", tag):
        raise PublishError(
            f"{tag!r} is not a tag name: use letters, digits, '-', '_' and '.', as v1.0"
        )


def mirror(
    plan: PushPlan, *, api: HfApi | None = None, retry: RetryPolicy | None = None
) -> PushResult:
    """Make a repository hold the files of a plan, in one commit, or in none if it holds them already.

    More than FILES_A_COMMIT files take several commits. The last one brings the card and deletes what is
    left over: until then the card is the one before, or there is none.

    Files that the repository holds beside them are kept, except below folders that are pushed: there, what
    is not among the files is deleted. Repeated after a kill or an error, it sends only what the Hub does
    not have yet.

    Args:
        plan: The files and their repository, which is created if it does not exist. A tag that exists
            already must be at the same content.
        api: Client with endpoint and token; by default those of the environment.
        retry: How often a call is repeated after a temporary error.

    Returns:
        Address and commit, and whether anything was new.

    Raises:
        PublishError: The push cannot be done; the message says what to do.
    """
    repo_id, kind, files, tag = plan.repo_id, plan.kind, plan.files, plan.tag
    check_name(repo_id, tag)
    token = (api.token if api else None) or get_token()
    if not isinstance(token, str):
        raise PublishError("there is no Hugging Face token: set HF_TOKEN or run `hf auth login`")
    client = HfApi(endpoint=api.endpoint if api else None, token=token)
    _check_secret(files, token)
    heads: list[str] = []  # head commit at each attempt; the first is the state before the push

    def attempt() -> PushResult | None:
        """One commit; None where others must follow it."""
        head = _head(client, repo_id, kind, plan.private)
        heads.append(head)
        remote = _remote_files(client, repo_id, kind, head)
        # Compared here and not left to the client, which compares while it commits: whether anything
        # differs from what an existing tag stands for must be known before.
        changed, leftover = compare(files, remote)
        tagged = _tagged(client, repo_id, kind, tag) if tag else None
        if tagged and (tagged != head or changed or leftover):
            raise PublishError(
                f"{repo_id} has a tag {tag!r} already, for other content (commit {tagged[:7]}): "
                "choose a new tag"
            )
        commit = head
        if changed or leftover:
            batch = next_batch(changed)
            is_last = len(batch) == len(changed)
            deleted = leftover if is_last else []
            follows = "" if is_last else f"; {len(changed) - len(batch)} more follow"
            # The parent makes the Hub refuse, with 412, if somebody else was faster.
            commit = client.create_commit(
                repo_id,
                [
                    *(CommitOperationDelete(path) for path in deleted),
                    *(CommitOperationAdd(file.path, file.source) for file in batch),
                ],
                commit_message=f"Push {len(batch)} files, delete {len(deleted)}{follows}",
                repo_type=kind,
                parent_commit=head,
            ).oid
            _check_arrived(batch, _remote_files(client, repo_id, kind, commit), repo_id)
            if not is_last:
                log.info("%s: %d of %d files left", repo_id, len(changed) - len(batch), len(files))
                return None
        if tag and not tagged:
            client.create_tag(repo_id, tag=tag, revision=commit, repo_type=kind)
        url = f"{client.endpoint}/{ADDRESS[kind]}{repo_id}"
        return PushResult(repo_id, url, commit, is_new=commit != heads[0], tag=tag)

    keep_token(client.endpoint, token)
    policy = retry or RetryPolicy()
    while (result := call_hub(policy, attempt, repo_id, token)) is None:
        pass  # each commit has its own attempts
    return result


def next_batch(changed: Sequence[LocalFile]) -> list[LocalFile]:
    """The files of the next commit: as many as it takes, the card only with the last ones."""
    if len(changed) <= FILES_A_COMMIT:
        return list(changed)
    return [file for file in changed if file.path != CARD][:FILES_A_COMMIT]


def compare(
    files: Sequence[LocalFile], remote: Mapping[str, RepoFile]
) -> tuple[list[LocalFile], list[str]]:
    """Files that the repository lacks or holds with other content, and its paths to delete."""
    changed = [file for file in files if not file.equals(remote.get(file.path))]
    paths = {file.path for file in files}
    folders = {path.split("/")[0] for path in paths if "/" in path}
    leftover = [
        path
        for path in sorted(remote)
        if path not in paths and "/" in path and path.split("/")[0] in folders
    ]
    return changed, leftover


def _head(client: HfApi, repo_id: str, kind: Kind, private: bool) -> str:
    """The head commit of the repository, which is created if it does not exist."""
    info = _info(client, repo_id, kind)
    if info is None:
        others: dict[Kind, Kind] = {"dataset": "model", "model": "dataset"}
        other = others.get(kind)  # a Space may be called as what it shows
        if other and _info(client, repo_id, other) is not None:
            raise PublishError(
                f"{repo_id} is the name of a {other} already: choose another for the {kind}"
            )
        sdk = "gradio" if kind == "space" else None
        client.create_repo(repo_id, repo_type=kind, private=private, space_sdk=sdk)
        info = client.repo_info(repo_id, repo_type=kind)
    if private and not info.private:
        raise PublishError(f"{repo_id} exists and is public: push without --private")
    return info.sha


def _info(client: HfApi, repo_id: str, kind: Kind):
    """What the Hub knows about a repository; None where there is none."""
    try:
        return client.repo_info(repo_id, repo_type=kind)
    except RepositoryNotFoundError:
        return None


def _remote_files(client: HfApi, repo_id: str, kind: Kind, commit: str) -> dict[str, RepoFile]:
    tree = client.list_repo_tree(repo_id, recursive=True, revision=commit, repo_type=kind)
    return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}


def _tagged(client: HfApi, repo_id: str, kind: Kind, tag: str) -> str | None:
    """The commit a tag stands for; None where there is no such tag."""
    refs = client.list_repo_refs(repo_id, repo_type=kind)
    if not any(ref.name == tag for ref in refs.tags):
        return None
    return client.repo_info(repo_id, repo_type=kind, revision=tag).sha


def _check_arrived(
    files: Sequence[LocalFile], remote: Mapping[str, RepoFile], repo_id: str
) -> None:
    changed, _ = compare(files, remote)
    if changed:
        raise PublishError(
            f"{repo_id} was committed without {changed[0].path}: look whether its .gitignore "
            "excludes it"
        )


def _check_secret(files: Sequence[LocalFile], token: str) -> None:
    for file in files:
        if file.size < READABLE_BYTES and token.encode() in file.content():
            raise PublishError(f"{file.path} contains your Hugging Face token: take it out")
