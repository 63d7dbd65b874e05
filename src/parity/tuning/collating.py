"""From the names of rows to tensors: one micro-batch, packed in lines, every row at positions from 0."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from parity.tuning.packing import MicroBatch
from parity.tuning.tokens import IGNORED, Tokens


class PackedCollator:
    """Makes the tensors of one micro-batch from rows kept as flat arrays.

    `input_ids`, `labels`, `position_ids` [lines x T]; no attention mask: positions that restart keep rows apart, and a
    mask of ones would join them. `token_weights` only where prompts count a little (`prompt_loss`).
    """

    def __init__(self, tokens: Tokens, pad: int, prompt_loss: float = 0.0, dev: Tokens | None = None) -> None:
        self._tokens, self._dev, self._pad, self._prompt_loss = tokens, dev, pad, prompt_loss

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        if len(examples) != 1:
            raise AssertionError("a micro-batch is made one at a time")
        lines = tuple(tuple(line) for line in examples[0]["lines"])
        if examples[0]["dev"]:
            assert self._dev is not None
            return PackedCollator(self._dev, self._pad).tensors(lines)
        return self.tensors(lines)

    def tensors(self, batch: MicroBatch) -> dict[str, Tensor]:
        """The tensors of a micro-batch; one without rows is two tokens that teach nothing."""
        lengths = self._tokens.lengths
        width = max((sum(int(lengths[row]) for row in line) for line in batch), default=2)
        shape = (max(1, len(batch)), width)
        ids = torch.full(shape, self._pad, dtype=torch.long)
        labels = torch.full(shape, IGNORED, dtype=torch.long)
        positions = torch.zeros(shape, dtype=torch.long)
        real = torch.zeros(shape, dtype=torch.bool)
        for at, line in enumerate(batch):
            used = 0
            for row in line:
                row_ids, row_labels = self._tokens.row(row)
                part = slice(used, used + len(row_ids))
                ids[at, part] = torch.from_numpy(row_ids.astype("int64"))
                labels[at, part] = torch.from_numpy(row_labels.astype("int64"))
                labels[at, used] = IGNORED  # nothing before it predicts a row's first token
                positions[at, part] = torch.arange(len(row_ids))
                used += len(row_ids)
            real[at, :used] = True
            positions[at, used:] = torch.arange(width - used)  # padding: a row of its own
        found = {"input_ids": ids, "labels": labels, "position_ids": positions}
        if self._prompt_loss:
            found |= self._weighted(found, real)
        return found

    def _weighted(self, found: dict[str, Tensor], real: Tensor) -> dict[str, Tensor]:
        """Labels for prompts too, and how much each token counts: 1 for answers, `prompt_loss` for the rest."""
        answers = found["labels"] != IGNORED
        first = found["position_ids"] == 0
        prompts = real & ~answers & ~first
        labels = torch.where(prompts, found["input_ids"], found["labels"])
        return {"labels": labels, "token_weights": answers.float() + self._prompt_loss * prompts.float()}
