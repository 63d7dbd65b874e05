"""The layers of a model run over passes of a walk: ids in, hidden states out, all work counted.

Packed without padding: a pass is one row of ids from many sequences, kept apart by their paths. In tiles every pass has
the same shape: one stretch of one row, filled up.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from parity.engines.tokens.ledger import Work
from parity.engines.tokens.walk import Piece
from parity.engines.torch.path import Path, walking
from parity.engines.torch.room import Room


class Body:
    """Runs one model's layers. `work` adds up; operations are counted where a gauge says what they are."""

    def __init__(self, model: Any, room: Room, work: Work | None = None) -> None:
        self._model, self.room, self.work = model, room, work or Work()
        self._vocabulary = model.get_output_embeddings().weight.shape[0]

    @property
    def device(self) -> torch.device:
        found: torch.device = self._model.device
        return found

    def read(self, path: Path, pieces: Sequence[Piece]) -> Tensor:
        """Hidden states (T, H) of the ids of one pass; the first of each piece at the columns `path.spans` has."""
        ids_T = np.concatenate([piece.row.ids[piece.begin : piece.end] for piece in pieces])
        depth_T = np.concatenate([np.arange(piece.begin, piece.end) for piece in pieces])
        filled = max(0, (self.room.tile or 0) - len(ids_T))
        if filled:
            # Nothing looks at what fills up a tile. Its depth stays in the window that the model knows.
            ids_T, depth_T = np.pad(ids_T, (0, filled)), np.pad(depth_T, (0, filled), mode="edge")
        path.stand(pieces, filled)
        self._count(depth_T)
        self.work.walked(pieces)
        return self._forward(path, torch.from_numpy(ids_T).long()[None], torch.from_numpy(depth_T)[None])[0]

    def step(self, memory: Any, tokens: Sequence[int], depths: Sequence[int]) -> Tensor:
        """Hidden states (B, H) after one more id of each of several sequences."""
        self._count(np.asarray(depths))
        # Every sequence's ids are its own: computed because asked for, and never twice.
        self.work.requested += len(tokens)
        self.work.distinct += len(tokens)
        return self._forward(memory, torch.tensor(tokens)[:, None], torch.tensor(depths)[:, None])[:, 0]

    def multiplied(self, states: int, rows: int | None = None) -> None:
        """Count products of so many hidden states with so many rows of the output matrix; None is all of them."""
        logits = states * (self._vocabulary if rows is None else rows)
        self.work.logits += logits
        if self.room.gauge:
            self.work.flops += logits * self.room.gauge.logit_flops

    def _count(self, depth_T: Any) -> None:
        self.work.computed += len(depth_T)
        if self.room.gauge:
            self.work.flops += self.room.gauge.flops(depth_T)

    def _forward(self, memory: Any, ids: Tensor, depths: Tensor) -> Tensor:
        model = self._model
        with walking(model, memory):
            hidden: Tensor = model.base_model(
                input_ids=ids.to(model.device), position_ids=depths.to(model.device), use_cache=False
            ).last_hidden_state
        return hidden
