"""The report in a browser: it opens from disk, asks for nothing, filters, sorts and turns crystals."""

from pathlib import Path

import pytest
from browser import NARROW, WIDE, cells, chromium, opened, painted, picture
from report_run import FAILED_ID, HOSTILE_ID, HOSTILE_TEXT, REASON, write_run

from curate.config import ReportConfig
from curate.report.page import report
from model.config import ReportModelConfig
from model.pages.report import report as make_model_page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    report(ReportConfig(write_run(folder / "run"), folder / "report.html"))
    return folder / "report.html"


@pytest.fixture(scope="module")
def model_page(trained, dataset, cache, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("browser") / "model.html"
    make_model_page(ReportModelConfig(trained, dataset, out, explain=("JVASP-1921",), cache=cache))
    return out


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_from_disk_and_asks_for_nothing(browser, page_file, size, scheme):
    with opened(browser, page_file, size, scheme) as found:
        found.scrolled()
        page = found.page
        assert page.locator(".plot .main-svg").count() > 8
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(247, 246, 243)" if scheme == "light" else "rgb(18, 21, 26)")
        page.locator("#table tbody tr").first.click()
        page.wait_for_selector("dialog[open]")
        assert (found.requests, found.complaints, found.dialogs) == ([], [], [])


def test_the_table_filters_and_sorts(browser, page_file):
    with opened(browser, page_file) as found:
        page = found.page
        assert page.locator("#found").text_content() == "50 of 50 crystals"
        page.fill("#search", "O")
        formulas = cells(page, 2)
        assert formulas
        assert all("O" in f for f in formulas)
        page.fill("#search", "atoms<=2 formation_energy_peratom<-1")
        assert cells(page, 4)
        assert {int(n) for n in cells(page, 4)} <= {1, 2}
        page.fill("#search", "")
        page.locator("#table th[data-key=nsites]").click()
        sizes = [int(n) for n in cells(page, 4)]
        assert sizes == sorted(sizes)
        page.locator("#table th[data-key=nsites]").click()
        assert int(cells(page, 4)[0]) >= sizes[-1]
        page.click("#later")
        assert page.locator("#where").text_content() == "page 2 of 2"
        page.locator("[data-element=Si]").click()
        assert page.input_value("#search") == "Si"
        page.fill("#search", "nothing-like-this")
        assert page.locator("#found").text_content() == "0 of 50 crystals"


def test_failed_and_slowest_first_on_request(browser, page_file):
    with opened(browser, page_file) as found:
        page = found.page
        page.click("[data-view=slowest]")
        assert cells(page, 1)[:2] == [FAILED_ID, HOSTILE_ID]
        page.click("[data-view=failed]")
        assert cells(page, 1) == [FAILED_ID]
        page.locator("#table tbody tr").click()
        page.wait_for_selector("dialog[open]")
        assert REASON in page.locator("#text").text_content()
        assert painted(page) > 0.02  # a failed crystal has its structure all the same


def test_a_crystal_opens_in_three_dimensions(browser, page_file):
    with opened(browser, page_file) as found:
        page = found.page
        page.fill("#search", "JVASP-1921")
        page.locator("#table tbody tr").first.press("Enter")
        page.wait_for_selector("dialog[open]")
        assert page.locator("#crystal-name").text_content() == "JVASP-1921 · BrRb"
        assert page.locator("#text").text_content().startswith("RbBr is Halite, Rock Salt")
        assert page.locator("#legend").text_content() == "Br 1Rb 1"
        assert "eV/atom" in page.locator("#facts").text_content()
        page.locator("#condensed summary").click()
        assert '"length": 2.346' in page.locator("#condensed pre").text_content()
        assert painted(page) > 0.02
        before = picture(page)
        box = page.locator("#structure").bounding_box()
        page.mouse.move(box["x"] + 100, box["y"] + 100)
        page.mouse.down()
        page.mouse.move(box["x"] + 180, box["y"] + 130)
        page.mouse.up()
        assert picture(page) != before
        page.keyboard.press("Escape")
        assert not page.locator("dialog[open]").count()
        assert found.complaints == []
    with opened(browser, page_file) as found:
        found.page.goto(page_file.as_uri() + "#crystal=JVASP-1921")
        found.page.reload()
        found.page.wait_for_selector("dialog[open]")
        assert found.page.locator("#crystal-name").text_content() == "JVASP-1921 · BrRb"


def test_what_a_dataset_says_shows_as_text(browser, page_file):
    with opened(browser, page_file) as found:
        page = found.page
        page.fill("#search", "onerror")
        assert cells(page, 1) == [HOSTILE_ID]
        page.locator("#table tbody tr").click()
        page.wait_for_selector("dialog[open]")
        assert page.locator("#crystal-name").text_content().startswith(HOSTILE_ID)
        assert page.locator("#text").text_content() == HOSTILE_TEXT
        assert page.locator("img, dialog b, dialog script").count() == 0
        assert "taken" not in page.title()
        assert (found.requests, found.complaints, found.dialogs) == ([], [], [])


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_models_page_opens_from_disk(browser, model_page, size, scheme):
    with opened(browser, model_page, size, scheme) as found:
        found.scrolled()
        page = found.page
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]
        for pair in page.locator("[data-crystal]").all():
            pair.scroll_into_view_if_needed()
            pair.and_(page.locator("[data-filled]")).wait_for()
        marks = page.locator("#explained article mark")
        assert marks.count() > 1
        assert marks.first.text_content().startswith("RbBr is Halite")
        errors = [float(text) for text in cells(page, 9)]
        assert errors == sorted(errors, reverse=True)
        assert set(cells(page, 5)) == {"test"}
        page.locator("#largest article h3 button").first.click()
        page.wait_for_selector("dialog[open]")
        assert painted(page) > 0.02
        assert (found.requests, found.complaints, found.dialogs) == ([], [], [])


def test_the_texts_are_asked(browser, page_file):
    with opened(browser, page_file) as found:
        page = found.page
        page.fill("#words", "halite bromides")
        page.locator("#table tr.said").first.wait_for()
        said = page.locator("#found").text_content()
        assert "whose texts fit best, reading bromides as Br" in said
        first = page.locator("#table tbody tr").first
        assert first.locator("td").nth(1).text_content() in ("BrRb", "BrNa", "BrK")
        assert "Halite" in page.locator("#table tr.said td").first.text_content()
        n_found = int(said.split(" of ")[0])
        page.fill("#search", "Rb")  # both at once
        assert int(page.locator("#found").text_content().split(" of ")[0]) < n_found
        page.locator("#table tr.said").first.click()
        page.wait_for_selector("dialog[open]")
        assert page.locator("#crystal-name").text_content() == "JVASP-1921 · BrRb"
        page.keyboard.press("Escape")
        page.fill("#search", "")
        page.fill("#words", "jabberwock")
        page.locator("#found", has_text="no text has any of these words").wait_for()
        page.fill("#words", "")
        page.locator("#found", has_text="50 of 50 crystals").wait_for()
        assert page.locator("#table tr.said").count() == 0
        page.fill("#words", "script document")  # a hostile text stays text
        page.locator("#table tr.said", has_text="</script>").wait_for()
        assert (found.requests, found.complaints, found.dialogs) == ([], [], [])
        assert page.title() != "taken"
