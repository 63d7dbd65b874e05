"""The same bits whatever else is asked: passes of one shape, kernels that sum in one order.

A product's rounding depends on its shape and on nothing beside it, so a row that is always computed in the same tiles
always has the same numbers. What else decides bits, the number of threads and the processor's or the GPU's kind, is
named in the engine's identity.
"""

import os
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

import torch

# Ids of a tile. Larger ones multiply faster and compute more than was asked for: on 5-shot MMLU 32 cost least.
TILE = 32
_settings: Any = torch.utils.deterministic


class ExactTurn(AbstractContextManager[None]):
    """A turn in which torch uses no kernel that sums in an order of its own. Not to be entered twice at a time."""

    def __init__(self, turn: AbstractContextManager[object], device: torch.device) -> None:
        if device.type == "cuda":
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        self._turn = turn
        self._before = (False, False)

    def __enter__(self) -> None:
        self._turn.__enter__()
        self._before = torch.are_deterministic_algorithms_enabled(), _settings.fill_uninitialized_memory
        torch.use_deterministic_algorithms(True)
        _settings.fill_uninitialized_memory = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        exact, filled = self._before
        torch.use_deterministic_algorithms(exact)
        _settings.fill_uninitialized_memory = filled
        self._turn.__exit__(kind, error, trace)


def exactness(device: torch.device) -> str:
    """What decides bits beside the model, the versions and the request."""
    if device.type == "cuda":
        kind = torch.cuda.get_device_name(device)
    else:
        kind = f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    return f"tiles of {TILE} tokens, {kind}"
