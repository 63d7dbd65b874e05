"""How fast this machine multiplies matrices, measured on the spot: what any model's speed is to be held against."""

import statistics
import time
from functools import lru_cache

import torch

# Rows, inner size and columns of the product: as a layer's, on a CPU and on a GPU.
_SHAPES = ((1024, 512, 1024), (8192, 4096, 8192))
_REPEATS = 7


@lru_cache
def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a large product; the median of a few, measured once a process."""
    cuda = device.type == "cuda"
    rows, inner, columns = _SHAPES[cuda]
    left, right = (torch.ones(shape, device=device, dtype=dtype) for shape in ((rows, inner), (inner, columns)))
    seconds = []
    for _ in range(_REPEATS + 2):
        begun = time.perf_counter()
        torch.mm(left, right)
        if cuda:
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - begun)
    return 2.0 * rows * inner * columns / statistics.median(seconds[2:])
