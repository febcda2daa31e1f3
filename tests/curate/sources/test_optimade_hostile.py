"""Answers that no OPTIMADE server should give: each ends in one sentence, in time, at the same host."""

import itertools
import json

import pytest
from scripted_server import ScriptedServer, page

from curate.errors import InputError
from curate.licenses import is_unknown
from curate.record import SkippedEntry, StructureRecord
from curate.sources.optimade import Optimade, license_of, name_of
from curate.sources.optimade_client import OptimadeReader
from curate.web.retry import RetryPolicy

HASTY = RetryPolicy(attempts=2, first_wait=0.01, longest_wait=0.02)
ATOMS = {
    "lattice_vectors": [[3.0, 0, 0], [0, 3.0, 0], [0, 0, 3.0]],
    "cartesian_site_positions": [[0, 0, 0]],
    "species_at_sites": ["Na"],
    "dimension_types": [1, 1, 1],
}


def entry(name="x-1", **attributes):
    return {"id": name, "type": "structures", "attributes": {**ATOMS, **attributes}}


def answers(structures=None, info=None, described=None, provider=None):
    """What a server answers; `structures` gets the number of the question for structures."""
    number = itertools.count()
    one = {"data": [entry()], "meta": {"data_returned": 1}, "links": {"next": None}}

    def answer(path):
        if path.startswith("/v1/info/structures"):
            return page({"data": {"properties": described or {}}, "meta": {}})
        if path.startswith("/v1/info"):
            return page({"data": info or {}, "meta": {"provider": provider or {"prefix": "tst"}}})
        return structures(next(number)) if structures else page(one)

    return answer


def read(server):
    source = Optimade(server.url, client=OptimadeReader(server.url, retry=HASTY))
    return source, source.snapshot(), list(source.records())


def refused(answer) -> str:
    with ScriptedServer(answer) as server, pytest.raises(InputError) as error:
        read(server)
    assert "\n" not in str(error.value) and len(server.requests) < 60
    return str(error.value)


def following(next, *entries, **meta):
    return page({"data": list(entries), "meta": meta, "links": {"next": next}})


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1"])
def test_a_next_page_at_another_host_is_not_asked_for(host):
    with ScriptedServer(lambda path: following(None)) as other:
        elsewhere = f"http://{host}:{other.port}/v1/structures"
        said = refused(answers(lambda n: following(elsewhere, entry())))
        assert f"its next page is at another host, {elsewhere}, which is not followed" in said
        assert other.requests == []


@pytest.mark.parametrize(
    "next",
    ["file:///etc/passwd", "http://[", "//evil.invalid/x", "http://me:x@127.0.0.1/", "http:\\\\a"],
)
def test_a_next_page_that_is_no_address_of_the_server(next):
    assert "is at another host" in refused(answers(lambda n: following(next, entry())))


def test_a_redirect_to_another_host_is_not_followed():
    with ScriptedServer(lambda path: following(None)) as other:
        said = refused(lambda path: (302, {"Location": f"{other.url}{path}"}, b""))
        assert "sends on to another address" in said and "--input needs its base address" in said
        assert other.requests == []


def test_a_page_may_name_the_next_without_its_host():
    two = answers(
        lambda n: following("/v1/structures?page_offset=1" if n % 2 == 1 else None, entry(f"x-{n}"))
    )
    with ScriptedServer(lambda path: two(path)) as server:
        _, _, entries = read(server)
        assert [one.material_id for one in entries] == ["x-1", "x-2"]


@pytest.mark.parametrize(
    ("structures", "words"),
    [
        (lambda n: following("/v1/structures?again", entry()), "the same page again"),
        (lambda n: following(f"/v1/structures?{n}", entry()), "the same page again"),
        (
            lambda n: following(f"/v1/structures?{n}", *[entry()] * (n == 0)),
            "a page without structures that is not the last",
        ),
        (
            lambda n: following(f"/v1/structures?{n}", entry(f"x-{n}"), data_returned=3),
            "4 structures where it announced 3",
        ),
    ],
)
def test_pages_without_progress_have_an_end(structures, words):
    assert words in refused(answers(structures))


@pytest.mark.parametrize("asked", ["99999999", "9" * 400, "Sat, 01 Jan 2099 00:00:00 GMT"])
def test_waiting_has_an_end(asked):
    said = refused(lambda path: page({}, 429, **{"Retry-After": asked}))
    assert "asks to wait" in said and "at most 900 s are waited" in said


