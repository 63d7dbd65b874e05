"""From files of rows to what a trainer walks through: datasets in their final order, and what each step holds.

Text is packed here, other rows in `preparing_rows.py`. Epochs are unrolled here, so that the order is known before the
first step and a resumed run needs nothing but the number of the step it stopped at.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from datasets import Dataset

from parity.core.digests import digest
from parity.files import digest_file
from parity.tuning.collating import PackedCollator
from parity.tuning.defaults import resolve
from parity.tuning.outputs import Used
from parity.tuning.packing import Schedule, fixed, schedule
from parity.tuning.prepared import MICRO_TOKENS, Prepared, Shape, facts
from parity.tuning.preparing_rows import preferences, tasks
from parity.tuning.reading import NO_LIMIT, Source, source_files, within
from parity.tuning.recipe import AUTO, RL_METHODS, TEXT_METHODS, Plan
from parity.tuning.tokens import Tokens, gather, held_out, select

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TEXT_BLOCK = 1_024


def prepare(plan: Plan, source: Source, shape: Shape) -> Prepared:
    """Read, check and order the rows of a plan.

    Raises:
        DataError: rows that are broken, too long, or of the wrong form; all are named.
    """
    if plan.recipe.method in TEXT_METHODS:
        return _text(plan, source, shape)
    if plan.recipe.method in RL_METHODS:
        return tasks(plan, source, shape)
    return preferences(plan, source, shape)


def _text(plan: Plan, source: Source, shape: Shape) -> Prepared:
    recipe = plan.recipe
    train_file, dev_file = source_files(plan.data, plan.dev)
    given = recipe.length_tokens != AUTO
    longest = min(_TEXT_BLOCK, shape.context_tokens or _TEXT_BLOCK)
    block = int(recipe.length_tokens) if recipe.length_tokens != AUTO else longest
    rows = source.rows(train_file, recipe.method, block)
    resolved = resolve(recipe, facts(shape, [len(row.ids) for row in rows]))
    rows, left = within(rows, resolved.length_tokens, train_file, given)
    tokens = gather(rows, str(train_file))
    if dev_file is not None:
        other = source.rows(dev_file, recipe.method, block)
        dev_tokens = gather(within(other, shape.context_tokens or NO_LIMIT, dev_file, True)[0], str(dev_file))
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
