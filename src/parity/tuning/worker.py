"""One of several processes that train together: `python -m parity.tuning.worker PLAN.json`, begun by `launching`."""

import sys
from pathlib import Path


def main() -> int:
    """Train this process's share."""
    import torch

    from parity.tuning.launching import read_launched
    from parity.tuning.tune import tune

    torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        tune(read_launched(Path(sys.argv[1])))
    finally:
        torch.distributed.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
