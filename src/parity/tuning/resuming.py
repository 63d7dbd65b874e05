"""Whether a folder holds this very run, unfinished or done, and where it can go on.

A run is named by the digest of everything that decides its result: recipe, base, data, number types, versions.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

import torch

from parity.core.digests import digest, plain
from parity.errors import StoreError
from parity.files import write_atomic
from parity.tuning.outputs import libraries
from parity.tuning.recipe import Plan
from parity.tuning.settings import checkpoints

_NEEDED = ("trainer_state.json", "optimizer.pt", "scheduler.pt", "training_args.bin")


def run_key(plan: Plan, base: str, data: str, precision: str, checkpointing: bool) -> str:
    """The digest of what decides the result."""
    decided = (plain(plan.recipe), plan.patience, plan.looks, plan.devices, plan.keep)
    return digest((*decided, base, data, precision, checkpointing, libraries()))


@contextmanager
def claimed(out: Path, key: str) -> Iterator[None]:
    """Make `out` the place of this run, or find that it is already, and keep it from others meanwhile.

    Of several processes that train together the first does so, while the others wait.

    Raises:
        StoreError: it holds another run or something else, or another process is training there.
    """
    together = torch.distributed.is_initialized()
    if together and torch.distributed.get_rank():
        torch.distributed.barrier()
        yield
        return
    _claim(out, key)
    with (out / "run.json").open() as stream:
        try:
            flock(stream, LOCK_EX | LOCK_NB)  # freed when its holder dies
        except BlockingIOError as taken:
            raise StoreError(f"Another process is training in {out}.", "Wait for it, or stop it.") from taken
        if together:
            torch.distributed.barrier()
        yield


def _claim(out: Path, key: str) -> None:
    path = out / "run.json"
    if path.is_file():
        if json.loads(path.read_text()).get("key") != key:
            raise StoreError(
                f"{out} holds a run with another recipe, base, data or versions of libraries.",
                "Name another folder, or remove this one to train again.",
            )
        return
    if out.exists() and any(out.iterdir()):
        raise StoreError(f"{out} is not empty, and no run of Parity.", "Name another folder.")
    write_atomic(path, json.dumps({"key": key}) + "\n")


def last_checkpoint(out: Path) -> Path | None:
    """The newest whole checkpoint; what a crash left half written is removed."""
    found: list[tuple[int, Path]] = []
    for folder in checkpoints(out).glob("checkpoint-*"):
        if _whole(folder):
            found.append((int(folder.name.rpartition("-")[2]), folder))
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return max(found)[1] if found else None


def _whole(folder: Path) -> bool:
    """Trainer writes its state last, so a state that can be read means that all before it is there."""
    try:
        json.loads((folder / "trainer_state.json").read_text())
    except (OSError, ValueError):
        return False
    return all((folder / name).is_file() for name in _NEEDED) and bool(list(folder.glob("rng_state*.pth")))
