"""Import: files of any known format in, canonical rows out, every rejected or repeated row counted and named.

Rows stream from file to file; of a million only short hashes are in memory, by which repeated ones are known. The
result appears whole or not at all: an import that was interrupted is simply run again, and one that is already there is
not done twice.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from parity.core.digests import Plain, digest
from parity.core.examples import Row, compact, row_from_object, row_object
from parity.curation.formats import not_kept, row_of
from parity.curation.records import records
from parity.curation.turns import Rejected
from parity.errors import DataError
from parity.files import digest_file, read_object, unfinished, write_atomic

VERSION = 2  # of the canonical form and of what is kept; another one imports again
ROWS, REJECTED, MANIFEST = "rows.jsonl", "rejected.jsonl", "manifest.json"
REPEATED = "the same row was there before"
Progress = Callable[[str, int, int], None]
_TOLD_BYTES, _BESIDES = 1 << 18, 40


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import made of the rows it read: each was kept, is a repeated one, or was rejected.

    `rejected` counts rows by reason; each of them and each repeated one is named in rejected.jsonl. `not_kept` counts
    rows by what they said besides (settings of a request, say), which no training row has a place for.
    """

    folder: Path
    sha256: str
    rows: int
    formats: dict[str, int]
    rejected: dict[str, int]
    repeated: int = 0
    not_kept: dict[str, int] = field(default_factory=dict)
    already_there: bool = False

    @property
    def read(self) -> int:
        return self.rows + self.repeated + sum(self.rejected.values())


def import_files(
    sources: Sequence[Path], folder: Path, progress: Progress = lambda *_: None, keep_repeated: bool = False
) -> Imported:
    """Write the rows of the sources, in their order, as canonical JSON lines with a manifest into a folder.

    A row that says the same as one before it is left out and counted, unless `keep_repeated`.

    Raises:
        DataError: a source is missing or unreadable, or not one row could be kept.
        StoreError: the folder cannot be written or the disk is full.
    """
    made_from = digest((VERSION, keep_repeated, [(path.name, _digest(path)) for path in sources]))
    known = _known(folder, made_from)
    if known:
        return known
    names = [path.name for path in sources]
    with unfinished(folder) as scratch:
        with (scratch / ROWS).open("w", encoding="utf-8") as rows, (scratch / REJECTED).open("w") as rejects:
            sorting = _Sorting(rows, rejects, keep_repeated)
            for path in sources:
                sorting.take(path, progress)
        if not sorting.kept:
            raise DataError(
                f"Not one row of {', '.join(names)} can be used: "
                f"{'; '.join(f'{n} x {why}' for why, n in sorting.lost.most_common(3)) or 'there are none'}.",
                "See docs/data.md for the formats that are read.",
            )
        (folder / MANIFEST).unlink(missing_ok=True)  # a folder without one is not whole
        for name in (ROWS, REJECTED):
            (scratch / name).replace(folder / name)
    lost = dict(sorting.lost.most_common())
    repeated = lost.pop(REPEATED, 0)
    kept = dict(sorting.kept)
    besides = dict(sorting.besides.most_common())
    done = Imported(folder, digest_file(folder / ROWS), sum(kept.values()), kept, lost, repeated, besides)
    _write_manifest(done, made_from, names)
    return done


@dataclass(frozen=True, slots=True)
class _Read:
    """A record of a file: the canonical line it became, its digest and what of it was not kept, or why it is no row."""

    line: int
    form: str = ""
    row: str = ""
    row_id: str = ""
    not_kept: frozenset[str] = frozenset()
    reason: str = ""


@dataclass(slots=True)
class _Sorting:
    """Puts every row read where it belongs, and counts."""

    rows: IO[str]
    rejects: IO[str]
    keep_repeated: bool
    kept: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    besides: Counter[str] = field(default_factory=Counter)
    seen: set[int] = field(default_factory=set)

    def take(self, path: Path, progress: Progress) -> None:
        for one in _rows(path, progress):
            reason = one.reason
            if one.row:
                known = int(one.row_id[:16], 16)  # 64 bits: two of a million are alike once in 37 million imports
                if self.keep_repeated or known not in self.seen:
                    self.seen.add(known)
                    self.rows.write(one.row + "\n")
                    self.kept[one.form] += 1
                    for name in one.not_kept:
                        self.besides[name if name in self.besides or len(self.besides) < _BESIDES else "others"] += 1
                    continue
                reason = REPEATED
            self.lost[reason] += 1
            self.rejects.write(json.dumps({"file": path.name, "line": one.line, "reason": reason}) + "\n")


def read_rows(path: Path, progress: Progress = lambda *_: None) -> Iterator[Row]:
    """The rows of a canonical file, or of a folder that holds one, in their order.

    Raises:
        DataError: there is none, or a line is no canonical row.
    """
    file = path / ROWS if path.is_dir() else path
    for found in records(file, _telling(file, progress)):
        try:
            yield row_from_object(found.record)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = found.broken or f"no canonical row ({type(error).__name__}: {error})"
            raise DataError(
                f"{file} line {found.line}: {what}.", "Import the data with `parity data import`."
            ) from error


def _rows(path: Path, progress: Progress) -> Iterator[_Read]:
    for found in records(path, _telling(path, progress)):
        try:
            if found.broken:
                raise Rejected(found.broken)
            form, row = row_of(found.record)
            kept = row_object(row)
            text = compact(kept)
            text.encode()
            besides = frozenset(map(_printable, not_kept(form, found.record)))
            yield _Read(found.line, form, text, str(kept["id"]), besides)
        except UnicodeEncodeError:
            yield _Read(found.line, reason="half a character (a lone surrogate), which no file can hold")
        except Rejected as reason:
            yield _Read(found.line, reason=_printable(str(reason)))
        except (RecursionError, ValueError, TypeError, KeyError, AttributeError) as error:
            yield _Read(found.line, reason=f"not what its format promises ({type(error).__name__})")


def _printable(text: str) -> str:
    """Names that rows brought, without what would steer a terminal or cannot be written."""
    return "".join(character if character.isprintable() else "?" for character in text[:200])


def _telling(path: Path, progress: Progress) -> Callable[[int], None]:
    """Tells how far in a file reading is, now and then."""
    size, last = (path.stat().st_size if path.is_file() else 0), 0

    def read(done: int) -> None:
        nonlocal last
        if done - last >= _TOLD_BYTES or done == size:
            last = done
            progress(path.name, done, size)

    return read


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
    return Imported(
        folder,
        found["sha256"],
        found["rows"],
        found["formats"],
        found["rejected"],
        found["repeated"],
        found["not_kept"],
        True,
    )


def _write_manifest(done: Imported, made_from: str, names: list[str]) -> None:
    manifest: dict[str, Plain] = {
        "version": VERSION, "made_from": made_from, "sources": names, "sha256": done.sha256,
        "rows": done.rows, "formats": done.formats, "rejected": done.rejected, "repeated": done.repeated,
        "not_kept": done.not_kept,
    }  # fmt: skip
    write_atomic(done.folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
