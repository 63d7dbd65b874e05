"""Import: files of any known format in, canonical rows out, every rejected row counted with its reason.

Rows stream from file to file, so a million need no more memory than one. The result appears whole or not at all: an
import that was interrupted is simply run again, and one that is already there is not done twice.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from parity.core.digests import Plain, digest
from parity.core.examples import Row, compact, row_from_object, row_object
from parity.curation.formats import row_of
from parity.curation.records import records
from parity.curation.turns import Rejected
from parity.errors import DataError
from parity.files import digest_file, disk_error, read_object, write_atomic

VERSION = 1  # of the canonical form; another one imports again
ROWS, REJECTED, MANIFEST = "rows.jsonl", "rejected.jsonl", "manifest.json"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import made. `rejected` counts rows by reason; each is named in rejected.jsonl."""

    folder: Path
    sha256: str
    rows: int
    formats: dict[str, int]
    rejected: dict[str, int]
    already_there: bool = False


def import_files(sources: Sequence[Path], folder: Path, progress: Progress = lambda *_: None) -> Imported:
    """Write the rows of the sources, in their order, as canonical JSON lines with a manifest into a folder.

    Raises:
        DataError: a source is missing or unreadable, or not one row could be kept.
        StoreError: the folder cannot be written or the disk is full.
    """
    made_from = digest((VERSION, [(path.name, _digest(path)) for path in sources]))
    known = _known(folder, made_from)
    if known:
        return known
    kept, lost = Counter[str](), Counter[str]()
    parts = [folder / f".{name}.{os.getpid()}" for name in (ROWS, REJECTED)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with parts[0].open("w", encoding="utf-8") as rows, parts[1].open("w", encoding="utf-8") as rejects:
            for path in sources:
                for line, form, row, reason in _rows(path, progress):
                    if row is not None:
                        rows.write(compact(row_object(row)) + "\n")
                        kept[form] += 1
                        continue
                    lost[reason] += 1
                    rejects.write(json.dumps({"file": path.name, "line": line, "reason": reason}) + "\n")
        if not kept:
            raise DataError(
                f"Not one row of {', '.join(path.name for path in sources)} can be used: "
                f"{'; '.join(f'{n} x {why}' for why, n in lost.most_common(3)) or 'there are none'}.",
                "See docs/data.md for the formats that are read.",
            )
        for part, name in zip(parts, (ROWS, REJECTED), strict=True):
            part.replace(folder / name)
    except OSError as error:
        raise disk_error(error, folder) from error
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    done = Imported(folder, digest_file(folder / ROWS), kept.total(), dict(kept), dict(lost.most_common()))
    _write_manifest(done, made_from, [path.name for path in sources])
    return done


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a canonical file, or of a folder that holds one, in their order.

    Raises:
        DataError: there is none, or a line is no canonical row.
    """
    file = path / ROWS if path.is_dir() else path
    for found in records(file):
        try:
            yield row_from_object(found.record)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = found.broken or f"no canonical row ({type(error).__name__}: {error})"
            raise DataError(
                f"{file} line {found.line}: {what}.", "Import the data with `parity data import`."
            ) from error


def _rows(path: Path, progress: Progress) -> Iterator[tuple[int, str, Row | None, str]]:
    """(line, format, row or nothing, why nothing) of every record of a file."""
    size, last = path.stat().st_size, 0

    def read(done: int) -> None:
        nonlocal last
        if done - last >= 1 << 18 or done == size:
            last = done
            progress(path.name, done, size)

    for found in records(path, read):
        try:
            if found.broken:
                raise Rejected(found.broken)
            form, row = row_of(found.record)
            yield found.line, form, row, ""
        except Rejected as reason:
            yield found.line, "", None, str(reason)
        except (RecursionError, ValueError, TypeError, KeyError) as error:
            yield found.line, "", None, f"not what its format promises ({type(error).__name__})"


def _digest(path: Path) -> str:
    try:
        return digest_file(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", "Check the path and its permissions.") from error


def _known(folder: Path, made_from: str) -> Imported | None:
    """The import that is already in the folder, if it was made from the same bytes and is whole."""
    if not (folder / MANIFEST).is_file():
        return None
    found = read_object(folder / MANIFEST, "manifest", DataError, "Delete the folder and import again.")
    if found.get("made_from") != made_from or not (folder / ROWS).is_file():
        return None
    if digest_file(folder / ROWS) != found.get("sha256"):
        return None
    return Imported(folder, found["sha256"], found["rows"], found["formats"], found["rejected"], True)


def _write_manifest(done: Imported, made_from: str, names: list[str]) -> None:
    manifest: dict[str, Plain] = {
        "version": VERSION, "made_from": made_from, "sources": names, "sha256": done.sha256,
        "rows": done.rows, "formats": done.formats, "rejected": done.rejected,
    }  # fmt: skip
    write_atomic(done.folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
