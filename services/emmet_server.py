"""The Materials Project's own server, emmet-api, on 127.0.0.1, over documents from a file.

    ENVIRONMENT/bin/python services/emmet_server.py DOCUMENTS.json

Run in an environment of its own (`make test-services`). DOCUMENTS.json has the lists `summary` and
`robocrys`, the database version and the account's groups, which what stands before the real server
tells it in a header; keys and rate limits are not here. The port is the first line of standard output.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import mongomock


class Cursor:
    def __init__(self, documents):
        self.documents = documents

    async def to_list(self):
        return list(self.documents)


class Collection:
    """mongomock with the asynchronous calls of emmet-api; time limits and hints mean nothing here."""

    def __init__(self, documents):
        self.documents = mongomock.MongoClient().db.documents
        self.documents.insert_many(documents)

    async def count_documents(self, criteria, **_):
        return self.documents.count_documents(criteria)

    async def estimated_document_count(self, **_):
        return self.documents.estimated_document_count()

    async def aggregate(self, pipeline, **_):
        return Cursor(self.documents.aggregate(pipeline))


def of_account(application, groups: str):
    """The application as an account with these groups sees it."""

    async def answer(scope, receive, send):
        if scope["type"] == "http":
            scope["headers"] = [*scope["headers"], (b"x-consumer-groups", groups.encode())]
        await application(scope, receive, send)

    return answer


def main() -> None:
    held = json.loads(Path(sys.argv[1]).read_text())
    os.environ["MAPI_DB_VERSION"] = held["version"]
    os.environ["MAPI_ACCESS_CONTROLLED_BATCH_IDS"] = "gnome_r2scan_statics"
    import uvicorn
    from emmet.api.core.api import MAPI
    from emmet.api.resource.utils import CollectionWithKey
    from emmet.api.routes.materials.robocrys.resources import robo_resource
    from emmet.api.routes.materials.summary.resources import summary_resource

    stores = {
        name: CollectionWithKey(collection=Collection(held[name]), key="material_id")
        for name in ("summary", "robocrys")
    }
    resources = [summary_resource(stores["summary"]), robo_resource(stores["robocrys"])]
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    application = of_account(MAPI(resources={"materials": resources}).app, held["groups"])
    config = uvicorn.Config(application, log_level="error")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
