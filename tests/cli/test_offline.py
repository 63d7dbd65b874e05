"""`--offline`: every verb stays on this machine, and the report proves it by counting attempts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROWS = [{"question": f"Is {n} even?", "options": ["yes", "no"], "answer": "AB"[n % 2]} for n in range(8)]
# An engine that calls home between answers, as a careless library might.
LEAKY = """
import socket, sys
import parity.engines.dummy as dummy
from parity.cli import main
from parity.errors import ParityError

class Leaky(dummy.DummyEngine):
    def answer(self, requests):
        for found in super().answer(requests):
            try:
                socket.create_connection(("192.0.2.1", 443), 1)
            except ParityError as error:
                if "swallow" not in str(self.model):
                    raise
            yield found

sys.argv[0] = "parity"
dummy.DummyEngine = Leaky
sys.exit(main())
"""


@pytest.fixture
def bench(tmp_path):
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "even.toml").write_text('name = "even"\nitems = "items.jsonl"\nmark = "letter"\n')
    return tmp_path


def run(folder, *arguments, program=("-m", "parity"), **variables):
    environment = {**os.environ, **variables}
    command = [sys.executable, *program, *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=120, env=environment
    )


@pytest.mark.parametrize("where", ["before", "after", "variable"])
def test_the_report_says_that_nothing_was_attempted(bench, where):
    arguments = ["measure", "dummy:", "-b", "even.toml"]
    offline = {"before": ["--offline", *arguments], "after": [*arguments, "--offline"]}.get(where, arguments)
    variables = {"PARITY_OFFLINE": "1"} if where == "variable" else {}
    done = run(bench, *offline, **variables)
    assert done.returncode == 0, done.stderr
    assert "Offline: 0 attempts to reach another host" in done.stdout
    assert "Offline: 0 attempts" in next((bench / ".parity" / "reports").glob("*.md")).read_text()
    shown = json.loads(run(bench, "show", "@1", "--json").stdout)
    assert (shown["offline"], shown["attempts"], shown["hosts"]) == (True, 0, [])
    assert "Hosts talked to: none" in run(bench, "measure", "dummy:seed=1", "-b", "even.toml").stdout


def test_an_attempt_is_refused_counted_and_kept(bench):
    program = ("-c", LEAKY)
    done = run(bench, "measure", "dummy:", "-b", "even.toml", "--offline", program=program)
    assert done.returncode == 1
    assert "An attempt to reach 192.0.2.1:443 was refused" in done.stderr
    [kept] = json.loads(run(bench, "runs", "--json").stdout)["runs"]
    assert (kept["attempts"], kept["offline"], kept["hosts"], kept["status"]) == (1, True, [], "asking")


def test_attempts_that_a_library_hides_are_counted_all_the_same(bench):
    leaky = LEAKY.replace('"swallow" not in str(self.model)', "False")
    done = run(bench, "measure", "dummy:", "-b", "even.toml", "--offline", "--json", program=("-c", leaky))
    [model] = json.loads(done.stdout)["models"]
    assert (model["attempts"], model["offline"], model["scored"]) == (len(ROWS), True, len(ROWS))
    assert f"{len(ROWS)} attempts to reach another host were refused" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pull", "hf:org/name"], "has not been pulled"),
        (["measure", "hf:org/name", "-b", "even.toml"], "parity pull hf:org/name"),
        (["measure", "dummy:", "-b", "mmlu"], "--data"),
    ],
)
def test_what_needs_the_hub_says_what_to_do(bench, arguments, message):
    done = run(bench, *arguments, "--offline", HF_HOME=str(Path(bench) / "home"))
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
