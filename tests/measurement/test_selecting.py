"""The best of many: found on shared items, certified on fresh ones, resumed, and not believed for its luck."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from parity.cli import main
from parity.core.refs import ModelRef
from parity.errors import UsageError
from parity.measurement import selecting
from parity.measurement.selecting import SelectSpec, answers_to_choose
from parity.stats.sequential import AnytimeBounds

ITEMS = 1500


@pytest.fixture
def field(tmp_path):
    """Six candidates recorded in one table; `c4` is as good as the incumbent, the others are 6 to 30 points behind."""
    chance = np.random.default_rng(5)
    rows = [{"id": f"i{n}", "question": f"{n}?", "options": ["x", "y"], "answer": "A"} for n in range(ITEMS)]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "field.toml").write_text('name = "field"\nitems = "items.jsonl"\nmark = "letter"\n')
    right = {"api": chance.random(ITEMS) < 0.8}
    for name, behind in zip(("c0", "c1", "c2", "c3", "c4", "c5"), (0.3, 0.1, 0.06, 0.2, 0.0, 0.15), strict=True):
        flip = chance.random(ITEMS)
        right[name] = np.where(flip < 0.05, ~right["api"], right["api"]) & (chance.random(ITEMS) >= behind)
    head = ",".join(("item", *right))
    lines = (",".join((f"i{n}", *("AB"[not right[name][n]] for name in right))) for n in range(ITEMS))
    (tmp_path / "answers.csv").write_text("\n".join((head, *lines)) + "\n")
    return tmp_path


def asked(field, *more, workspace="w", names=("c0", "c1", "c2", "c3", "c4", "c5")):
    table = f"replay:{field}/answers.csv"
    told = ["--against", f"{table}#api", "-b", str(field / "field.toml"), "--workspace", str(field / workspace)]
    return ["select", *(f"{table}#{name}" for name in names), *told, *more]


def test_the_best_wins_and_is_certified_on_items_that_did_not_choose_it(field, capsys):
    assert main(asked(field, "--margin", "0.05", "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["winner"].endswith("#c4")
    assert found["verdict"] in ("NON_INFERIOR", "SUPERIOR")
    assert [len(each["dropped"]) for each in found["rounds"]] == [3, 1, 1]
    assert found["rounds"][0]["items"] < found["rounds"][1]["items"] < found["rounds"][2]["items"]
    gone = [name.rpartition("#")[2] for each in found["rounds"] for name in each["dropped"]]
    assert sorted(gone) == ["c0", "c1", "c2", "c3", "c5"]
    assert found["rounds"][-1]["items"] + found["fresh_items"] <= ITEMS
    assert found["bound_low"] <= found["gap"] <= found["bound_high"]
    assert found["share"] == found["answers"] / (6 * ITEMS)
    assert found["alpha"] == 0.025
    assert main(["gap", *found["runs"], "--workspace", str(field / "w"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == found["fresh_items"]
    assert main(["gap", *found["runs"], "--workspace", str(field / "w"), "--margin", "0.05", "--json"]) in (0, 11)
    read = json.loads(capsys.readouterr().out)
    assert (read["interval"], read["look"]["number"]) == ("confidence sequence, future items like these", 1)
    assert main(["ledger", "--workspace", str(field / "w")]) == 0
    assert "any stop" in capsys.readouterr().out


def test_it_goes_on_where_it_was_stopped_and_asks_nothing_twice(field, capsys):
    log = field / "asked"
    models = [f"dummy:seed={seed},log={log}" for seed in range(4)]
    told = ["--against", f"dummy:seed=9,log={log}", "-b", str(field / "field.toml"), "--margin", "0.2"]
    prices = field / "stopped"
    prices.mkdir()
    (prices / "prices.toml").write_text(
        "".join(f'[[price]]\nmodel = "{model}"\ninput_usd = 10\noutput_usd = 10\n' for model in (*models, told[1]))
    )
    told += ["--workspace", str(prices), "--json"]
    assert main(["select", *models, *told, "--max-usd", "0.02"]) == 1
    assert "same command" in capsys.readouterr().err
    some = len(log.read_text().split())
    assert main(["select", *models, *told]) in (0, 10, 11)
    found = json.loads(capsys.readouterr().out)
    total = len(log.read_text().split())
    assert some < total == found["answers"] + found["rounds"][-1]["items"] + found["fresh_items"]
    assert main(["select", *models, *told]) in (0, 10, 11)
    again = json.loads(capsys.readouterr().out)
    assert (again.pop("spent_usd"), found.pop("spent_usd") > 0) == (0.0, True)
    assert again == found
    assert len(log.read_text().split()) == total


def test_a_best_that_is_not_good_enough_is_said_to_be(field, capsys):
    assert main(asked(field, "--margin", "0.02", names=("c0", "c3", "c5"))) == 10
    printed = " ".join(capsys.readouterr().out.split())
    assert "NO PARITY: INFERIOR" in printed
    assert "c5 is the best of 3" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--margin", "2"], "two points are 0.02"),
        (["--margin", "0.02", "--share", "0"], "--share 0"),
        (["--margin", "0.02", "--max-usd", "-1"], "--max-usd"),
    ],
)
def test_what_does_not_fit_is_said(field, arguments, message, capsys):
    assert main(asked(field, *arguments)) == 2
    assert message in capsys.readouterr().err


def test_a_candidate_named_twice_is_refused(field, capsys):
    assert main(asked(field, "--margin", "0.1", names=("c0", "c0"))) == 2
    assert "each named once" in capsys.readouterr().err


def test_choosing_leaves_half_of_the_items_fresh():
    assert answers_to_choose(32, 14_042, 0.08) == int(0.08 * 32 * 14_042)
    with pytest.raises(UsageError, match="too few"):
        answers_to_choose(64, 10, 0.08)


class Simulated:
    """A panel whose answers are made up: sixteen candidates, all exactly level with the incumbent."""

    def __init__(self, spec, chance, items, flips):
        self.questions = SimpleNamespace(items=range(items))
        base = np.repeat([1.0, -1.0, 0.0], [items * flips // 200] * 2 + [items - 2 * (items * flips // 200)])
        self.answers = {model: chance.permutation(base) for model in spec.candidates}

    def runs(self, *_):
        return ()

    def differences(self, model, count):
        return self.answers[model][:count], self.answers[model][:count], False


def test_the_winner_is_not_believed_for_its_luck(monkeypatch):
    monkeypatch.setattr(selecting, "anytime_bounds", lambda *_: AnytimeBounds(1.0, 1.0, 0.05, ""))
    models = tuple(ModelRef.parse(f"dummy:seed={seed}") for seed in range(16))
    spec = SelectSpec(models, ModelRef.parse("dummy:letter=A"), 0.02, ledger=False)
    chance, told, believed = np.random.default_rng(2), [], []
    for _ in range(1200):
        panel = Simulated(spec, chance, 3000, 6)
        found, rounds = selecting._choose(spec, panel, 3000)
        assert sum(len(each.dropped) for each in rounds) == 15
        certificate = selecting._certify(spec, panel, models[found.best], found, None)
        told.append(100 * certificate.gap)
        believed.append(100 * certificate.luck)
    assert np.std(told) / 1200**0.5 < 0.03
    assert abs(np.mean(told)) < 0.1
    assert np.mean(believed) > 0.3
