"""From files of rows to what a trainer walks through: datasets in their final order, and what each step holds.

One function a kind of row. Epochs are unrolled here, so that the order is known before the first step and a resumed
run needs nothing but the number of the step it stopped at.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Dataset

from parity.core.digests import digest
from parity.files import digest_file
from parity.tuning.collating import PackedCollator
from parity.tuning.defaults import Facts, Resolved, resolve
from parity.tuning.outputs import Used
from parity.tuning.packing import Schedule, fixed, order_of, schedule
from parity.tuning.reading import Source, source_files, within
from parity.tuning.recipe import AUTO, RL_METHODS, TEXT_METHODS, Plan
from parity.tuning.tokens import Pair, Thumb, Tokens, gather, held_out, select

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Tokens computed at once: more fills caches no better, and takes memory.
MICRO_TOKENS = 2_048
_TEXT_BLOCK = 1_024
_ANSWER_TOKENS = 256
_NO_LIMIT = 1 << 40
# Answers to one prompt: 8 for GRPO (TRL; DeepSeekMath 64), 4 for RLOO (2402.14740, section 5).
GENERATIONS = {"grpo": 8, "rloo": 4}


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


def prepare(plan: Plan, source: Source, shape: Shape) -> Prepared:
    """Read, check and order the rows of a plan.

    Raises:
        DataError: rows that are broken, too long, or of the wrong form; all are named.
    """
    if plan.recipe.method in TEXT_METHODS:
        return _text(plan, source, shape)
    if plan.recipe.method in RL_METHODS:
        return _tasks(plan, source, shape)
    return _preferences(plan, source, shape)


def _text(plan: Plan, source: Source, shape: Shape) -> Prepared:
    recipe = plan.recipe
    train_file, dev_file = source_files(plan.data, plan.dev)
    given = recipe.length_tokens != AUTO
    longest = min(_TEXT_BLOCK, shape.context_tokens or _TEXT_BLOCK)
    block = int(recipe.length_tokens) if recipe.length_tokens != AUTO else longest
    rows = source.rows(train_file, recipe.method, block)
    resolved = resolve(recipe, _facts(shape, [len(row.ids) for row in rows]))
    rows, left = within(rows, resolved.length_tokens, train_file, given)
    tokens = gather(rows, str(train_file))
    if dev_file is not None:
        other = source.rows(dev_file, recipe.method, block)
        dev_tokens = gather(within(other, shape.context_tokens or _NO_LIMIT, dev_file, True)[0], str(dev_file))
    else:
        dev_rows = held_out(tokens.names, recipe.seed)
        dev_tokens = select(tokens, sorted(dev_rows))
        tokens = select(tokens, [row for row in range(len(tokens)) if row not in dev_rows])
    micro = max(MICRO_TOKENS, resolved.length_tokens)
    planned = _divided(schedule(tokens.lengths, resolved.batch_tokens, micro, recipe.epochs, recipe.seed), plan.devices)
    looked = fixed(dev_tokens.lengths, micro) if len(dev_tokens) else ()
    used = _used(train_file, dev_file, tokens, dev_tokens, left, digest(planned.batches))
    return Prepared(
        resolved,
        _packed(planned.batches, False),
        _packed(looked, True) if looked else None,
        PackedCollator(tokens, _pad(source.tokenizer), recipe.prompt_loss, dev_tokens),
        planned.steps,
        1,
        planned.per_step,
        _step_tokens(planned, tokens),
        used,
        len(looked) / max(1, dev_tokens.learned),
    )


def _divided(planned: Schedule, devices: int) -> Schedule:
    """The same steps with as many micro-batches as the processes can share evenly."""
    more = -planned.per_step % devices
    if not more:
        return planned
    size = planned.per_step
    batches = tuple(
        batch
        for step in range(planned.steps)
        for batch in (*planned.batches[step * size : (step + 1) * size], *[()] * more)
    )
    return Schedule(batches, size + more)


def _packed(batches: Sequence[Sequence[Sequence[int]]], dev: bool) -> Dataset:
    lines = [[list(line) for line in batch] for batch in batches]
    return Dataset.from_dict({"lines": lines, "dev": [dev] * len(lines)})


def _step_tokens(planned: Schedule, tokens: Tokens) -> tuple[int, ...]:
    lengths = tokens.lengths
    sums = [sum(int(lengths[row]) for line in batch for row in line) for batch in planned.batches]
    return tuple(sum(sums[at : at + planned.per_step]) for at in range(0, len(sums), planned.per_step))


def _preferences(plan: Plan, source: Source, shape: Shape) -> Prepared:
    recipe = plan.recipe
    train_file, dev_file = source_files(plan.data, plan.dev)
    read: Callable[[Path], list[Any]] = source.thumbs if recipe.method == "kto" else source.pairs
    rows = read(train_file)
    # A pair is computed as two rows, a rated answer twice for its KL.
    resolved = resolve(recipe, _facts(shape, [row.tokens for row in rows], sequences=2))
    length = resolved.length_tokens
    rows, left = within(rows, length, train_file, recipe.length_tokens != AUTO)
    if dev_file is not None:
        dev_rows, _ = within(read(dev_file), shape.context_tokens or _NO_LIMIT, dev_file, True)
    else:
        chosen = held_out(tuple(row.id for row in rows), recipe.seed)
        dev_rows = [row for at, row in enumerate(rows) if at in chosen]
        rows = [row for at, row in enumerate(rows) if at not in chosen]
    mean = sum(2 * row.tokens for row in rows) / len(rows)
    wanted = max(1, min(len(rows), round(resolved.batch_tokens / mean)))
    at_once = wanted if recipe.method == "kto" else max(1, min(wanted, 4 * MICRO_TOKENS // (2 * length)))
    per_step = max(1, wanted // at_once)
    order = order_of(len(rows), recipe.epochs, recipe.seed)
    ordered = [rows[at] for at in order]
    size = at_once * per_step
    counts = [2 * row.tokens for row in ordered]
    used = _used_rows(train_file, dev_file, rows, dev_rows, left, digest(order))
    return Prepared(
        resolved,
        _columns(ordered, recipe.method, size),
        _columns(dev_rows, recipe.method, size) if dev_rows else None,
        None,
        -(-len(ordered) // size),
        at_once,
        per_step,
        tuple(sum(counts[at : at + size]) for at in range(0, len(counts), size)),
        used,
    )


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


def _tasks(plan: Plan, source: Source, shape: Shape) -> Prepared:
    recipe = plan.recipe
    train_file, _ = source_files(plan.data, None)
    tasks = source.tasks(train_file)
    longest = max(task.tokens for task in tasks)
    room = min(longest + _ANSWER_TOKENS, shape.context_tokens or longest + _ANSWER_TOKENS)
    resolved = resolve(recipe, _facts(shape, [room] * len(tasks)))
    kept, left = within(tasks, resolved.length_tokens - 1, train_file, recipe.length_tokens != AUTO)
    generations = GENERATIONS[recipe.method]
    wanted = max(1, round(resolved.batch_tokens / (generations * resolved.length_tokens)))
    wanted = min(wanted, len(kept))
    order = order_of(len(kept), recipe.epochs, recipe.seed)
    steps = max(1, len(order) // wanted)
    ordered = [kept[at] for at in order[: steps * wanted]]
    columns = {"prompt": [task.text for task in ordered], "targets": [list(task.targets) for task in ordered]}
    return Prepared(
        resolved,
        Dataset.from_dict(columns),
        None,
        None,
        steps,
        wanted * generations,
        1,
        tuple([wanted * generations * longest] * steps),
        _used_rows(train_file, None, kept, [], left, digest(order)),
        prompt_ids={task.text: list(task.prompt) for task in kept},
    )


def answer_tokens(prepared: Prepared) -> int:
    """The longest answer that still fits behind the longest prompt (grpo, rloo)."""
    assert prepared.prompt_ids is not None
    return max(1, prepared.resolved.length_tokens - max(map(len, prepared.prompt_ids.values())))


def _facts(shape: Shape, lengths: list[int], sequences: int = 1) -> Facts:
    rows = tuple(sorted(lengths))
    return Facts(shape.hidden, shape.parameters, shape.architecture, shape.context_tokens, rows, sequences)


def _pad(tokenizer: "PreTrainedTokenizerBase") -> int:
    found = tokenizer.pad_token_id
    assert isinstance(found, int)
    return found


def _used(train: Path, dev: Path | None, tokens: Tokens, dev_tokens: Tokens, left: tuple[str, ...], order: str) -> Used:
    return Used(
        train.name,
        digest_file(train),
        dev.name if dev else None,
        digest_file(dev) if dev else None,
        len(tokens),
        len(dev_tokens),
        int(np.sum(tokens.lengths)),
        tokens.learned,
        left,
        order,
    )


def _used_rows(
    train: Path, dev: Path | None, rows: Sequence[Any], dev_rows: Sequence[Any], left: tuple[str, ...], order: str
) -> Used:
    learned = sum(row.tokens - len(row.prompt) for row in rows)
    digests = (digest_file(train), digest_file(dev) if dev else None)
    total = sum(row.tokens for row in rows)
    name = dev.name if dev else None
    return Used(train.name, digests[0], name, digests[1], len(rows), len(dev_rows), total, learned, left, order)