@pytest.mark.parametrize("asked", ["\u00b2", "-1", "", "tomorrow", "Sat, 99 Jan 2099"])
def test_a_wait_that_is_no_number(asked):
    # Headers are Latin-1, as is the digit.
    assert "keeps answering 503" in refused(lambda path: page({}, 503, **{"Retry-After": asked}))


ODD = [None, True, 7, -1, 1e308, "text", [], ["x"], {}, {"a": [1]}, [[]], "\x1b[31m", "\ud800"]
PLACES = [
    ("data",),
    ("meta",),
    ("links",),
    ("links", "next"),
    ("meta", "data_returned"),
    ("meta", "request_delay"),
    ("meta", "provider"),
    ("meta", "provider", "prefix"),
    ("meta", "provider", "homepage"),
    ("meta", "implementation"),
    ("meta", "implementation", "version"),
    ("meta", "api_version"),
    ("data", 0),
    ("data", 0, "id"),
    ("data", 0, "attributes"),
    ("data", 0, "attributes", "species"),
    ("data", 0, "attributes", "structure_features"),
    ("data", 0, "attributes", "dimension_types"),
    ("data", 0, "attributes", "lattice_vectors"),
]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_any_part_may_be_anything(place):
    """Records, rows with a reason, or one sentence; never another error."""
    for odd in ODD:
        meta = {"provider": {"prefix": "tst"}, "implementation": {"name": "x"}}
        content = {"data": [entry()], "meta": meta, "links": {"next": None}}
        target = content
        for step in place[:-1]:
            target = target[step]
        target[place[-1]] = odd
        with ScriptedServer(answers(lambda n, content=content: page(content))) as server:
            try:
                _, _, entries = read(server)
            except InputError as error:
                assert "\n" not in str(error)
            else:
                assert all(isinstance(one, StructureRecord | SkippedEntry) for one in entries)


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"data": ' + b"9" * 5000 + b"}", b"\xff\xfe", b"", b"null", b"{" * 9]
)
def test_a_body_that_is_no_answer(body):
    assert "does not answer as an OPTIMADE server" in refused(lambda path: (200, {}, body))


def test_names_from_outside_reach_the_card_as_names_or_not_at_all():
    evil = "x\n---\nlicense: mit\n<script>alert(1)</script>![a](http://evil.invalid/a.png)|`"
    provider = {"prefix": evil, "name": evil, "homepage": evil}
    described = {
        "_tst_energy": {"type": "float", "unit": evil},
        "_a\n<b>": {"type": "float", "unit": "eV"},
        "_tst_gap": {"type": "float", "unit": "eV"},
    }
    info = {"attributes": {"available_licenses": [evil]}}
    structures = [entry(evil), entry("y" * 999), entry("good", **{"_a\n<b>": 1.0, "_tst_gap": 2.0})]
    answer = answers(lambda n: following(None, *structures), info, described, provider)
    with ScriptedServer(answer) as server:
        source, snapshot, entries = read(server)
    assert snapshot.database == server.url and is_unknown(snapshot.license)
    shown = json.dumps([snapshot.database, snapshot.version, snapshot.citation], ensure_ascii=False)
    assert not set("<>|`![\\") & set(shown.strip("[]").replace('["', ""))
    assert source.units == {"_tst_gap": "eV"}
    assert [one.material_id for one in entries] == ["entry 1", "entry 2", "good"]
    assert set(entries[2].properties) == {"_tst_gap"}


def test_one_odd_licence_of_several_makes_them_unknown():
    assert (
        license_of({"attributes": {"available_licenses": ["CC-BY-4.0", "all rights | x"]}}) is None
    )
    assert license_of({"attributes": {"license": "javascript:alert(1)"}}) is None
    assert name_of("a\x1b[31m\u202eb") == "a 31m b"


def test_a_password_in_the_address_is_refused():
    with pytest.raises(InputError, match="holds a user name or a password") as error:
        Optimade("https://me:secret@oqmd.org/optimade")
    assert "secret" not in str(error.value)


def test_properties_whose_description_makes_no_sense_are_not_asked_for():
    described = {
        "_tst_a": {"type": [{"a": 1}], "properties": [1]},
        "_tst_b": {"type": "dictionary", "properties": {"c": {"unit": ["eV"]}, "d": 1}},
        "_tst_e": {"type": 7},
    }
    with ScriptedServer(answers(described=described)) as server:
        source, _, entries = read(server)
        assert len(entries) == 1 and source.fields == ["_tst_a", "_tst_b", "_tst_e"]
        assert source.units == {}
