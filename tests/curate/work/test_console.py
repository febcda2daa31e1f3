import os
import subprocess
import sys
import time
from collections import Counter

import pytest

from curate.build import Progress
from curate.errors import shown
from curate.run.counts import Counts
from curate.work.console import counts_table, progress_bar


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


ODD = "[/b]\x1b[31mred\x07\ud800\u202e[bold]\nnext"


def test_text_from_outside_is_neither_markup_nor_control_characters(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    counts = Counts(1, 0, reasons=Counter({ODD: 1}), seconds=(1.0,), slowest=ODD)
    counts_table(counts)
    shown = capsys.readouterr().out
    assert shown.count(r"[/b]\x1b[31mred\x07\ud800\u202e[bold] next") == 2
    assert "\x1b" not in shown


def test_a_line_of_progress_is_no_markup(monkeypatch, capsys):
    monkeypatch.setattr("curate.work.console.SECONDS_BETWEEN_LINES", 0.0)
    with progress_bar() as watch:
        watch(Progress("reading [/b]", 200, None))
    assert capsys.readouterr().err.splitlines() == ["reading [/b] 200"]


@pytest.mark.parametrize("fault", ["InputError(ODD)", "OSError(2, ODD, ODD)"])
def test_errors_log_and_output_show_what_is_no_character(fault):
    code = f"""
import logging, sys
from curate.errors import InputError
from curate.work.command import run_command
ODD = {ODD!r}
def main():
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.warning("%s", ODD)
    logging.warning(ODD)
    print("\\ud800")
    raise {fault}
run_command("crysmmnet", main)
"""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    said = done.stderr.decode()
    assert done.returncode == 2 and done.stdout == b"\\ud800\n"
    assert "Traceback" not in said and "\x1b" not in said and "\x07" not in said
    assert said.count(r"\x1b[31mred\x07\ud800") >= 3
    assert said.splitlines()[-1].startswith("crysmmnet: ") and said.endswith("next\n")


def test_what_can_be_read_stays_as_it_is():
    text = "Å³ – “SiO₂”\tα\n日本"
    assert shown(text) == text
