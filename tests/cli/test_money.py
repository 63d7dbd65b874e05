"""`--max-usd`, forecasts, costs and `parity price` from the shell; a guesser with a price stands for an API."""

import json

import pytest

from parity.cli import main

ROWS = [{"question": f"Is {n} even?", "options": ["yes", "no"], "answer": "AB"[n % 2]} for n in range(120)]
PRICED = '[[price]]\nmodel = "dummy:"\ninput_usd = 10\noutput_usd = 40\nsource = "made up"\n'


@pytest.fixture
def bench(tmp_path):
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    path = tmp_path / "even.toml"
    path.write_text('name = "even"\nitems = "items.jsonl"\nmark = "letter"\n')
    return path


@pytest.fixture
def said(tmp_path, capsys):
    def run(*arguments, code=0):
        capsys.readouterr()
        assert main([*map(str, arguments), "--workspace", str(tmp_path / "w")]) == code
        out = capsys.readouterr()
        return out.out, " ".join(out.err.split())

    return run


@pytest.fixture
def prices(tmp_path):
    path = tmp_path / "prices.toml"
    path.write_text(PRICED)
    return path


def test_a_forecast_comes_first_and_the_cost_is_kept(bench, said, prices):
    out, err = said("measure", "dummy:", "dummy:seed=1", "-b", bench, "--prices", prices, "--json")
    priced, local = json.loads(out)["models"]
    cost = (priced["prompt_tokens"] * 10 + priced["completion_tokens"] * 40) / 1e6
    assert priced["usd"] == pytest.approx(cost)
    assert priced["price_usd_per_million_tokens"]["source"] == "made up"
    assert (local["usd"], local["local"]) == (0, True)
    assert "dummy:: 120 requests, about $" in err
    assert ", at most $" in err
    assert "seed=1" not in err
    runs = json.loads(said("runs", "--json")[0])["runs"]
    assert [run["usd"] for run in runs] == [pytest.approx(cost), 0]
    page, _ = said("show", "@2")
    assert "$10.00" in page
    assert "Hosts talked to: none" in page
    assert "local" in said("runs")[0]
    assert "all 120 requests are answered already" in said("measure", "dummy:", "-b", bench, "--prices", prices)[1]


def test_max_usd_holds_over_all_models_and_the_part_that_was_paid_is_kept(bench, said, prices):
    prices.write_text(PRICED + PRICED.replace('"dummy:"', '"dummy:seed=1"'))
    asked = ("measure", "dummy:", "dummy:seed=1", "-b", bench, "--prices", prices)
    whole = json.loads(said("measure", "dummy:seed=2", "-b", bench, "--json")[0])["models"][0]
    cost = (whole["prompt_tokens"] * 10 + whole["completion_tokens"] * 40) / 1e6
    _, err = said(*asked, "--max-usd", f"{1.5 * cost:.6f}", code=1)
    assert f"The budget of ${1.5 * cost:.3g}" in err
    assert "is used up" in err
    assert "they are kept" in err.lower()
    runs = json.loads(said("runs", "--json")[0])["runs"]
    paid = {run["model"]: (run["status"], run["usd"]) for run in runs if run["model"] != "dummy:seed=2"}
    assert paid["dummy:"] == ("done", pytest.approx(cost))
    assert paid["dummy:seed=1"][0] == "asking"
    assert 0.3 * cost < paid["dummy:seed=1"][1] <= 0.5 * cost + 1e-9
    said(*asked, "--max-usd", f"{cost:.6f}")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["http://127.0.0.1:9/v1#x", "--protocol", "letter", "--max-usd", "1"],
            1,
            "No price is on record for http://127",
        ),
        (["openai:gpt-0", "--protocol", "letter"], 1, "No price is on record for openai:gpt-0"),
        (["dummy:", "--max-usd", "0"], 2, "--max-usd 0 is not above 0"),
        (["dummy:", "--prices", "none.toml"], 1, "There is no price file"),
    ],
)
def test_what_cannot_be_priced_is_refused_before_anything_is_asked(bench, said, arguments, code, message, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-made-up")
    assert message in said("measure", *arguments, "-b", bench, code=code)[1]


def test_price_shows_the_row_of_the_day_and_its_source(said):
    out, _ = said("price", "openai:gpt-4o", "--date", "2024-06-01", "--json")
    [found] = json.loads(out)["prices"]
    assert (found["in_force"]["input_usd"], found["in_force"]["source"]) == (5, "tokencost history")
    assert len(found["history"]) == 3
    page, _ = said("price", "gpt-4o", "--date", "2024-06-01")
    assert "in force" in page
    assert "$15.00" in page
    many = json.loads(said("price", "Qwen/Qwen3-32B", "--json")[0])["prices"]
    assert {entry["in_force"]["model"] for entry in many} == {"deepinfra:Qwen/Qwen3-32B"}
    assert "local" in said("price", "dummy:")[0]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["gpt-4z"], 1, "Did you mean 'gpt-4'"),
        (["openai:gpt-4o", "--date", "2023-01-01"], 1, "is of 2024-05-14; none is known for 2023-01-01"),
        (["gpt-4o", "--date", "2023-01-01"], 1, "none is known for 2023-01-01"),
        (["gpt-4o", "--date", "May"], 2, "--date May is not a day"),
    ],
)
def test_a_price_that_is_not_known_is_an_error(said, arguments, code, message):
    assert message in said("price", *arguments, code=code)[1]
