"""Rows that TRL pads by itself, in its columns: pairs, rated answers, tasks; each step's rows in an order of their own.

Processes share a step: its rows are theirs in turn, so that the same rows make the same step whatever their number.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from parity.core.digests import digest
from parity.errors import DataError
from parity.tuning.defaults import resolve
from parity.tuning.packing import order_of
from parity.tuning.prepared import MICRO_TOKENS, Prepared, Shape, facts, used_rows
from parity.tuning.reading import NO_LIMIT, Source, source_files, within
from parity.tuning.recipe import AUTO, Plan
from parity.tuning.tokens import Pair, Thumb, held_out

_ANSWER_TOKENS = 256
# Answers to one prompt: 8 for GRPO (TRL; DeepSeekMath 64), 4 for RLOO (2402.14740, section 5).
GENERATIONS = {"grpo": 8, "rloo": 4}


def preferences(plan: Plan, source: Source, shape: Shape) -> Prepared:
    """Pairs (dpo, reward) or rated answers (kto).

    Raises:
        DataError: rows that are broken or too long; all are named.
    """
    recipe = plan.recipe
    train_file, dev_file = source_files(plan.data, plan.dev)
    read: Callable[[Path], list[Any]] = source.thumbs if recipe.method == "kto" else source.pairs
    rows = read(train_file)
    # A pair is computed as two rows, a rated answer twice for its KL.
    resolved = resolve(recipe, facts(shape, [row.tokens for row in rows], sequences=2))
    rows, left = within(rows, resolved.length_tokens, train_file, recipe.length_tokens != AUTO)
    if dev_file is not None:
        dev_rows, _ = within(read(dev_file), shape.context_tokens or NO_LIMIT, dev_file, True)
    else:
        chosen = held_out(tuple(row.id for row in rows), recipe.seed)
        dev_rows = [row for at, row in enumerate(rows) if at in chosen]
        rows = [row for at, row in enumerate(rows) if at not in chosen]
    wanted = min(len(rows), resolved.batch_tokens * len(rows) / sum(2 * row.tokens for row in rows))
    at_once, turns = _shared(plan, round(wanted), resolved.length_tokens)
    size = at_once * turns * plan.devices
    order = order_of(len(rows), recipe.epochs, recipe.seed)
    order += order[: -len(order) % (at_once * plan.devices)] if plan.devices > 1 else []
    ordered = [rows[at] for at in order]
    counts = [2 * row.tokens for row in ordered]
    return Prepared(
        resolved,
        _columns(ordered, recipe.method, size),
        _columns(dev_rows, recipe.method, size) if dev_rows else None,
        None,
        -(-len(ordered) // size),
        at_once,
        turns * plan.devices,
        tuple(sum(counts[at : at + size]) for at in range(0, len(counts), size)),
        used_rows(train_file, dev_file, rows, dev_rows, left, digest(order)),
    )


def _shared(plan: Plan, wanted: int, length_tokens: int) -> tuple[int, int]:
    """Rows that each process computes at once, and how many times a step; a step has about `wanted` rows in all.

    KTO's mismatched answers are a batch's own, so it takes a process's rows at once, and two at least.
    """
    share = max(1, round(wanted / plan.devices))
    if plan.recipe.method == "kto":
        return max(2, share), 1
    at_once = max(1, min(share, 2 * MICRO_TOKENS // length_tokens))
    return at_once, max(1, share // at_once)


def _columns(rows: Sequence[Pair | Thumb], method: str, size: int) -> Dataset:
    """TRL's columns of token ids; KTO's mismatched answers are those of the row before in the same step."""
    found: dict[str, list[Any]] = {}
    if method == "kto":
        thumbs = [row for row in rows if isinstance(row, Thumb)]
        found["prompt_ids"] = [list(row.prompt) for row in thumbs]
        found["completion_ids"] = [list(row.completion) for row in thumbs]
        before = [at - 1 if at % size else min(at + size, len(thumbs)) - 1 for at in range(len(thumbs))]
        found["KL_completion_ids"] = [list(thumbs[at].completion) for at in before]
        found["label"] = [row.label for row in thumbs]
        return Dataset.from_dict(found)
    pairs = [row for row in rows if isinstance(row, Pair)]
    if method == "reward":
        found["chosen_ids"] = [[*row.prompt, *row.chosen] for row in pairs]
        found["rejected_ids"] = [[*row.prompt, *row.rejected] for row in pairs]
        return Dataset.from_dict(found)
    found["prompt_ids"] = [list(row.prompt) for row in pairs]
    found["chosen_ids"] = [list(row.chosen) for row in pairs]
    found["rejected_ids"] = [list(row.rejected) for row in pairs]
    return Dataset.from_dict(found)


def tasks(plan: Plan, source: Source, shape: Shape) -> Prepared:
    """Prompts whose answers are rewarded (grpo, rloo).

    Raises:
        DataError: rows that are broken or too long, or too few prompts for the processes to share.
    """
    recipe = plan.recipe
    train_file, _ = source_files(plan.data, None)
    found = source.tasks(train_file)
    longest = max(task.tokens for task in found)
    room = min(longest + _ANSWER_TOKENS, shape.context_tokens or longest + _ANSWER_TOKENS)
    resolved = resolve(recipe, facts(shape, [room] * len(found)))
    kept, left = within(found, resolved.length_tokens - 1, train_file, recipe.length_tokens != AUTO)
    generations = GENERATIONS[recipe.method]
    unit = plan.devices // math.gcd(plan.devices, generations)  # so many prompts' answers are shared evenly
    if len(kept) < unit:
        raise DataError(
            f"{plan.devices} processes share the answers to {unit} prompts; {train_file} has {len(kept)}.",
            "Give more prompts, or fewer devices.",
        )
    wanted = min(round(resolved.batch_tokens / (generations * resolved.length_tokens)), len(kept))
    wanted = max(unit, wanted // unit * unit)
    order = order_of(len(kept), recipe.epochs, recipe.seed)
    order += order[: -len(order) % wanted]  # the last step is filled up from the first: every step has its groups
    steps = len(order) // wanted
    ordered = [kept[at] for at in order]
    columns = {"prompt": [task.text for task in ordered], "targets": [list(task.targets) for task in ordered]}
    return Prepared(
        resolved,
        Dataset.from_dict(columns),
        None,
        None,
        steps,
        wanted * generations // plan.devices,
        plan.devices,
        tuple([wanted * generations * longest] * steps),
        used_rows(train_file, None, kept, [], left, digest(order)),
        prompt_ids={task.text: list(task.prompt) for task in kept},
    )


def answer_tokens(prepared: Prepared) -> int:
    """The longest answer that still fits behind the longest prompt (grpo, rloo)."""
    assert prepared.prompt_ids is not None
    return max(1, prepared.resolved.length_tokens - max(map(len, prepared.prompt_ids.values())))


def last_tokens(prepared: Prepared) -> set[int]:
    """The ids that answers of pairs end with (reward)."""
    parts = [prepared.train] if prepared.dev is None else [prepared.train, prepared.dev]
    return {ids[-1] for part in parts for column in ("chosen_ids", "rejected_ids") for ids in part[column]}
