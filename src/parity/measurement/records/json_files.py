"""Lists of JSON objects, as others keep their results: one file, gzipped or not."""

import json
from pathlib import Path
from typing import Any

from parity.errors import DataError
from parity.files import read_text


def read_objects(path: Path, what: str) -> list[dict[str, Any]]:
    """The objects of a JSON list.

    Raises:
        DataError: the file is missing or holds something else.
    """
    try:
        found = json.loads(read_text(path, what, DataError))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} holds no {what}: {error}.", "Check that it is the right file.") from error
    if not isinstance(found, list) or not found or not all(isinstance(row, dict) for row in found):
        raise DataError(f"{path} holds no {what}: it is no list of JSON objects.", "Check that it is the right file.")
    return found
