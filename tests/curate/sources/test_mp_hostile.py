"""A server that answers in the Materials Project's place: the key stays, and waiting has an end."""

import pytest
from mp_entries import documents, read, texts
from mp_server import KEY, MPServer
from scripted_server import ScriptedServer, page

from curate.errors import InputError
from curate.sources.mp import MaterialsProject
from curate.sources.mp_client import MPClient
from curate.web.retry import RetryPolicy

HASTY = RetryPolicy(attempts=3, first_wait=0.01, longest_wait=0.02)


@pytest.fixture
def server(monkeypatch):
    found = documents()
    with MPServer(summary=found, robocrys=texts(found)) as server:
        monkeypatch.setenv("MP_API_KEY", KEY)
        yield server


def refused(server, tmp_path) -> str:
    client = MPClient(server.url, tables=tmp_path / "tables", retry=HASTY)
    with pytest.raises(InputError) as error:
        read(MaterialsProject({"mp-1"}, client=client))
    assert "\n" not in str(error.value) and KEY not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_key_does_not_follow_a_redirect(server, tmp_path, host, status):
    with ScriptedServer(lambda path: page({"data": [], "meta": {"total_doc": 0}})) as other:
        target = (
            f"http://{host}:{other.port}/materials/summary/"  # one host, another port, is another
        )
        server.fail("summary", status, times=9, location=target)
        said = refused(server, tmp_path)
        assert "sends on to another address, " + target in said
        assert "see whether MP_API_ENDPOINT is the right address" in said
        assert other.requests == []


def test_a_redirect_at_the_same_host_is_followed_with_the_key(server, tmp_path):
    server.fail("summary", 307, location="/materials/summary/?material_ids=mp-1&_limit=9")
    client = MPClient(server.url, tables=tmp_path / "tables", retry=HASTY)
    assert set(read(MaterialsProject({"mp-1"}, client=client))) == {"mp-1"}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("99999999", "99,999,999 s"),
        ("9" * 400, "for ever"),
        ("Fri, 01 Jan 2199 00:00:00 GMT", " s"),
    ],
)
@pytest.mark.parametrize("route", ["heartbeat", "summary"])
def test_waiting_has_an_end(server, tmp_path, route, asked, words):
    server.fail(route, 429, times=9, retry_after=asked)
    said = refused(server, tmp_path)
    assert said.startswith("the Materials Project asks to wait ") and words in said
    assert "at most 900 s are waited; run the same command again later" in said


def test_a_wait_that_is_no_number_is_left_to_the_policy(server, tmp_path):
    for asked in ("\u00b2", "-5", "1e3", "soon", "Fri, 01 Jan 1999 00:00:00 -0000", "Mon, 99"):
        server.fail("heartbeat", 503, retry_after=asked)
        assert MPClient(server.url, tables=tmp_path, retry=HASTY).version() == server.version


@pytest.mark.parametrize("version", ["../../etc", "a/b", "", ".hidden", "x\ny: 1", "v" * 99])
def test_a_version_that_is_no_name_of_a_folder_is_refused(server, tmp_path, version):
    server.version = version
    assert "tells no database version" in refused(server, tmp_path)


def test_documents_without_an_id_are_one_sentence(server, tmp_path):
    server.fail("summary", 200, times=9, body='{"data": [{"material_id": null}], "meta": {}}')
    refused(server, tmp_path)
    assert not (tmp_path / "tables").exists()
