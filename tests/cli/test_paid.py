"""A run at an endpoint: forecast, cost, budget in dollars, and the host it talked to, also under --offline."""

import json
import os
import subprocess
import sys

import pytest

from engines.endpoint.fake_server import serving

ROWS = [{"question": f"Is {n} even?", "options": ["yes", "no"], "answer": "AB"[n % 2]} for n in range(40)]


@pytest.fixture
def fake():
    with serving() as fake:
        yield fake


@pytest.fixture
def bench(tmp_path, fake):
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "even.toml").write_text('name = "even"\nitems = "items.jsonl"\nmark = "letter"\n')
    (tmp_path / "prices.toml").write_text(f'[[price]]\nmodel = "{fake.url}#m"\ninput_usd = 5\noutput_usd = 20\n')
    return tmp_path


def run(folder, *arguments, code=0, **variables):
    command = [sys.executable, "-m", "parity", *arguments]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=120, env={**os.environ, **variables}
    )
    assert done.returncode == code, done.stderr
    return done


def measured(folder, *arguments, **options):
    done = run(folder, "measure", "-b", "even.toml", "--protocol", "letter", "--json", *arguments, **options)
    return json.loads(done.stdout)["models"][0], done.stderr


def test_cost_and_host_are_kept_also_offline_since_it_is_this_machine(bench, fake):
    model, err = measured(bench, f"{fake.url}#m", "--prices", "prices.toml", "--offline")
    cost = (model["prompt_tokens"] * 5 + model["completion_tokens"] * 20) / 1e6
    assert model["usd"] == pytest.approx(cost)
    assert cost > 0
    assert model["hosts"] == [fake.root.removeprefix("http://")]
    assert (model["offline"], model["attempts"]) == (True, 0)
    assert "m: 40 requests, about $" in err
    page = run(bench, "show", "@1").stdout
    assert f"this machine was talked to at {fake.root.removeprefix('http://')}" in page
    assert "0 attempts to reach another host" in page


def test_a_budget_in_dollars_holds_and_the_rest_is_asked_later(bench, fake):
    arguments = ["-b", "even.toml", "--protocol", "letter", f"{fake.url}#m", "--prices", "prices.toml"]
    done = run(bench, "measure", *arguments, "--max-usd", "0.004", code=1)
    assert "The budget of $0.004" in done.stderr
    asked = len(fake.requests)
    assert 0 < asked < len(ROWS)
    [kept] = json.loads(run(bench, "runs", "--json").stdout)["runs"]
    assert 0 < kept["usd"] <= 0.004
    assert kept["hosts"] == [fake.root.removeprefix("http://")]
    run(bench, "measure", *arguments, "--max-usd", "1")
    assert len(fake.requests) == len(ROWS)


def test_without_a_price_the_cost_is_unknown_and_said_so(bench, fake):
    model, err = measured(bench, f"{fake.url}#m")
    assert (model["usd"], model["local"]) == (None, None)
    assert "no price is on record" in err
    assert "unknown" in run(bench, "runs").stdout
    assert "Cost unknown" in run(bench, "show", "@1").stdout


def test_another_host_is_refused_offline_before_anything_is_sent(bench):
    done = run(
        bench,
        *("measure", "openai:gpt-4o", "-b", "even.toml", "--protocol", "letter", "--offline"),
        code=1,
        OPENAI_API_KEY="sk-made-up",
    )
    assert "An attempt to reach api.openai.com:443 was refused" in done.stderr
    assert "sk-made-up" not in done.stderr + done.stdout
