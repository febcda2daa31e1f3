"""The Materials Project's own server and the small one of the tests give the same records.

Runs apart from the other tests, `make test-services`: the server needs an environment of its own, whose
interpreter is SERVICES_PYTHON.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "helpers"))

import mp_crystals  # noqa: E402
from mp_entries import N, documents, read, texts  # noqa: E402
from mp_server import KEY, MPServer  # noqa: E402

from curate.record import StructureRecord  # noqa: E402
from curate.sources.mp import MaterialsProject  # noqa: E402
from curate.sources.mp_client import MPClient  # noqa: E402
from curate.web.retry import RetryPolicy  # noqa: E402

PYTHON = os.environ.get("SERVICES_PYTHON", str(HERE.parent / ".venv-services/bin/python"))
HASTY = RetryPolicy(attempts=3, first_wait=0.01, longest_wait=0.02)


@pytest.fixture(scope="module", params=["", "TERMS:ACCEPT-NC"], ids=["plain", "with GNoME"])
def emmet(request, tmp_path_factory):
    """Groups of an account, and the address of emmet-api as it answers them."""
    found = documents()
    held = {"summary": found, "robocrys": texts(found), "version": mp_crystals.VERSION}
    held["groups"] = request.param
    path = tmp_path_factory.mktemp("emmet") / "documents.json"
    path.write_text(json.dumps(held))
    process = subprocess.Popen(
        [PYTHON, str(HERE / "emmet_server.py"), str(path)], stdout=subprocess.PIPE, text=True
    )
    port = process.stdout.readline().strip()
    assert port, "emmet-api does not start"
    yield request.param, f"http://127.0.0.1:{port}/"
    process.terminate()
    process.wait()


@pytest.fixture
def both(emmet, monkeypatch):
    """Clients of the two servers, which hold the same documents."""
    monkeypatch.setenv("MP_API_KEY", KEY)
    groups, address = emmet
    found = documents()
    with MPServer(summary=found, robocrys=texts(found), has_gnome=bool(groups)) as small:
        yield [MPClient(url, retry=HASTY) for url in (address, small.url)]


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("noncommercial", [False, True])
def test_both_servers_give_the_same_records(both, emmet, published, noncommercial):
    ids = {f"mp-{number}" for number in range(1, N + 1)} | {"mp-99"}
    asked = {"ids": ids, "published": published, "noncommercial": noncommercial}
    real, small = (read(MaterialsProject(client=client, **asked)) for client in both)
    assert real == small
    assert sum(isinstance(entry, StructureRecord) for entry in real.values()) > 30
    assert real["mp-4"].error_type == "Deprecated"
    gnome = real["mp-5"]
    if not emmet[0]:
        assert gnome.error_type == "NoEntry"  # GNoME's terms are not accepted
    elif noncommercial:
        assert gnome.license == "CC-BY-NC-4.0"
    else:
        assert gnome.error_type == "NonCommercial"


def test_a_long_list_of_ids_comes_whole(both):
    ids = {f"mp-{number}" for number in range(1, 1201)}
    real, small = (read(MaterialsProject(ids, client=client)) for client in both)
    assert len(real) == 1200 and real == small


def test_both_servers_name_the_same_version(both):
    assert {client.version() for client in both} == {mp_crystals.VERSION}
