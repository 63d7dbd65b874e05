"""What a trainer gets, whatever the rows were; and what a manifest says of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset

from parity.files import digest_file
from parity.tuning.defaults import Facts, Resolved
from parity.tuning.outputs import Used

# Tokens computed at once: more fills caches no better, and takes memory.
MICRO_TOKENS = 2_048


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a trainer gets. `step_tokens`: tokens of every step; `dev_share`: see TextTrainer."""

    resolved: Resolved
    train: Dataset
    dev: Dataset | None
    collator: Callable[[Sequence[dict[str, Any]]], Any] | None
    steps: int
    rows_at_once: int
    per_step: int
    step_tokens: tuple[int, ...]
    used: Used
    dev_share: float = 0.0
    prompt_ids: dict[str, list[int]] | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of the base that defaults depend on."""

    hidden: int
    parameters: int
    architecture: str
    context_tokens: int | None


def facts(shape: Shape, lengths: list[int], sequences: int = 1) -> Facts:
    """What defaults depend on, of a base and the tokens of its rows."""
    rows = tuple(sorted(lengths))
    return Facts(shape.hidden, shape.parameters, shape.architecture, shape.context_tokens, rows, sequences)


def used_rows(
    train: Path, dev: Path | None, rows: Sequence[Any], dev_rows: Sequence[Any], left: tuple[str, ...], order: str
) -> Used:
    """What a manifest says of rows with prompts; nothing before an answer is learned."""
    learned = sum(row.tokens - len(row.prompt) for row in rows)
    digests = (digest_file(train), digest_file(dev) if dev else None)
    total = sum(row.tokens for row in rows)
    name = dev.name if dev else None
    return Used(train.name, digests[0], name, digests[1], len(rows), len(dev_rows), total, learned, left, order)
