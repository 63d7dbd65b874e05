"""Where the real data lies that tests may use but the repository may not hold."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("PARITY_SHARED") or Path(__file__).resolve().parents[2] / "shared" / "data")


def needs_shared(*parts: str) -> Path:
    """The path of a file or folder of the shared data; skips the test where it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no shared data at {path}: set PARITY_SHARED to a folder that has {'/'.join(parts)}")
    return path
