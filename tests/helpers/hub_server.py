"""A Hugging Face Hub on 127.0.0.1 for tests: the routes that huggingface_hub 2 and datasets 5 call.

The protocol was recorded from the real clients, which run against this server unchanged when
HF_ENDPOINT points to it and HF_HUB_DISABLE_XET=1. Large files live under another host name
(localhost), as on the Hub. Every answer can be made to fail: see `Fault`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import re
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from urllib.parse import urlencode

import uvicorn
from hub_card_rules import check_card, front_matter
from hub_store import Blob, Commit, HubError, Repo, User, apply, is_large
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9_][A-Za-z0-9._-]{0,94}[A-Za-z0-9_]|[A-Za-z0-9_]")


@dataclass
class Fault:
    """What goes wrong at one route, the next `times` times it is called."""

    route: str
    status: int | None = None  # answer with this status
    times: float = 1
    retry_after: int | str | None = None  # seconds, sent with the status
    drop: bool = False  # close the connection instead of answering
    cut: bool = False  # close it in the middle of the answer
    short: bool = False  # half of the body, as if it were all
    flipped: bool = False  # one wrong bit in the middle of the body
    late: bool = False  # do the work first, then fail: the answer is lost
    delay: float = 0.0  # seconds to wait before anything else
    body: str | None = None  # JSON message; None gives the page of a gateway where status ≥ 500
    repo: str | None = None  # only for this repository


@dataclass(frozen=True)
class Call:
    """One answered request."""

    route: str
    repo: str
    method: str
    target: str
    status: int  # 0 where the connection was dropped
    had_token: bool
    time: float  # seconds, monotonic


class HubServer:
    """The server and what it holds: `repos`, `calls`, `faults`, all to be read and set by tests."""

    def __init__(self, page_size: int = 1000):
        self.page_size = page_size
        self.next_page_at: str | None = None  # another address that the link to the next page names
        self.users: dict[str, User] = {}
        self.repos: dict[tuple[str, str], Repo] = {}  # (models, datasets or spaces, owner/name)
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.lock = threading.Lock()
        self.transports: dict[tuple, asyncio.Transport] = {}
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.storage_url = f"http://localhost:{self.port}"
        config = uvicorn.Config(self.app(), http=self.protocol(), log_level="critical")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [listener]}, daemon=True
        )

    def __enter__(self) -> HubServer:
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_) -> None:
        self.server.should_exit = self.server.force_exit = True
        self.thread.join()

    def add_user(self, token: str, name: str, orgs: tuple[str, ...] = (), role: str = "write"):
        """Let a token stand for a user."""
        self.users[token] = User(name, orgs, role)

    def add_repo(self, kind: str, repo_id: str, private: bool = False) -> Repo:
        """Make a repository as if its owner had; `kind` is models, datasets or spaces."""
        return self.repos.setdefault((kind, repo_id), Repo(kind, repo_id, private))

    def fail(self, route: str, status: int | None = None, **fields) -> None:
        """Plan a fault; see `Fault`."""
        self.faults.append(Fault(route, status, **fields))

    def dataset(self, repo_id: str) -> Repo:
        """A dataset repository by its name."""
        return self.repos["datasets", repo_id]

    def count(self, route: str, repo: str | None = None) -> int:
        """How often a route was answered with success."""
        return sum(
            call.route == route and 0 < call.status < 400 and repo in (None, call.repo)
            for call in self.calls
        )

    def protocol(self):
        """uvicorn's HTTP protocol, with connections that can be cut."""
        transports = self.transports

        class Cuttable(H11Protocol):
            def connection_made(self, transport):
                super().connection_made(transport)
                transports[tuple(self.client)] = transport

        return Cuttable

    def app(self) -> Starlette:
        """All routes; their names are what faults and counts go by."""
        api = "/api/{kind}/{owner}/{name}"
        routes = [
            ("create", "POST", "/api/repos/create", self.create),
            ("validate-yaml", "POST", "/api/validate-yaml", self.validate_yaml),
            ("preupload", "POST", f"{api}/preupload/{{rev:path}}", self.preupload),
            ("xet-token", "GET", f"{api}/xet-write-token/{{rev:path}}", self.xet_token),
            ("commit", "POST", f"{api}/commit/{{rev:path}}", self.commit),
            ("tree", "GET", f"{api}/tree/{{rest:path}}", self.tree),
            ("refs", "GET", f"{api}/refs", self.refs),
            ("tag", "POST", f"{api}/tag/{{rev:path}}", self.tag),
            ("revision", "GET", f"{api}/revision/{{rev:path}}", self.info),
            ("info", "GET", api, self.info),
            ("lfs-batch", "POST", "/{rest:path}.git/info/lfs/objects/batch", self.lfs_batch),
            ("lfs-put", "PUT", "/storage/{kind}/{owner}/{name}/{sha}", self.lfs_put),
            ("lfs-verify", "POST", "/api/lfs/{kind}/{owner}/{name}/verify", self.lfs_verify),
            ("storage", "GET", "/storage/{kind}/{owner}/{name}/{sha}", self.stored),
            ("resolve", "GET", "/{kind}/{owner}/{name}/resolve/{rest:path}", self.resolve),
            ("resolve", "GET", "/{owner}/{name}/resolve/{rest:path}", self.resolve),
        ]
        return Starlette(
            routes=[
                Route(path, self.answering(name, endpoint), methods=[method])
                for name, method, path, endpoint in routes
            ]
        )

    def answering(self, route: str, endpoint):
        """The endpoint with planned faults, errors as the Hub words them, and a log entry."""

        async def answer(request: Request) -> Response:
            repo = "/".join(request.path_params.get(key, "") for key in ("owner", "name")).strip(
                "/"
            )
            if route == "lfs-batch":
                repo = "/".join(request.path_params["rest"].split("/")[-2:])
            if route == "create":
                body = await request.json()
                repo = f"{body['organization']}/{body['name']}"
            fault = self.next_fault(route, repo)
            if fault:
                await asyncio.sleep(fault.delay)
            fails = fault is not None and (fault.drop or fault.status is not None)
            try:
                if fails and not fault.late:
                    response = None
                else:
                    response = await endpoint(request)
            except HubError as error:
                headers = {"X-Error-Message": error.message.split("\n")[0]}
                if error.code:
                    headers["X-Error-Code"] = error.code
                response = JSONResponse(error.body, error.status, headers)
            except ClientDisconnect:
                return Response(status_code=499)
            status = response.status_code if response is not None else 0
            if fault and response is not None and (fault.cut or fault.short or fault.flipped):
                response = self.damaged(fault, request, response)
            if fails:
                response, status = self.failing(fault, request)
            self.calls.append(
                Call(
                    route,
                    repo,
                    request.method,
                    str(request.url.path),
                    status,
                    "authorization" in request.headers,
                    time.monotonic(),
                )
            )
            return response

        return answer

    def next_fault(self, route: str, repo: str) -> Fault | None:
        """The planned fault that meets this call, counted down."""
        with self.lock:
            for fault in self.faults:
                if fault.route == route and fault.times > 0 and fault.repo in (None, repo):
                    fault.times -= 1
                    return replace(fault)
        return None

    def damaged(self, fault: Fault, request: Request, response: Response) -> Response:
        """The answer with a part of its body, or a wrong bit in it."""
        body, half = response.body, len(response.body) // 2
        headers = dict(response.headers)
        if fault.cut:

            async def pieces():
                yield body[:half]
                await asyncio.sleep(0.05)
                self.transports[tuple(request.scope["client"])].abort()

            return StreamingResponse(pieces(), response.status_code, headers)
        del headers["content-length"]
        rest = bytes([body[half] ^ 1]) + body[half + 1 :] if fault.flipped else b""
        return Response(body[:half] + rest, response.status_code, headers)

    def failing(self, fault: Fault, request: Request) -> tuple[Response, int]:
        """The answer of a fault and its status; a dropped connection is cut here."""
        if fault.drop:
            self.transports[tuple(request.scope["client"])].abort()
            return Response(), 0
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        if fault.body is None and fault.status >= 500:
            page = f"<html><h1>{fault.status}</h1></html>"
            return HTMLResponse(page, fault.status, headers), fault.status
        message = fault.body or f"planned {fault.status}"
        return JSONResponse({"error": message}, fault.status, headers), fault.status

    # --- who asks, and for what -------------------------------------------------------------

    def user(self, request: Request) -> User | None:
        """Who sent the request; None without a token."""
        header = request.headers.get("authorization")
        if header is None:
            return None
        token = header.removeprefix("Bearer ")
        if token not in self.users:
            raise HubError(401, "Invalid credentials in Authorization header")
        return self.users[token]

    def repo(
        self, request: Request, write: bool = False, kind: str = "", repo_id: str = ""
    ) -> Repo:
        """The repository of a request, if its sender may see it, or change it with `write`."""
        params, user = request.path_params, self.user(request)
        kind = kind or params.get("kind", "models")
        repo_id = repo_id or f"{params['owner']}/{params['name']}"
        repo = self.repos.get((kind, repo_id))
        mine = user is not None and repo_id.split("/")[0] in (user.name, *user.orgs)
        if repo is None or (repo.private and not mine):
            if user is None:
                raise HubError(401, "Invalid username or password.", "RepoNotFound")
            raise HubError(404, "Repository not found", "RepoNotFound")
        if write:
            self.check_writer(user, repo.owner)
        return repo

    def check_writer(self, user: User | None, owner: str) -> None:
        """Raise unless the user may write for this owner."""
        if user is None:
            raise HubError(401, "Invalid username or password.")
        if user.role != "write":
            raise HubError(403, "You must use a write token for this resource")
        if owner not in (user.name, *user.orgs):
            raise HubError(403, f"You don't have the rights to write under the namespace {owner!r}")

    def at(self, repo: Repo, rest: str) -> tuple[Commit, str]:
        """Commit and path of `main/some/path`; revisions under refs/ have three parts."""
        parts = rest.split("/")
        n = 3 if parts[0] == "refs" else 1
        return repo.resolve("/".join(parts[:n])), "/".join(parts[n:])

    # --- account and repositories -----------------------------------------------------------

    async def create(self, request: Request) -> Response:
        body, user = await request.json(), self.user(request)
        kind = body.get("type", "model") + "s"
        owner = body.get("organization") or (user.name if user else "")
        self.check_writer(user, owner)
        if not NAME.fullmatch(body["name"]):
            raise HubError(400, f"Invalid repo name {body['name']!r}")
        repo_id = f"{owner}/{body['name']}"
        if kind == "spaces" and body.get("sdk") not in ("gradio", "docker", "static"):
            raise HubError(400, "Invalid sdk: a Space needs one of gradio, docker, static")
        url = self.url + ("/" if kind == "models" else f"/{kind}/") + repo_id
        if (kind, repo_id) in self.repos:
            message = f"You already created this {kind[:-1]} repo"
            raise HubError(409, message, body={"error": message, "url": url})
        self.add_repo(kind, repo_id, body.get("visibility") == "private")
        return JSONResponse({"url": url, "name": repo_id, "id": _object_id(repo_id)})

    async def validate_yaml(self, request: Request) -> Response:
        body = await request.json()
        errors, warnings = check_card(body["content"], body["repoType"])
        answer = {
            "errors": [{"message": message} for message in errors],
            "warnings": [{"message": message} for message in warnings],
        }
        if errors:
            raise HubError(400, "Invalid metadata", body=answer)
        return JSONResponse(answer)

    async def info(self, request: Request) -> Response:
        repo, query = self.repo(request), request.query_params
        commit = repo.resolve(request.path_params.get("rev", "main"))
        blobs = query.get("blobs", "").lower() in ("true", "1")
        card = commit.tree.get("README.md")
        answer = {
            "_id": _object_id(repo.id),
            "id": repo.id,
            "author": repo.owner,
            "sha": commit.oid,
            "lastModified": commit.date,
            "createdAt": repo.history()[-1].date,
            "private": repo.private,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "usedStorage": sum(len(blob.data) for blob in commit.tree.values()),
            "cardData": front_matter(card.data.decode()) if card else None,
            "siblings": [
                {"rfilename": path, **(_blob_info(blob, "blobId") if blobs else {})}
                for path, blob in sorted(commit.tree.items())
            ],
        }
        if expand := query.getlist("expand") + query.getlist("expand[]"):
            answer = {key: answer.get(key) for key in ("_id", "id", *expand)}
        return JSONResponse(answer)

    # --- reading files ----------------------------------------------------------------------

    async def tree(self, request: Request) -> Response:
        repo, query = self.repo(request), request.query_params
        commit, folder = self.at(repo, request.path_params["rest"])
        prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
        rows = _listing(commit, prefix, query.get("recursive", "").lower() == "true")
        if prefix and not rows:
            raise HubError(404, f"{folder} does not exist on {commit.oid}", "EntryNotFound")
        size = int(query.get("limit", self.page_size))
        return self.page(request, rows, min(size, self.page_size))

    def page(self, request: Request, rows: list[dict], size: int) -> Response:
        """One page of the rows, and where the next one is."""
        start = int(request.query_params.get("cursor", 0))
        headers = {"X-Total-Count": str(len(rows))}
        if start + size < len(rows):
            query = urlencode({**request.query_params, "cursor": start + size})
            headers["Link"] = (
                f'<{self.next_page_at or self.url}{request.url.path}?{query}>; rel="next"'
            )
        return JSONResponse(rows[start : start + size], headers=headers)

    async def refs(self, request: Request) -> Response:
        repo = self.repo(request)
        rows = {
            group: [
                {"name": name, "ref": f"refs/{place}/{name}", "targetCommit": commit.oid}
                for name, commit in named.items()
            ]
            for group, place, named in (
                ("branches", "heads", repo.branches),
                ("tags", "tags", repo.tags),
            )
        }
        return JSONResponse({**rows, "converts": [], "pullRequests": []})

    async def resolve(self, request: Request) -> Response:
        repo = self.repo(request)
        commit, path = self.at(repo, request.path_params["rest"])
        headers = {"X-Repo-Commit": commit.oid}
        blob = commit.tree.get(path)
        if blob is None:
            raise HubError(404, f"{path} does not exist on {commit.oid}", "EntryNotFound")
        if blob.sha256 is None:
            headers |= {"ETag": f'"{blob.oid}"'}
            return _ranged(request, blob.data, headers)
        headers |= {"X-Linked-ETag": f'"{blob.sha256}"', "X-Linked-Size": str(len(blob.data))}
        place = f"{self.storage_url}/storage/{repo.kind}/{repo.id}/{blob.sha256}"
        return RedirectResponse(place, 302, headers)

    async def stored(self, request: Request) -> Response:
        sha = request.path_params["sha"]
        return _ranged(request, self.stored_in(request).objects[sha], {"ETag": f'"{sha}"'})

    def stored_in(self, request: Request) -> Repo:
        """The repository of a storage address, which needs no token: the address is the secret."""
        params = request.path_params
        return self.repos[params["kind"], f"{params['owner']}/{params['name']}"]

    # --- writing files ----------------------------------------------------------------------

    async def preupload(self, request: Request) -> Response:
        repo, body = self.repo(request, write=True), await request.json()
        tree = repo.resolve(request.path_params["rev"]).tree
        if len(body["files"]) > 256:
            raise HubError(413, "too many files in one call")
        answers = []
        for file in body["files"]:
            path, old = file["path"], tree.get(file["path"])
            large = is_large(path, file["size"], base64.b64decode(file["sample"]))
            answer = {"path": path, "uploadMode": "lfs" if large else "regular"}
            answer["shouldIgnore"] = False
            if old is not None:
                answer["oid"] = old.sha256 or old.oid
            answers.append(answer)
        return JSONResponse({"files": answers})

    async def xet_token(self, request: Request) -> Response:
        self.repo(request, write=True)
        # The chunk store itself is not played here: uploads by xet find its port closed.
        answer = {
            "casUrl": "http://127.0.0.1:9",
            "exp": int(time.time()) + 3600,
            "accessToken": "x",
        }
        return JSONResponse(answer)

    async def lfs_batch(self, request: Request) -> Response:
        rest = request.path_params["rest"]
        *kinds, owner, name = rest.split("/")
        kind, repo_id = (kinds or ["models"])[0], f"{owner}/{name}"
        repo, body = self.repo(request, True, kind, repo_id), await request.json()
        objects = []
        for item in body["objects"]:
            sha, size = item["oid"], item["size"]
            answer = {"oid": sha, "size": size}
            if sha not in repo.objects:
                place = f"{self.storage_url}/storage/{kind}/{repo_id}/{sha}"
                verify = {"href": f"{self.url}/api/lfs/{kind}/{repo_id}/verify"}
                answer["actions"] = {"upload": {"href": place}, "verify": verify}
            objects.append(answer)
        return JSONResponse({"transfer": "basic", "objects": objects})

    async def lfs_put(self, request: Request) -> Response:
        data, sha = await request.body(), request.path_params["sha"]
        if hashlib.sha256(data).hexdigest() != sha:
            raise HubError(400, "the content has another sha256")
        self.stored_in(request).objects[sha] = data
        return Response(headers={"ETag": f'"{sha}"'})

    async def lfs_verify(self, request: Request) -> Response:
        params, body = request.path_params, await request.json()
        repo_id = f"{params['owner']}/{params['name']}"
        repo = self.repo(request, True, params["kind"], repo_id)
        if len(repo.objects.get(body["oid"], b"")) != body["size"]:
            raise HubError(404, "the object was not uploaded whole")
        return JSONResponse({})

    async def commit(self, request: Request) -> Response:
        repo, branch = self.repo(request, write=True), request.path_params["rev"]
        lines = [json.loads(line) for line in (await request.body()).splitlines()]
        header = lines.pop(0)["value"]
        if branch not in repo.branches:
            raise HubError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        head = repo.branches[branch]
        if header.get("parentCommit") not in (None, head.oid):
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        tree = apply(repo, head.tree, lines, _decoded)
        if card := tree.get("README.md"):
            errors, _ = check_card(card.data.decode(), repo.kind.removesuffix("s"))
            if errors:
                raise HubError(400, f"Invalid metadata in README.md: {errors[0]}")
        author = self.user(request).name
        done = repo.commit(branch, tree, header["summary"], header.get("description", ""), author)
        prefix = "" if repo.kind == "models" else f"{repo.kind}/"
        url = f"{self.url}/{prefix}{repo.id}/commit/{done.oid}"
        return JSONResponse({"success": True, "commitOid": done.oid, "commitUrl": url})

    async def tag(self, request: Request) -> Response:
        repo, body = self.repo(request, write=True), await request.json()
        commit = repo.resolve(request.path_params["rev"])
        if body["tag"] in repo.tags:
            raise HubError(409, "Tag reference exists already")
        repo.tags[body["tag"]] = commit
        return JSONResponse({})


