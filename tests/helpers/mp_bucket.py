"""The Materials Project's bulk tables on 127.0.0.1: moto's S3 server with Delta tables in it.

The server is this file run as a program: the client's reader holds Python's lock while it waits, so
nothing in its own process could answer it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from typing import Any

import pyarrow as pa

BUCKET = "materialsproject-build"
ACCOUNT = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
CONTROL = "/planned"  # PUT: statuses of the next reads of data files; GET: how many were read


class Bucket:
    """The running server, written to with another account than the client's anonymous one."""

    def __enter__(self) -> Bucket:
        import boto3

        self.process = subprocess.Popen(
            [sys.executable, __file__],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "MOTO_ALLOW_NONEXISTENT_REGION": "true"},
        )
        assert self.process.stdout is not None
        port = self.process.stdout.readline().strip()
        assert port, "moto's server does not start; `python tests/helpers/mp_bucket.py` shows why"
        self.url = f"http://127.0.0.1:{port}"
        self.s3 = boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", **ACCOUNT)
        self.s3.create_bucket(Bucket=BUCKET)
        return self

    def __exit__(self, *_) -> None:
        self.process.terminate()
        self.process.communicate()

    @property
    def environment(self) -> dict[str, str]:
        """What lets the real client find the bucket."""
        return {"AWS_ENDPOINT_URL": self.url, "AWS_ALLOW_HTTP": "true"}

    def fail(self, status: int, times: int = 1) -> None:
        """Answer the next reads of data files with this status, and no others."""
        body = json.dumps([status] * times).encode()
        urllib.request.urlopen(
            urllib.request.Request(self.url + CONTROL, data=body, method="PUT")
        ).close()

    @property
    def n_reads(self) -> int:
        """How often a data file was asked for."""
        with urllib.request.urlopen(self.url + CONTROL) as answer:
            return int(answer.read())

    def put(self, collection: str, table: pa.Table) -> None:
        """Write a collection's table anew and let everyone read it, as the real bucket does."""
        from deltalake import write_deltalake

        write_deltalake(
            f"s3a://{BUCKET}/collections/{collection}/",
            table,
            mode="overwrite",
            partition_by=["version"],
            storage_options={
                **{name.upper(): value for name, value in (ACCOUNT | self.environment).items()},
                "AWS_REGION": "us-east-1",
                "AWS_S3_ALLOW_UNSAFE_RENAME": "true",
            },
        )
        for item in self.s3.list_objects_v2(Bucket=BUCKET)["Contents"]:
            self.s3.put_object_acl(Bucket=BUCKET, Key=item["Key"], ACL="public-read")


def serve() -> None:
    """Answer until terminated; the port is the first line of standard output."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    moto = DomainDispatcherApplication(create_backend_app)
    planned: list[int] = []
    reads: list[str] = []

    def answer(environ: dict[str, Any], start_response):
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if path == CONTROL:
            if method == "PUT":
                body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
                planned[:] = json.loads(body)
            start_response("200 OK", [])
            return [str(len(reads)).encode()]
        if method == "GET" and path.endswith(".parquet"):
            reads.append(path)
            if planned:
                start_response(f"{planned.pop(0)} planned", [("Content-Type", "text/html")])
                return [b"<html><h1>planned</h1></html>"]
        return moto(environ, start_response)

    server = make_server("127.0.0.1", 0, answer, threaded=True)
    print(server.port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    serve()
