"""Splits without leaks: what is alike, or comes from one user or session, ends up on one side.

Which side is drawn from the digest of the group's rows, so the same rows give the same splits in any order. Training
rows that hold runs of words of a benchmark (as fingerprints: no benchmark is seen here) are taken out and listed.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parity.core.digests import Plain, ngram_fingerprints
from parity.core.examples import Row, compact, row_object, turns_of
from parity.curation.near import THRESHOLD, Groups, Signatures, clusters, signatures
from parity.errors import UsageError
from parity.files import digest_file, disk_error, write_atomic

SPLITS = ("train", "dev", "calibration", "test")
_SAMPLE = 200


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
class Fingerprints:
    """Runs of words that may not be trained on: their fingerprints, and the lengths in words that occur."""

    hashes: frozenset[str] = frozenset()
    lengths: tuple[int, ...] = ()

    def found_in(self, row: Row) -> bool:
        """Whether a turn of the row holds one of them."""
        return any(not self.hashes.isdisjoint(ngram_fingerprints(turn.content, self.lengths)) for turn in turns_of(row))


@dataclass(frozen=True, slots=True)
class Leakage:
    """Of a sample of test rows, the share whose nearest training row is estimated at least as alike as stated."""

    sampled: int
    near: float
    half_alike: float


@dataclass(frozen=True, slots=True)
class Split:
    """What a split made: rows by split, groups, rows in groups of several, contaminated ids, and the leakage left."""

    folder: Path
    rows: dict[str, int]
    groups: int
    grouped_rows: int
    contaminated: tuple[str, ...]
    leakage: Leakage


def split_rows(rows: Sequence[Row], folder: Path, shares: Shares, fingerprints: Fingerprints, seed: int = 0) -> Split:
    """Write train, dev, calibration and test files, the ids that were taken out, and a manifest into a folder.

    Raises:
        UsageError: a split that was asked for stays empty.
        StoreError: the folder cannot be written or the disk is full.
    """
    ordered = sorted(rows, key=lambda row: row.id)
    signed = signatures(ordered)
    groups = _groups(ordered, clusters(signed))
    sides = [_side(ordered[group].id, shares, seed) for group in groups]
    asked = [name for name in SPLITS if getattr(shares, name)]
    empty = [name for name in asked if name not in sides]
    if empty:
        raise UsageError(
            f"{len(ordered)} rows in {len(set(groups))} groups leave {' and '.join(empty)} empty.",
            "Give it a larger share, or bring more rows.",
        )
    tainted = {at for at, row in enumerate(ordered) if sides[at] == "train" and fingerprints.found_in(row)}
    kept = {name: [at for at, side in enumerate(sides) if side == name and at not in tainted] for name in asked}
    for name, places in kept.items():
        _write(folder / f"{name}.jsonl", [ordered[at] for at in places])
    sizes = Counter(groups)
    done = Split(
        folder, {name: len(places) for name, places in kept.items()}, len(sizes),
        sum(size for size in sizes.values() if size > 1), tuple(sorted({ordered[at].id for at in tainted})),
        _leakage(signed, kept.get("train", []), kept.get("test", [])),
    )  # fmt: skip
    _write_manifest(done, seed)
    return done


def _groups(rows: Sequence[Row], leaders: Sequence[int]) -> list[int]:
    groups, seen = Groups(len(rows)), dict[tuple[str, str], int]()
    for at, (row, leader) in enumerate(zip(rows, leaders, strict=True)):
        groups.join(at, leader)
        for key in (("user", row.origin.user), ("session", row.origin.session)):
            if key[1]:
                groups.join(at, seen.setdefault(key, at))
    return [groups.find(at) for at in range(len(rows))]


def _side(group_id: str, shares: Shares, seed: int) -> str:
    drawn = int.from_bytes(hashlib.sha256(f"{seed}/{group_id}".encode()).digest()[:8]) / 2**64
    for name in SPLITS:
        drawn -= getattr(shares, name)
        if drawn < 0:
            return name
    return "train"


def _leakage(signed: Signatures, train: Sequence[int], test: Sequence[int]) -> Leakage:
    if not train or not test:
        return Leakage(0, 0.0, 0.0)
    sampled = test[:: max(1, len(test) // _SAMPLE)][:_SAMPLE]
    learned = signed[list(train)]
    nearest = np.array([(learned == signed[at]).mean(axis=1).max() for at in sampled])
    return Leakage(len(sampled), float((nearest >= THRESHOLD).mean()), float((nearest >= 0.5).mean()))


def _write(path: Path, rows: Sequence[Row]) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8") as stream:
            stream.writelines(compact(row_object(row)) + "\n" for row in rows)
        part.replace(path)
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        part.unlink(missing_ok=True)


def _write_manifest(done: Split, seed: int) -> None:
    write_atomic(done.folder / "contaminated.txt", "".join(f"{row_id}\n" for row_id in done.contaminated))
    files: dict[str, Plain] = {name: digest_file(done.folder / f"{name}.jsonl") for name in done.rows}
    manifest: dict[str, Plain] = {
        "seed": seed, "rows": done.rows, "sha256": files, "groups": done.groups, "grouped_rows": done.grouped_rows,
        "contaminated": len(done.contaminated),
        "leakage": {"sampled": done.leakage.sampled, "near": done.leakage.near, "half_alike": done.leakage.half_alike},
    }  # fmt: skip
    write_atomic(done.folder / "manifest.json", json.dumps(manifest, indent=1) + "\n")
