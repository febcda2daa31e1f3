"""Chromium in, opened pages out: what they asked for and complained about is kept."""

import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

WIDE, NARROW = (1440, 900), (390, 844)


@dataclass
class Opened:
    """A page in a browser that has no network."""

    page: object
    requests: list[str] = field(default_factory=list)  # but for the page itself, blobs and data
    complaints: list[str] = field(default_factory=list)  # errors and warnings on the console
    dialogs: list[str] = field(default_factory=list)

    def scrolled(self) -> None:
        """Every figure was in view, and is drawn."""
        for figure in self.page.locator("[data-figure]").all():
            figure.scroll_into_view_if_needed()
            figure.and_(self.page.locator("[data-drawn]")).wait_for()


@contextmanager
def chromium():
    """Debian's chromium, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser, url: Path | str, size=WIDE, scheme="light", offline=True):
    """A page, loaded; a file is opened from disk and waited for until its table is there."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, offline=offline
    )
    page = context.new_page()
    found = Opened(page)
    address = url.as_uri() if isinstance(url, Path) else url
    page.on("request", lambda request: _note(found, request.url, address))
    page.on(
        "console", lambda said: said.type in ("error", "warning") and _complain(found, said.text)
    )
    page.on("pageerror", lambda error: _complain(found, str(error)))
    page.on("dialog", lambda dialog: (found.dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(address)
    if isinstance(url, Path):
        page.wait_for_selector("html[data-ready]")
    yield found
    context.close()


def _note(found: Opened, url: str, address: str) -> None:
    if url.split("#")[0] != address.split("#")[0] and not url.startswith(("blob:", "data:")):
        found.requests.append(url)


def _complain(found: Opened, text: str) -> None:
    found.complaints.append(text)


def picture(page) -> str:
    """What the canvas of the opened crystal shows."""
    return page.evaluate("document.getElementById('structure').toDataURL()")


def painted(page) -> float:
    """Share of the canvas that is not empty."""
    return page.evaluate(
        """() => {
            const canvas = document.getElementById("structure");
            const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let n = 0;
            for (let k = 3; k < data.length; k += 4) n += data[k] > 0;
            return n / (canvas.width * canvas.height);
        }"""
    )


def cells(page, column: int) -> list[str]:
    """One column of the table's page."""
    return page.locator(f"#table tbody td:nth-child({column})").all_text_contents()
