"""What a service may not do to a client: lead it elsewhere, fill its memory, keep it waiting."""

import time

import pytest
import requests
from scripted_server import ScriptedServer, page

from curate.web.bounds import BoundedAdapter, Refusal, is_address, stays_at_host, within


@pytest.mark.parametrize(
    ("known", "url", "stays"),
    [
        ("http://a.org", "http://a.org/x?y=1", True),
        ("http://a.org", "http://A.ORG:80/x", True),
        ("http://a.org", "https://a.org/x", True),  # better protected
        ("https://a.org", "http://a.org/x", False),
        ("https://a.org", "https://a.org:8443/x", False),
        ("http://a.org:81", "https://a.org:81/x", False),
        ("https://a.org", "https://a.org.evil.org/", False),
        ("https://a.org", "https://a.org@evil.org/", False),
        ("https://a.org", "https://me:secret@a.org/", False),
        ("https://a.org", "https://evil.org\\@a.org/", False),
        ("https://a.org", "https://a.org\n/", False),
        ("https://a.org", "ftp://a.org/", False),
        ("https://a.org", "file:///etc/passwd", False),
        ("https://a.org", "https://[::1/", False),
        ("https://a.org", "https://a.org:99999/", False),
        ("http://[::1]:80", "http://[::1]/x", True),
    ],
)
def test_whether_an_address_is_at_the_known_host(known, url, stays):
    assert stays_at_host(known, url) is stays


def test_an_address_is_plain_ascii():
    assert is_address("https://oqmd.org/optimade") and is_address("http://127.0.0.1:8080/a?b=c")
    for text in ("oqmd.org", "https://", "https://a.org/ä", "https://a.org/<b>\x1b", "https:///x"):
        assert not is_address(text)


def session(**bounds) -> requests.Session:
    session = requests.Session()
    session.mount("http://", BoundedAdapter(**bounds))
    return session


def test_a_body_without_end_is_refused():
    def endless():
        while True:
            yield b" " * 10_000

    answer = (200, {}, endless())
    refused = pytest.raises(Refusal, match="sends more than 1,000,000 bytes in one answer")
    with ScriptedServer(lambda path: answer) as server, refused:
        session(most_bytes=1_000_000).get(server.url)


def test_a_body_that_unpacks_to_more_is_refused():
    import gzip

    packed = gzip.compress(bytes(50_000_000))
    answer = (200, {"Content-Encoding": "gzip"}, packed)
    refused = pytest.raises(Refusal, match="more than 1,000,000 bytes")
    with ScriptedServer(lambda path: answer) as server, refused:
        session(most_bytes=1_000_000).get(server.url)


def test_one_byte_at_a_time_has_an_end():
    def drops():
        for _ in range(200):
            time.sleep(0.05)
            yield b" "

    with ScriptedServer(lambda path: (200, {}, drops())) as server:
        started = time.monotonic()
        with pytest.raises(Refusal, match="takes more than 1 s for one answer"):
            session(most_seconds=1.0).get(server.url, timeout=30)
        assert time.monotonic() - started < 3


def test_an_answer_within_the_bounds_is_as_ever():
    with ScriptedServer(lambda path: page({"a": [1, 2]}, 404)) as server:
        answer = session().get(server.url)
        assert (answer.status_code, answer.json()) == (404, {"a": [1, 2]})


def test_the_calls_own_time_limit_is_its_own():
    def call(is_late):
        raise TimeoutError("of the call")

    with pytest.raises(TimeoutError, match="of the call"):
        within(5, call)
