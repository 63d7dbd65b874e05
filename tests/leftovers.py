"""What a killed process may leave behind: processes that name its temporary folder, and files in it."""

import time
from pathlib import Path


def processes_about(folder: Path) -> list[int]:
    """Ids of processes whose command line names the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def wait_until_gone(folder: Path, seconds: float = 10) -> None:
    """Nothing may be left a moment after the owner died."""
    deadline = time.monotonic() + seconds
    while (processes_about(folder) or list(folder.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_about(folder) == []
    assert list(folder.iterdir()) == []
