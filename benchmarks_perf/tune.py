"""Tuning beside plain TRL, QLoRA's bytes, GRPO, a reward model, BANKING77. Ends with one JSON line.

    python benchmarks_perf/tune.py [--quick] [--part speed|loss|memory|qlora|grpo|reward|banking77|data] [--minutes 4]

The full form is cut into steps of a few minutes whose results are kept in --results, so that a limit of time ends none:
`--minutes 4` begins no step later than that, and the same command goes on. The keys of the data (`mis_masked_tokens`,
...) come from tune_data.py beside this file. What was not asked for is null.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from steps import OutOfTime, Steps
from tune_banking77 import banking77
from tune_preferences import reward
from tune_qlora import qlora
from tune_rewards import grpo
from tune_speed import loss, memory, speed

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_DATA = Path(os.environ.get("PARITY_SHARED") or ROOT.parent / "shared" / "data")
KEYS = (
    "tokens_per_s_vs_trl", "tokens_per_s_vs_trl_packed", "peak_memory_vs_trl", "dev_loss_difference",
    "mis_masked_tokens", "templates_checked", "qlora_bytes_ratio", "near_duplicate_recall", "decontaminated_exact",
    "grpo_reward_gain", "reward_model_accuracy", "banking77_accuracy",
)  # fmt: skip
SHARED_SCRIPTS = ("steps.py", "tune_speed.py", "tune_trl.py")
Found = dict[str, object]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small models; rewards and BANKING77 are left out")
    parser.add_argument("--part", choices=[*PARTS], action="append", help="only this part; may be repeated")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="the shared data (default: %(default)s)")
    parser.add_argument("--minutes", type=float, help="begin no step of the full form later than this")
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "tune", help="default: %(default)s")
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        print(json.dumps(compared(arguments)))
    except OutOfTime:
        print(f"Time is up; what is measured lies in {arguments.results}. Run the same command to go on.")
    return 0


def compared(arguments: argparse.Namespace) -> Found:
    """All parts that were asked for.

    Raises:
        OutOfTime: the minutes are used up.
    """
    begun = time.monotonic()
    found: Found = dict.fromkeys(KEYS)
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) if arguments.quick else arguments.results
        for name in arguments.part or (QUICK if arguments.quick else list(PARTS)):
            left = None if arguments.minutes is None else arguments.minutes - (time.monotonic() - begun) / 60
            steps = Steps(home / name / stamp(name), stamp(name), left)  # models of other code are not taken up
            found |= PARTS[name](arguments.data, steps, arguments.quick)
    return found


def stamp(part: str) -> str:
    """What decides a part's figures: this room's code, the part's script, and how both sides are asked."""
    own = [Path(str(sys.modules[PARTS[part].__module__].__file__)), *map(Path(__file__).with_name, SHARED_SCRIPTS)]
    files = [*own, *sorted((ROOT / "src/parity/tuning").glob("*.py"))]
    return sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def prepared(data: Path, steps: Steps, quick: bool) -> Found:
    """The keys of the data, from the script beside this one."""
    command = [sys.executable, str(Path(__file__).with_name("tune_data.py")), *(["--quick"] if quick else [])]

    def run() -> Found:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        row: Found = json.loads(done.stdout.strip().rsplit("\n", 1)[-1])
        return row

    found: Found = steps.result("data", run)
    return found


PARTS: dict[str, Callable[[Path, Steps, bool], Found]] = {
    "speed": speed,
    "loss": loss,
    "memory": memory,
    "qlora": qlora,
    "grpo": grpo,
    "reward": reward,
    "banking77": banking77,
    "data": prepared,
}
QUICK = ("speed", "loss", "memory", "qlora", "data")

if __name__ == "__main__":
    sys.exit(main())
