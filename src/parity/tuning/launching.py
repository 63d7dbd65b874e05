"""One training in several processes: each takes its share of a step's micro-batches, and their gradients are summed.

The step, its rows and its loss are those of one process; only who computes what differs. Processes meet on 127.0.0.1.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from parity.core.digests import plain
from parity.errors import EngineError
from parity.tuning.recipe import Plan, Recipe


def launch(plan: Plan) -> None:
    """Run a plan in `plan.devices` processes and wait for them.

    Raises:
        EngineError: one of them failed; what it said is in the message.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "plan.json")
        path.write_text(json.dumps(_as_json(plan)))
        command = [
            sys.executable, "-m", "torch.distributed.run", "--nnodes", "1", "--rdzv-backend", "c10d",
            "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1", "--nproc-per-node", str(plan.devices),
            "-m", "parity.tuning.worker", str(path),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    if done.returncode:
        said = "\n".join(done.stderr.strip().splitlines()[-12:])
        raise EngineError(
            f"Training in {plan.devices} processes failed:\n{said}", "Run the same plan with devices = 1."
        )


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