def _blob_info(blob: Blob, oid_key: str = "oid") -> dict:
    info = {oid_key: blob.oid, "size": len(blob.data)}
    if blob.sha256:
        info["lfs"] = {"size": len(blob.data), "pointerSize": 130}
        info["lfs"]["sha256" if oid_key == "blobId" else "oid"] = blob.sha256
    return info


def _listing(commit: Commit, prefix: str, recursive: bool) -> list[dict]:
    """Files and folders below a folder, as the tree route lists them."""
    folders: Counter[str] = Counter()
    rows = []
    for path, blob in commit.tree.items():
        if not path.startswith(prefix):
            continue
        parts = path.removeprefix(prefix).split("/")
        for n in range(1, len(parts)):
            if n == 1 or recursive:
                folders[prefix + "/".join(parts[:n])] += 1
        if len(parts) == 1 or recursive:
            rows.append({"type": "file", "path": path, **_blob_info(blob)})
    for path in folders:
        oid = hashlib.sha1(f"{commit.oid}{path}".encode()).hexdigest()
        rows.append({"type": "directory", "path": path, "oid": oid, "size": 0})
    return sorted(rows, key=lambda row: row["path"])


def _ranged(request: Request, data: bytes, headers: dict[str, str]) -> Response:
    """The bytes that a Range header asks for, or all of them."""
    headers = {**headers, "Accept-Ranges": "bytes"}
    wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if not wanted or wanted[0] == "bytes=-":
        return Response(data, 200, headers, "application/octet-stream")
    if wanted[1]:
        first, last = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
    else:
        first, last = max(0, len(data) - int(wanted[2])), len(data) - 1
    if first >= len(data):
        return Response(status_code=416, headers={"Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
    return Response(data[first : last + 1], 206, headers, "application/octet-stream")


def _decoded(content: str) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error as error:
        raise HubError(400, f"content is not base64: {error}") from error


def _object_id(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()[:24]
