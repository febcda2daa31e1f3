"""Every way a download fails ends in the file or in one sentence; nothing must be deleted by hand."""

import hashlib
import os
import signal
import subprocess
import sys
import time

import pytest
from file_server import FileServer
from scripted_server import ScriptedServer

from curate.errors import InputError
from curate.web.download import Download
from curate.web.retry import RetryPolicy

CONTENT = os.urandom(400_000)
HASTY = RetryPolicy(attempts=4, first_wait=0.01, longest_wait=0.02)


@pytest.fixture
def server():
    with FileServer(CONTENT) as server:
        yield server


def is_whole(path):
    if path.read_bytes() != CONTENT:
        raise ValueError("its checksum does not fit")


def download(server, folder, *paths, **fields):
    urls = [server.url + path for path in paths or ("/a",)]
    settings = {"retry": HASTY, "timeout": 0.5, **fields}
    return Download(urls, folder / "table.zip", is_whole, "ask a colleague", **settings)


@pytest.mark.parametrize(
    "fault", ["cut", "stall", "short", "flipped", "503", "429", "storm", "500"]
)
def test_a_passing_fault_is_overcome(server, tmp_path, fault):
    server.faults["/a"] = [fault]
    path = download(server, tmp_path).fetch()
    assert path.read_bytes() == CONTENT
    assert len(server.requests) == 2
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"table.zip", "table.zip.lock"}


@pytest.mark.parametrize("fault", ["cut", "stall", "short", "flipped", "503", "storm"])
def test_a_lasting_fault_is_one_sentence_and_the_same_call_works_later(server, tmp_path, fault):
    server.faults["/a"] = [fault] * 4
    with pytest.raises(InputError) as error:
        download(server, tmp_path).fetch()
    message = str(error.value)
    assert message.startswith("table.zip can't be downloaded now (") and "\n" not in message
    assert "run the same command again to resume the download, or ask a colleague" in message
    assert not (tmp_path / "table.zip").exists()
    assert download(server, tmp_path).fetch().read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("challenge", "answers 202 without a file, which is how it turns programs away"),
        ("html", "sends a web page in place of the file"),
        ("403", "answers 403 Forbidden"),
        ("404", "answers 404 Not Found"),
    ],
)
def test_a_wall_sends_to_the_other_address_or_is_one_sentence(server, tmp_path, fault, words):
    server.faults["/a"] = [fault]
    assert download(server, tmp_path, "/a", "/b").fetch().read_bytes() == CONTENT
    assert [request.path for request in server.requests] == ["/a", "/b"]
    (tmp_path / "table.zip").unlink()
    server.faults = {"/a": [fault], "/b": [fault]}
    with pytest.raises(InputError) as error:
        download(server, tmp_path, "/a", "/b").fetch()
    expected = f"{server.url}/a {words}; {server.url}/b {words}; ask a colleague"
    assert str(error.value) == f"table.zip can't be downloaded: {expected}"
    assert download(server, tmp_path, "/a", "/b").fetch().read_bytes() == CONTENT


def test_what_arrived_is_not_asked_for_again(server, tmp_path):
    server.faults["/a"] = ["cut", "cut"]
    seen = []
    download(server, tmp_path, watch=lambda done, total: seen.append((done, total))).fetch()
    assert [request.range for request in server.requests] == [
        None,
        "bytes=200000-",
        "bytes=300000-",
    ]
    assert sum(request.sent for request in server.requests) == len(CONTENT)
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert all(total == len(CONTENT) for _, total in seen)


def test_halves_of_two_versions_are_never_joined(server, tmp_path):
    server.faults["/a"] = ["cut"] * 4
    server.content = os.urandom(400_000)
    with pytest.raises(InputError):
        download(server, tmp_path).fetch()
    assert (tmp_path / "table.zip.part").exists()
    server.content, server.tag = CONTENT, '"v2"'
    assert download(server, tmp_path).fetch().read_bytes() == CONTENT
    assert server.requests[-1].sent == len(CONTENT)


def test_a_server_without_ranges_is_read_from_the_start(server, tmp_path):
    server.faults["/a"] = ["cut", "plain"]
    assert download(server, tmp_path).fetch().read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_dropped(server, tmp_path):
    (tmp_path / "table.zip.part").write_bytes(CONTENT + b"more")
    (tmp_path / "table.zip.part.json").write_text('{"tag": "\\"v1\\"", "total": null}')
    assert download(server, tmp_path).fetch().read_bytes() == CONTENT


