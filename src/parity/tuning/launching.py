"""One training in several processes: each takes its share of a step's micro-batches, and their gradients are summed.

The step, its rows and its loss are those of one process; only who computes what differs. Processes meet on 127.0.0.1.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from parity.core.digests import plain
from parity.errors import EngineError
from parity.tuning.outputs import read_manifest
from parity.tuning.recipe import Plan, Recipe
from parity.tuning.watching import Curve, OnStep, Seen

_LOOK_S = 0.5


def launch(plan: Plan, on_step: OnStep | None = None) -> None:
    """Run a plan in `plan.devices` processes and wait for them; progress is read from the curve they write.

    Raises:
        EngineError: one of them failed; what it said is in the message.
    """
    with tempfile.TemporaryDirectory() as folder:
        path, said = Path(folder, "plan.json"), Path(folder, "said.txt")
        path.write_text(json.dumps(_as_json(plan)))
        command = [
            sys.executable, "-m", "torch.distributed.run", "--nnodes", "1", "--rdzv-backend", "c10d",
            "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1", "--nproc-per-node", str(plan.devices),
            "-m", "parity.tuning.worker", str(path),
        ]  # fmt: skip
        with said.open("w") as stream:
            running = subprocess.Popen(command, stdout=stream, stderr=stream, env=_environment())
            try:
                _follow(running, plan, on_step)
            finally:
                running.terminate()
                running.wait()
        if running.returncode:
            last = "\n".join(said.read_text().strip().splitlines()[-12:])
            raise EngineError(f"Training in {plan.devices} processes failed:\n{last}", "Try devices = 1.")
        if read_manifest(plan.out) is None:
            raise EngineError(f"Training in {plan.devices} processes was stopped.", "The same command goes on.")


def _follow(running: "subprocess.Popen[bytes]", plan: Plan, on_step: OnStep | None) -> None:
    curve, shown = Curve(plan.out / "curve.jsonl"), 0
    while running.poll() is None:
        time.sleep(_LOOK_S)
        points = curve.points() if on_step else ()
        if on_step and points and points[-1].step > shown:
            last = points[-1]
            shown = last.step
            speed = last.tokens / last.seconds if last.seconds else None
            on_step(Seen(last.step, None, last.loss, speed, None, last.dev))


def read_launched(path: Path) -> Plan:
    """The plan a launcher wrote."""
    row = json.loads(path.read_text())
    paths = {key: Path(row[key]) if row[key] else None for key in ("data", "out", "dev")}
    return Plan(**{**row, **paths, "recipe": Recipe(**row["recipe"])})


def _as_json(plan: Plan) -> dict[str, object]:
    fields = {name: getattr(plan, name) for name in Plan.__dataclass_fields__}
    return {name: str(value) if isinstance(value, Path) else plain(value) for name, value in fields.items()}


def _environment() -> dict[str, str]:
    cores = os.cpu_count() or 1
    return {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, cores // 2)))}
