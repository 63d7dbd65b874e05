"""What this machine has: cores, memory, how fast it is read, GPUs. Measures for half a second; needs no GPU library.

What cannot be found out is None, never a guess.
"""

import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from parity.models.gpus import Gpu, bandwidth_of

_COPIED_BYTES = 128 * 1024 * 1024
_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Machine:
    """This machine. `memory_bytes` is what a process may use (a container's limit counts); `free_bytes`: right now.

    `bandwidth_bytes_s` is measured by copying (reading and writing both count).
    """

    cores: int
    memory_bytes: int | None
    free_bytes: int | None
    bandwidth_bytes_s: float | None
    gpus: tuple[Gpu, ...]


def this_machine(measure: bool = True) -> Machine:
    """Look at this machine; with `measure`, copy memory for about a tenth of a second."""
    memory, free = _memory()
    if free is not None and free < 4 * _COPIED_BYTES:
        measure = False
    return Machine(_cores(), memory, free, _bandwidth() if measure else None, _gpus())


def _cores() -> int:
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def _memory() -> tuple[int | None, int | None]:
    try:
        total: int | None = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None, None
    free = _available()
    limit = _container("memory.max", "memory/memory.limit_in_bytes")
    if limit is not None and total is not None and limit < total:
        total = limit
        used = _container("memory.current", "memory/memory.usage_in_bytes") or 0
        free = min(free, limit - used) if free is not None else limit - used
    return total, free


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = next((line.split() for line in lines if line.startswith("MemAvailable:")), None)
    return int(found[1]) * 1024 if found else None


def _container(new: str, old: str) -> int | None:
    for name in (new, old):
        try:
            text = (Path("/sys/fs/cgroup") / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        return int(text) if text.isdecimal() else None
    return None


def _bandwidth() -> float | None:
    """Bytes a second, read and written, by the best of a few copies on all cores."""
    import numpy

    workers = min(_cores(), 8)
    try:
        source = numpy.ones(_COPIED_BYTES // 8, numpy.float64)
        target = numpy.empty_like(source)
    except MemoryError:
        return None
    pieces = [slice(i * source.size // workers, (i + 1) * source.size // workers) for i in range(workers)]

    def copy(piece: slice) -> None:
        numpy.copyto(target[piece], source[piece])

    best = float("inf")
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(copy, pieces))  # the first touch of a page is not what is measured
        for _ in range(_REPEATS):
            begun = time.perf_counter()
            list(pool.map(copy, pieces))
            best = min(best, time.perf_counter() - begun)
    return 2 * _COPIED_BYTES / best


def _gpus() -> tuple[Gpu, ...]:
    """NVIDIA's GPUs by nvidia-smi; none if that is not here or does not answer."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    command = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = []
    for line in done.stdout.splitlines() if done.returncode == 0 else ():
        name, _, megabytes = (piece.strip() for piece in line.rpartition(","))
        if name and megabytes.isdecimal():
            found.append(Gpu(name, int(megabytes) * 1024 * 1024, bandwidth_of(name)))
    return tuple(found)
