"""What a file of fewer bits loses on a text: its distribution after every token against the unquantized file's.

Both are computed by the same engine on the same ids in the same passes. The unquantized file is computed once; its
logits wait on the disk, since a vocabulary times a text is more than many models' weights.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parity.core.checked import Agreement
from parity.engines.llamacpp import LlamaCppEngine
from parity.errors import DataError
from parity.files import disk_error

CHUNK_TOKENS = 128
Rows = Sequence[tuple[int, ...]]
Counting = Callable[[int, int], None]


def rows_of(engine: LlamaCppEngine, text: str, tokens: int) -> tuple[tuple[int, ...], ...]:
    """The first `tokens` ids of a text in rows of CHUNK_TOKENS, each beginning with BOS where the model has one.

    Raises:
        DataError: the text has no two tokens.
    """
    (ids,), (plain,) = engine.encode([text]), engine.encode([text], special=False)
    first = ids[: len(ids) - len(plain)] if ids[len(ids) - len(plain) :] == plain else ()
    step = CHUNK_TOKENS - len(first)
    rows = tuple((*first, *plain[at : min(at + step, tokens)]) for at in range(0, min(len(plain), tokens), step))
    rows = tuple(row for row in rows if len(row) > 1)
    if not rows:
        raise DataError("The text that the loss is measured on has no two tokens.", "Give more with --text.")
    return rows


class Reference:
    """Logits of the unquantized file after every id of the rows, row by row in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: Rows = ()
        self.vocabulary = 0

    def compute(self, engine: LlamaCppEngine, rows: Rows, on_row: Counting) -> None:
        """Fill the file.

        Raises:
            StoreError: the disk is full.
            EngineError: llama.cpp broke off.
        """
        self.rows = rows
        try:
            with self._path.open("wb") as stream:
                for at, row in enumerate(self.rows, 1):
                    logits_TV = engine.logits(row)
                    self.vocabulary = logits_TV.shape[1]
                    stream.write(logits_TV.tobytes())
                    on_row(at, len(self.rows))
        except OSError as error:
            raise disk_error(error, self._path) from error

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """The rows' logits (T, V), in order."""
        offset = 0
        for row in self.rows:
            count = len(row) * self.vocabulary
            yield np.fromfile(self._path, np.float32, count, offset=offset).reshape(len(row), self.vocabulary)
            offset += 4 * count


@contextmanager
def reference(folder: Path) -> Iterator[Reference]:
    """A reference to be computed, whose file is gone afterwards."""
    path = folder / ".logits"
    try:
        yield Reference(path)
    finally:
        path.unlink(missing_ok=True)


def loss(expected: Reference, engine: LlamaCppEngine, on_row: Counting) -> Agreement:
    """Divergence of the engine's distributions from the reference's, over every position of its rows.

    Raises:
        EngineError: llama.cpp broke off.
    """
    parts: dict[str, list[float]] = {"kl": [], "flip": [], "theirs": [], "ours": [], "whole": []}
    for at, (row, logits_TV) in enumerate(zip(expected.rows, expected, strict=True), 1):
        found_TV = log_softmax(engine.logits(row))
        expected_TV = log_softmax(logits_TV)
        parts["kl"] += (np.exp(expected_TV) * (expected_TV - found_TV)).sum(-1).tolist()
        flipped_T = expected_TV.argmax(-1) != found_TV.argmax(-1)
        parts["flip"] += flipped_T.tolist()
        parts["whole"].append(not flipped_T.any())
        depths_T, following_T = np.arange(len(row) - 1), np.array(row[1:])
        parts["theirs"] += expected_TV[depths_T, following_T].tolist()
        parts["ours"] += found_TV[depths_T, following_T].tolist()
        on_row(at, len(expected.rows))
    mean = {name: float(np.mean(values)) for name, values in parts.items()}
    return Agreement(
        len(parts["kl"]), mean["kl"], max(parts["kl"]), mean["flip"], float(np.exp(mean["theirs"] - mean["ours"])),
        float(np.abs(np.subtract(parts["ours"], parts["theirs"])).max()), mean["whole"],
    )  # fmt: skip


def log_softmax(logits_TV: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log-probabilities in double precision."""
    wide_TV = logits_TV.astype(np.float64)
    wide_TV -= wide_TV.max(axis=1, keepdims=True)
    wide_TV -= np.log(np.exp(wide_TV).sum(axis=1, keepdims=True))
    return wide_TV
