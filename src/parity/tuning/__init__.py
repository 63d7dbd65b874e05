"""Recipes in, adapters and checkpoints out; TRL and PEFT make the steps, Parity owns data, order and record.

Nothing here can see a benchmark item: a score it may train towards is handed in as a callable, a reward is a marker.
Importing this room, before the libraries beneath it, switches off what they send home and what they advertise.
"""

import logging
import os

for _name in ("HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY", "DO_NOT_TRACK", "TRL_EXPERIMENTAL_SILENCE"):
    os.environ.setdefault(_name, "1")
# It recommends a package that fetches compiled code from the network.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