def test_a_file_that_is_there_is_not_fetched(server, tmp_path):
    (tmp_path / "table.zip").write_bytes(b"here")
    assert download(server, tmp_path).fetch().read_bytes() == b"here"
    assert not server.requests


def test_nobody_there_is_one_sentence(tmp_path):
    with FileServer(CONTENT) as server:
        pass
    with pytest.raises(InputError, match=r"^table.zip can't be downloaded now \("):
        download(server, tmp_path).fetch()


def test_an_unknown_host_is_one_sentence_at_once(tmp_path):
    patient = RetryPolicy(attempts=8, first_wait=60.0)
    with FileServer(CONTENT) as server:
        urls = ["http://nowhere.invalid/a", f"{server.url}/b"]
        asked = Download(urls, tmp_path / "t.zip", is_whole, "ask a colleague", patient)
        assert asked.fetch().read_bytes() == CONTENT  # the other address is known
    lost = Download(urls[:1], tmp_path / "u.zip", is_whole, "ask a colleague", patient)
    with pytest.raises(InputError, match=r"nowhere.invalid/a is not known .*; ask a colleague"):
        lost.fetch()


def test_a_killed_download_goes_on_from_its_bytes(server, tmp_path):
    code = (
        "import sys; from pathlib import Path; from curate.web.download import Download\n"
        "Download([sys.argv[1]], Path(sys.argv[2]), lambda path: None, '').fetch()"
    )
    path, part = tmp_path / "table.zip", tmp_path / "table.zip.part"
    server.content, server.pace = os.urandom(20_000_000), 0.002
    process = subprocess.Popen([sys.executable, "-c", code, f"{server.url}/a", str(path)])
    while not (part.exists() and part.stat().st_size > 2_000_000):
        assert process.poll() is None
        time.sleep(0.01)
    second = download(server, tmp_path)
    with pytest.raises(InputError, match="another process is downloading"):
        second.fetch()
    process.send_signal(signal.SIGKILL)
    process.wait()
    have, server.pace = part.stat().st_size, 0.0
    assert 2_000_000 < have < 20_000_000
    second.check = lambda path: None
    second.fetch()
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(server.content).digest()
    assert server.requests[-1].range == f"bytes={have}-"
    assert server.requests[-1].sent == 20_000_000 - have


def scripted(answer, folder, **fields):
    settings = {"retry": HASTY, "timeout": 0.5, **fields}
    with ScriptedServer(answer) as server:
        urls = [f"{server.url}/a"]
        return Download(urls, folder / "table.zip", is_whole, "ask a colleague", **settings).fetch()


def drops():
    while True:
        time.sleep(0.01)
        yield b"x" * 1000


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda path: (429, {"Retry-After": "99999999"}, b""), "asks to wait 99,999,999 s"),
        (lambda path: (302, {"Location": "/a"}, b""), "redirects in a circle"),
        (lambda path: (200, {}, drops()), "sends more than 20,000 bytes"),
        (lambda path: (200, {}, bytes(30_000)), "announces 30,000 bytes"),
        (
            lambda path: (206, {"Content-Range": "bytes \u00b2-9/\u00b2"}, b"a"),
            "without saying which",
        ),
        (lambda path: (503, {"Retry-After": "\u00b2"}, b""), "answers 503"),
    ],
)
def test_an_answer_without_measure_is_one_sentence(tmp_path, answer, words):
    with pytest.raises(InputError) as error:
        scripted(answer, tmp_path, most_bytes=20_000)
    assert words in str(error.value) and "ask a colleague" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_transfer_that_drips_has_an_end(tmp_path):
    with pytest.raises(InputError, match="took more than 0 s"):
        scripted(lambda path: (200, {}, drops()), tmp_path, most_seconds=0.2)


def test_a_tag_that_cannot_be_sent_back_is_none(tmp_path):
    answer = (200, {"ETag": '"\u00e9"'}, CONTENT[:1000])
    with pytest.raises(InputError, match="can't be downloaded now"):
        scripted(lambda path: answer, tmp_path)
