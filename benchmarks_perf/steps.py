"""A long comparison in steps that are kept: what was measured is not measured again, and a limit of time ends no step.

Each step's result is a JSON file in a folder; the next call goes on with the first that is missing.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from parity.errors import EngineError


class OutOfTime(Exception):
    """The minutes are used up; what is measured is kept."""


class Steps:
    """Runs and keeps steps in `folder`, none begun later than `minutes` after this was made (None: no limit).

    `stamp` says what is measured; results of anything else that lie in the folder are thrown away.
    """

    def __init__(self, folder: Path, stamp: str, minutes: float | None = None) -> None:
        self.folder, self._minutes, self._begun = folder, minutes, time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / "stamp"
        if not kept.exists() or kept.read_text() != stamp:
            for path in folder.glob("*.json"):
                path.unlink()
            kept.write_text(stamp)

    def result(self, name: str, make: Callable[[], Any]) -> Any:
        """What a step found, now or before.

        Raises:
            OutOfTime: it was not measured yet, and there is no time left to begin.
        """
        path = self.folder / f"{name}.json"
        if not path.exists():
            begun = time.monotonic()
            if self._minutes is not None and begun - self._begun > 60 * self._minutes:
                raise OutOfTime
            found = make()
            written = path.with_suffix(".part")
            written.write_text(json.dumps(found))
            written.replace(path)
            print(f"  {self.folder.name} {name}: {time.monotonic() - begun:.0f} s", flush=True)
        return json.loads(path.read_text())


def measured(command: list[str], out: Path) -> int:
    """Run a command to its end; returns its peak memory in bytes.

    Raises:
        EngineError: it failed.
    """
    # Only what is run here on torch's threads pays for importing it.
    import torch

    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads()), "HF_HUB_OFFLINE": "1"}
    log = out.with_suffix(".log")
    with log.open("w") as stream:
        both = [(os.POSIX_SPAWN_DUP2, stream.fileno(), at) for at in (1, 2)]
        child = os.posix_spawn(command[0], command, environment, file_actions=both)
        try:
            _, status, usage = os.wait4(child, 0)
        except KeyboardInterrupt:
            os.kill(child, 15)
            raise
    if status:
        tail = "\n".join(log.read_text().splitlines()[-15:])
        raise EngineError(f"{Path(command[1]).name} failed:\n{tail}", "Read the lines above.")
    return usage.ru_maxrss * 1024
