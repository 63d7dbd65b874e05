"""Writes a planned GGUF file from front to back: rows are read, quantized by several threads, and written in order.

At any time a few blocks of rows are in memory. What is on the disk is noted after every few tensors, so that the same
command takes an interrupted file up; the file gets its name when it is whole.
"""

import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import BinaryIO

from parity.errors import ModelError, StoreError
from parity.files import disk_error, write_atomic
from parity.quantization.kernels import quantized
from parity.quantization.layout import Layout, Placed
from parity.quantization.matrices import Floats, Matrix

Progress = Callable[[str, int, int], None]
# A thread's piece of work: some MB as fp32, half a second of the slowest common kernel.
_PIECE_VALUES = 1 << 20
_COPY_BYTES = 1 << 24
SAVE_EVERY_BYTES = 1 << 26


@dataclass(frozen=True, slots=True)
class Importance:
    """Importance of every column, by tensor and part: (P, C), one row for each expert or head, or (1, C) for all."""

    columns_PC: Mapping[str, Floats]

    def of(self, placed: Placed, part: int) -> Floats | None:
        found = self.columns_PC.get(placed.tensor.name)
        return None if found is None else found[part if len(found) > 1 else 0]


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some rows of one matrix, on their way to the file; or bytes to copy."""

    placed: Placed
    part: int
    matrix: Matrix
    first: int
    last: int


def write(
    layout: Layout, path: Path, plan: str, importance: Importance, threads: int, on_bytes: Callable[[int], None]
) -> None:
    """Write the file under a hidden name beside `path`; an interrupted one with the same `plan` is taken up.

    Raises:
        ModelError: a tensor's values are not finite, or a source changed underneath.
        StoreError: the disk is full or `path` cannot be written, or another process is writing it.
    """
    hidden, notes = partial_path(path), _notes_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _opened(hidden, path) as stream, ThreadPoolExecutor(threads) as pool:
            done = _taken_up(stream, notes, plan, layout)
            on_bytes(stream.tell())
            saved = stream.tell()
            for at, raw in _written(layout.placed, done, importance, pool, threads):
                raw = raw or bytes(layout.placed[at].end - stream.tell())
                stream.write(raw)
                on_bytes(len(raw))
                if stream.tell() == layout.placed[at].end and stream.tell() - saved >= SAVE_EVERY_BYTES:
                    saved = _save(stream, notes, plan, at + 1)
            _save(stream, notes, plan, len(layout.placed))
    except OSError as error:
        raise disk_error(error, path) from error


def finish(path: Path) -> None:
    """Give a written file its name."""
    try:
        partial_path(path).replace(path)
    except OSError as error:
        raise disk_error(error, path) from error
    _notes_path(path).unlink(missing_ok=True)


def discard(path: Path) -> None:
    """Remove what an interrupted run left."""
    partial_path(path).unlink(missing_ok=True)
    _notes_path(path).unlink(missing_ok=True)


def partial_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _notes_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial.json")


@contextmanager
def _opened(hidden: Path, path: Path) -> Iterator[BinaryIO]:
    with hidden.open("r+b" if hidden.exists() else "w+b") as stream:
        try:
            flock(stream, LOCK_EX | LOCK_NB)
        except BlockingIOError as taken:
            raise StoreError(f"Another process is writing {path}.", "Wait for it, or name another file.") from taken
        yield stream


def _taken_up(stream: BinaryIO, notes: Path, plan: str, layout: Layout) -> int:
    """Tensors that are there already; the stream stands behind them, with nothing beyond."""
    try:
        noted = json.loads(notes.read_text())
        done = noted["tensors"] if noted["plan"] == plan else 0
    except (OSError, ValueError, KeyError, TypeError):
        done = 0
    end = layout.placed[done - 1].end if done else 0
    if done and (stream.read(len(layout.head)) != layout.head or os.fstat(stream.fileno()).st_size < end):
        done = 0
    stream.seek(end if done else 0)
    stream.truncate()
    if not done:
        stream.write(layout.head)
    return int(done)


def _save(stream: BinaryIO, notes: Path, plan: str, tensors: int) -> int:
    stream.flush()
    os.fsync(stream.fileno())
    write_atomic(notes, json.dumps({"plan": plan, "tensors": tensors}))
    return stream.tell()


def _written(
    placed: tuple[Placed, ...], done: int, importance: Importance, pool: ThreadPoolExecutor, threads: int
) -> Iterator[tuple[int, bytes]]:
    """(place of the tensor, bytes) in the file's order, no bytes for a tensor's padding; pieces are worked on ahead.

    Threads do not wait at the end of a tensor: the next one's pieces follow at once.
    """
    waiting: deque[tuple[int, Future[bytes]]] = deque()
    for at in range(done, len(placed)):
        if _is_copied(placed[at]):
            yield from _arrived(waiting, 0)
            yield from ((at, raw) for raw in _copied(placed[at]))
            yield at, b""
            continue
        for piece in _pieces(placed[at]):
            waiting.append((at, pool.submit(_worked, piece, importance)))
            yield from _arrived(waiting, 2 * threads)
    yield from _arrived(waiting, 0)


def _arrived(waiting: deque[tuple[int, Future[bytes]]], ahead: int) -> Iterator[tuple[int, bytes]]:
    """Results until only `ahead` are being worked on, with padding between the tensors."""
    while len(waiting) > ahead:
        at, future = waiting.popleft()
        yield at, future.result()
        if not waiting or waiting[0][0] != at:
            yield at, b""


def _is_copied(placed: Placed) -> bool:
    return placed.tensor.type == placed.kind.name and placed.tensor.verbatim is not None


def _pieces(placed: Placed) -> Iterator[_Piece]:
    for part, matrix in enumerate(placed.tensor.parts):
        units = max(1, _PIECE_VALUES // (matrix.columns * matrix.unit))
        for first in range(0, matrix.rows, units * matrix.unit):
            yield _Piece(placed, part, matrix, first, min(first + units * matrix.unit, matrix.rows))


def _worked(piece: _Piece, importance: Importance) -> bytes:
    placed = piece.placed
    try:
        values = piece.matrix.read(piece.first, piece.last)
        return quantized(values, placed.kind, importance.of(placed, piece.part))
    except ModelError as error:
        raise ModelError(f"Tensor {placed.tensor.name}: {error.what}.", error.todo) from error


def _copied(placed: Placed) -> Iterator[bytes]:
    source = placed.tensor.verbatim
    assert source is not None
    with source.path.open("rb") as stream:
        stream.seek(source.offset)
        left = source.size_bytes
        while left:
            raw = stream.read(min(left, _COPY_BYTES))
            if not raw:
                raise ModelError(f"{source.path} became shorter while it was read.", "Download it again.")
            left -= len(raw)
            yield raw
