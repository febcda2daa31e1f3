"""The app in a browser: a CIF is described and predicted, a broken one is answered with a sentence."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
from browser import chromium, opened

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[3]
UPLOAD = "#upload input[type=file]"


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def address(trained, dataset, cache):
    """`crysmmnet app`, as a user starts it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = f"-m model app {trained} --data {dataset} --cache {cache} --port {port}"
    with subprocess.Popen([sys.executable, *command.split()], cwd=ROOT) as app:
        url = f"http://127.0.0.1:{port}"
        assert app.poll() is None
        wait_for(url, app)
        yield url
        app.terminate()


def wait_for(url: str, app: subprocess.Popen) -> None:
    """Until the page answers."""
    for _ in range(240):
        assert app.poll() is None, "the app stopped"
        try:
            httpx2.get(url).raise_for_status()
            return
        except httpx2.HTTPError:
            time.sleep(0.5)
    raise TimeoutError(url)


def test_a_dropped_cif_is_described_and_predicted(browser, address, rutile, tmp_path):
    rutile.to_pymatgen().to(filename=str(tmp_path / "rutile.cif"))
    with opened(browser, address, offline=False) as found:
        page = found.page
        page.set_input_files(UPLOAD, str(tmp_path / "rutile.cif"))
        numbers = page.locator("#prediction b")
        numbers.nth(1).wait_for(timeout=60_000)
        whole, without = map(float, numbers.all_text_contents())
        assert whole != without
        assert "eV/atom" in page.locator("#prediction").text_content()
        page.locator("#description mark").first.wait_for()
        assert page.locator("#description").text_content().strip().startswith("TiO2 is Rutile")
        page.locator("#neighbors", has_text="JVASP-").wait_for()
        cell = page.frame_locator("#cell iframe").locator("#structure")
        assert cell.bounding_box()["height"] > 200
        assert [url for url in found.requests if not url.startswith(address)] == []


def test_crystals_are_found_by_words(browser, address):
    with opened(browser, address, offline=False) as found:
        page = found.page
        page.fill("#question textarea", "rubidium bromide, halite")
        page.press("#question textarea", "Enter")
        page.locator("#found td", has_text="JVASP-1921").first.wait_for(timeout=60_000)
        assert "Reading rubidium as Rb, bromide as Br" in page.locator("#said").text_content()
        assert "RbBr6 octahedra" in page.locator("#found").text_content()
        page.fill("#question textarea", "<b>jabberwock</b>")
        page.press("#question textarea", "Enter")
        page.locator("#said", has_text="no word of '<b>jabberwock</b>' stands in a text").wait_for()
        assert page.locator("#found td").count() == 0
        assert [url for url in found.requests if not url.startswith(address)] == []


def test_a_broken_cif_is_answered_with_a_sentence(browser, address, tmp_path):
    (tmp_path / "broken.cif").write_text("data_<b>x</b>\n_cell_length_a nothing\nloop_\n")
    with opened(browser, address, offline=False) as found:
        page = found.page
        page.set_input_files(UPLOAD, str(tmp_path / "broken.cif"))
        page.locator("#status", has_text=re.compile("broken.cif: .+")).wait_for(timeout=60_000)
        assert page.locator("#prediction b").count() == 0
        assert "Traceback" not in page.locator("body").text_content()


def test_the_spaces_own_page_is_this_page(trained, dataset, cache, tmp_path):
    from model.config import PushModelConfig
    from model.publish.space import plan_space

    for file in plan_space(PushModelConfig(trained, "ada/try", data=dataset, cache=cache)).files:
        (tmp_path / file.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file.path).write_bytes(file.content())
    said = "import app, model; print(type(app.page).__name__, model.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", said],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["Blocks", str(tmp_path / "model" / "__init__.py")], done.stderr
