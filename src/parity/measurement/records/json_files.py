"""Lists of JSON objects, as others keep their results: one file, gzipped or not."""

import gzip
import json
from pathlib import Path
from typing import Any

from parity.errors import DataError


def read_rows(path: Path, what: str) -> list[dict[str, Any]]:
    """The objects of a JSON list.

    Raises:
        DataError: the file is missing or holds something else.
    """
    try:
        raw = path.read_bytes()
        found = json.loads((gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.", "Check the path.") from error
    except (OSError, EOFError, ValueError, RecursionError) as error:
        raise DataError(f"{path} holds no {what}: {error}.", "Check that it is the right file.") from error
    if not isinstance(found, list) or not found or not all(isinstance(row, dict) for row in found):
        raise DataError(f"{path} holds no {what}: it is no list of JSON objects.", "Check that it is the right file.")
    return found
