"""Whether a folder holds this very run, unfinished or done, and where it can go on.

A run is named by the digest of everything that decides its result: recipe, base, data, number types, versions.
"""

import json
import shutil
from pathlib import Path

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


def claim(out: Path, key: str) -> None:
    """Make `out` the place of this run, or find that it is already.

    Raises:
        StoreError: it holds another run, or something else.
    """
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
