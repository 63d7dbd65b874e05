"""What a bar counts: bytes are bytes, chunks of text are not."""

import io

import pytest
from rich import console as rich_console

from parity.cli.progress import showing


@pytest.fixture
def terminal(monkeypatch):
    """What a terminal of 120 columns is sent."""
    sent, real = io.StringIO(), rich_console.Console
    monkeypatch.setattr(
        rich_console, "Console", lambda **_: real(file=sent, force_terminal=True, width=120, color_system=None)
    )
    return sent


def test_each_kind_of_work_counts_in_its_own_unit(terminal):
    with showing(unit=lambda what: "bytes" if what == "quantizing" else "items") as show:
        show("reading calibration text", 3, 7)
        show("quantizing", 2_500_000, 5_000_000)
    lines = terminal.getvalue().replace("\r", "\n").splitlines()
    reading = [line for line in lines if "calibration" in line and "3/7" in line]
    assert reading
    assert not any("bytes" in line for line in reading)
    assert any("2.5/5.0 MB" in line for line in lines if "quantizing" in line)


@pytest.mark.parametrize(("unit", "seen"), [("items", "1/4"), ("bytes", "1/4 bytes")])
def test_a_job_of_one_kind_names_its_unit(terminal, unit, seen):
    with showing(unit=unit) as show:
        show("all", 1, 4)
    assert seen in terminal.getvalue()
    assert ("bytes" in terminal.getvalue()) is (unit == "bytes")
