import time

from curate.build import Progress
from curate.work.console import progress_bar


def test_a_download_shows_bytes_rate_and_what_is_left(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    monkeypatch.setenv("COLUMNS", "120")
    with progress_bar() as watch:
        watch(Progress("downloading", 0, 42_800_000))
        time.sleep(1.1)
        watch(Progress("downloading", 8_000_000, 42_800_000))
    shown = capsys.readouterr().err
    assert "downloading" in shown and "8.0 MB of 42.8 MB" in shown
    rate = float(shown.rsplit(" MB/s")[0].split()[-1])
    assert 4 < rate < 7.4  # 8 MB in 1.1 s and a little


def test_without_a_terminal_a_line_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr("curate.work.console.SECONDS_BETWEEN_LINES", 0.0)
    with progress_bar() as watch:
        watch(Progress("reading", 200, None))
        watch(Progress("reading", 400, 1000))
    assert capsys.readouterr().err.splitlines() == ["reading 200", "reading 400 of 1000"]
