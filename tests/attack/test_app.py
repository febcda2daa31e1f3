"""Strangers at the app: one whose file hangs or bursts waits alone, and the page goes on."""

import gzip
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from slow_files import shared_sites_cif

from curate.work.pool import Limits
from model.pages import app_session
from model.pages.app_session import AppSession


@pytest.fixture(scope="module")
def session(trained, dataset, cache) -> AppSession:
    return AppSession(trained, dataset, cache)


def last_status(session, path) -> tuple[str, float]:
    began = time.monotonic()
    *_, last = session.answer(str(path))
    return last["status"], time.monotonic() - began


def test_a_hostile_upload_keeps_nobody_waiting(session, rutile, tmp_path, monkeypatch):
    monkeypatch.setattr(app_session, "TO_READ", Limits(1, 15.0, 0.5))
    good, slow, bomb = (tmp_path / name for name in ("good.cif", "slow.cif", "bomb.cif.gz"))
    rutile.to_pymatgen().to(filename=str(good))
    slow.write_text(shared_sites_cif())
    with gzip.open(bomb, "wb", compresslevel=1) as file:
        for _ in range(400):
            file.write(b"x" * 2**20)
    with ThreadPoolExecutor(4) as users:
        hostile = [users.submit(last_status, session, path) for path in (slow, bomb)]
        time.sleep(1)
        status, seconds = users.submit(last_status, session, good).result(60)
        assert "Described in" in status
        assert not hostile[0].done() and seconds < 14
        said = [answer.result(60)[0] for answer in hostile]
    assert said[0] == "slow.cif: reading it was given up: not finished after 15 s"
    assert said[1].startswith("bomb.cif.gz: ") and "Traceback" not in said[1]
    assert "Described in" in last_status(session, good)[0]


def test_the_first_of_two_structures_is_not_taken_without_a_word(session, rutile, tmp_path):
    one = rutile.to_pymatgen().to(fmt="cif")
    (tmp_path / "two.cif").write_text(one + one)
    status, _ = last_status(session, tmp_path / "two.cif")
    assert status == "two.cif: it holds 2 crystals; this page takes one at a time"
