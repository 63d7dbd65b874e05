"""Splits without leaks: what is alike, answers one question, or comes from one user or session, ends up on one side.

Which side is drawn from the digest of the group's rows, so the same rows give the same splits in any order. Training
rows that hold runs of words of a benchmark (as fingerprints: no benchmark is seen here) are taken out and listed.
Rows lie on the disk meanwhile. The result appears whole or not at all.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parity.core.digests import Plain
from parity.core.examples import Row
from parity.core.fingerprints import Fingerprints
from parity.curation.near import THRESHOLD, Labels, Signatures, clusters, joined
from parity.curation.shelf import Shelf, shelve
from parity.errors import UsageError
from parity.files import digest_file, unfinished, write_atomic

SPLITS = ("train", "dev", "calibration", "test")
CONTAMINATED, NEAR, MANIFEST = "contaminated.txt", "near_duplicates.txt", "manifest.json"
Progress = Callable[[str, int, int], None]
_SAMPLE = 200
_COMPARED_ROWS = 50_000
# What more rows begin with is an instruction for all of them, like a system prompt.
_OPENING_ROWS, _OPENING_SHARE = 50, 0.01


@dataclass(frozen=True, slots=True)
class Shares:
    """How much of the rows every split gets; fractions that sum to 1."""

    train: float = 0.8
    dev: float = 0.1
    calibration: float = 0.05
    test: float = 0.05

    def __post_init__(self) -> None:
        shares = [self.train, self.dev, self.calibration, self.test]
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise UsageError(f"Shares {shares} do not sum to 1.", "Give four fractions, such as .8,.1,.05,.05.")


@dataclass(frozen=True, slots=True)
class Leakage:
    """Of a sample of test rows, the share whose nearest training row is estimated at least as alike as stated."""

    sampled: int
    near: float
    half_alike: float


@dataclass(frozen=True, slots=True)
class Split:
    """What a split made: rows by split, groups, rows in groups of several, contaminated ids, and the leakage left.

    `near_duplicates` counts the rows that are alike to another; near_duplicates.txt lists their clusters.
    `common_openings` are first words that too many rows share to be a question that ties them together.
    """

    folder: Path
    rows: dict[str, int]
    groups: int
    grouped_rows: int
    largest_group_rows: int
    near_duplicates: int
    common_openings: int
    contaminated: tuple[str, ...]
    leakage: Leakage


def split_rows(
    rows: Iterable[Row],
    folder: Path,
    shares: Shares,
    fingerprints: Fingerprints,
    seed: int = 0,
    progress: Progress = lambda *_: None,
) -> Split:
    """Write train, dev, calibration and test files, the ids that were taken out, and a manifest into a folder.

    Raises:
        UsageError: a split that was asked for stays empty.
        StoreError: the folder cannot be written or the disk is full.
    """
    with unfinished(folder) as scratch:
        shelf = shelve(rows, scratch, fingerprints)
        order = np.lexsort((*shelf.owners_RO.T, shelf.ids_R))
        near = clusters(shelf.signed_RP, order, lambda done, bands: progress("comparing", done, bands))
        owners_RO = shelf.owners_RO[order]
        common = _forget_openings(owners_RO[:, -1])
        groups = _with_owners(near, owners_RO)
        sides = _sides(shelf, order, groups, shares, seed)
        copied = (sides == SPLITS.index("train")) & shelf.copied_R[order]
        asked = [name for name in SPLITS if getattr(shares, name)]
        kept = {name: order[(sides == SPLITS.index(name)) & ~copied] for name in asked}
        for name, chosen in kept.items():
            _write(scratch / f"{name}.jsonl", shelf.lines(chosen), len(chosen), progress)
        _write(scratch / NEAR, _listed(shelf, order, near), 0, progress)
        sizes = np.bincount(groups)
        done = Split(
            folder, {name: len(chosen) for name, chosen in kept.items()}, int((sizes > 0).sum()),
            int(sizes[sizes > 1].sum()), int(sizes.max()), int((np.bincount(near)[near] > 1).sum()), common,
            tuple(dict.fromkeys(shelf.id(row) for row in order[copied])),
            _leakage(shelf.signed_RP, kept.get("train", order[:0]), kept.get("test", order[:0]), progress),
        )  # fmt: skip
        (folder / MANIFEST).unlink(missing_ok=True)  # a folder without one is not whole
        for name in (*(f"{split}.jsonl" for split in asked), NEAR):
            (scratch / name).replace(folder / name)
        for name in set(SPLITS) - set(asked):
            (folder / f"{name}.jsonl").unlink(missing_ok=True)  # another split's rows, now perhaps in training
    _write_manifest(done, seed)
    return done


def _forget_openings(questions_R: NDArray[np.uint64]) -> int:
    """Set to unknown what too many rows begin with to be a question; how many openings these are."""
    values, which, counts = np.unique(questions_R, return_inverse=True, return_counts=True)
    common = (values > 0) & (counts > max(_OPENING_ROWS, _OPENING_SHARE * len(questions_R)))
    questions_R[common[which]] = 0
    return int(common.sum())


def _with_owners(labels: Labels, owners_RO: NDArray[np.uint64]) -> Labels:
    """Groups in which rows of one user, one session or one question are together."""
    for owners in owners_RO.T:
        known = np.flatnonzero(owners)
        _, first, which = np.unique(owners[known], return_index=True, return_inverse=True)
        labels = joined(labels, known, known[first[which]])
    return labels


def _sides(shelf: Shelf, order: Labels, groups: Labels, shares: Shares, seed: int) -> NDArray[np.int8]:
    """For every row in `order` the number of its split, drawn from the id of the first row of its group."""
    leaders, which = np.unique(groups, return_inverse=True)
    drawn = np.array([_side(shelf.id(row), shares, seed) for row in order[leaders]], np.int8)
    empty = [name for at, name in enumerate(SPLITS) if getattr(shares, name) and at not in drawn]
    if empty:
        raise UsageError(
            f"{len(shelf)} rows in {len(leaders)} groups leave {' and '.join(empty)} empty.",
            "Give it a larger share, or bring more rows.",
        )
    return drawn[which]


def _side(group_id: str, shares: Shares, seed: int) -> int:
    drawn = int.from_bytes(hashlib.sha256(f"{seed}/{group_id}".encode()).digest()[:8]) / 2**64
    for at, name in enumerate(SPLITS):
        drawn -= getattr(shares, name)
        if drawn < 0:
            return at
    return 0


def _listed(shelf: Shelf, order: Labels, near: Labels) -> Iterator[bytes]:
    """The clusters of several rows, one a line: their ids."""
    together = np.argsort(near, kind="stable")
    begins = np.flatnonzero(np.diff(near[together], prepend=-1))
    for begin, end in zip(begins, np.append(begins[1:], len(near)), strict=True):
        if end - begin > 1:
            yield b" ".join(shelf.ids_R[order[together[begin:end]]].tolist()) + b"\n"


def _leakage(signed: Signatures, train: Labels, test: Labels, progress: Progress) -> Leakage:
    if not len(train) or not len(test):
        return Leakage(0, 0.0, 0.0)
    sampled = signed[test[:: max(1, len(test) // _SAMPLE)][:_SAMPLE]]
    nearest = np.zeros(len(sampled))
    for at in range(0, len(train), _COMPARED_ROWS):
        learned = signed[np.sort(train[at : at + _COMPARED_ROWS])]
        alike = [np.count_nonzero(learned == one, axis=1).max() for one in sampled]
        nearest = np.maximum(nearest, np.array(alike) / signed.shape[1])
        progress("estimating leakage", min(at + _COMPARED_ROWS, len(train)), len(train))
    return Leakage(len(sampled), float((nearest >= THRESHOLD).mean()), float((nearest >= 0.5).mean()))


def _write(path: Path, lines: Iterable[bytes], many: int, progress: Progress) -> None:
    with path.open("wb") as stream:
        for at, line in enumerate(lines, 1):
            stream.write(line)
            if at % 10_000 == 0 or at == many:
                progress(f"writing {path.stem}", at, max(at, many))


def _write_manifest(done: Split, seed: int) -> None:
    write_atomic(done.folder / CONTAMINATED, "".join(f"{row_id}\n" for row_id in done.contaminated))
    files: dict[str, Plain] = {name: digest_file(done.folder / f"{name}.jsonl") for name in done.rows}
    manifest: dict[str, Plain] = {
        "seed": seed, "rows": done.rows, "sha256": files, "groups": done.groups, "grouped_rows": done.grouped_rows,
        "largest_group_rows": done.largest_group_rows, "near_duplicates": done.near_duplicates,
        "common_openings": done.common_openings, "contaminated": len(done.contaminated),
        "leakage": {"sampled": done.leakage.sampled, "near": done.leakage.near, "half_alike": done.leakage.half_alike},
    }  # fmt: skip
    write_atomic(done.folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
