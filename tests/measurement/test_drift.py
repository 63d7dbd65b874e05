"""A model asked again: its noise, the moment it changes, and what is no longer claimed then."""

import json
import math

import numpy as np
import pytest

from parity.cli import main
from parity.core.outputs import Generation
from parity.core.prompts import Generate, RequestId, Sampling, TextPrompt
from parity.engines import dummy
from parity.engines import open as open_module
from parity.measurement.drift import flips_of
from parity.stats.sequential import log_evidence
from parity.stats.spending import share

ITEMS = 400


class Api(dummy.DummyEngine):
    """An API that errs on some answers at random each time, and answers otherwise from one day on."""

    day, changes, noise, calls = 0, 10, 0.04, 0
    chance = np.random.default_rng(11)

    def _output(self, request):
        type(self).calls += 1
        kept = int(request.id.item.removeprefix("i")) % 2 == 0
        letter = "A" if kept else "B"
        if self.day >= self.changes and int(request.id.item.removeprefix("i")) % 5 == 0:
            letter = "C"
        if self.chance.random() < self.noise:
            letter = "D"
        return Generation(letter, "stop")


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setattr(Api, "day", 0)
    monkeypatch.setattr(Api, "noise", 0.04)
    monkeypatch.setattr(Api, "calls", 0)
    monkeypatch.setattr(Api, "chance", np.random.default_rng(11))
    plain = open_module.open_engine

    def opened(ref, options=None):
        return Api(ref) if ref.name == "seed=42" else plain(ref, options)

    monkeypatch.setattr(open_module, "open_engine", opened)
    rows = [{"id": f"i{n}", "question": f"{n}?", "options": [*"wxyz"], "answer": "AB"[n % 2]} for n in range(ITEMS)]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "api.toml"
    path.write_text('name = "api"\nitems = "items.jsonl"\nmark = "letter"\n')
    (tmp_path / "ours.csv").write_text("item,answer\n" + "".join(f"i{n},{'AB'[n % 2]}\n" for n in range(ITEMS)))
    return ["-b", str(path), "--workspace", str(tmp_path / "w")], f"replay:{tmp_path}/ours.csv"


def measured(bench, capsys, code=0):
    told, ours = bench
    assert main(["measure", ours, "--against", "dummy:seed=42", *told, "--margin", "0.05", "--json"]) == code
    return json.loads(capsys.readouterr().out)


def probed(bench, capsys, *more, code=0):
    assert main(["drift", "dummy:seed=42", *bench[0], "--json", *more]) == code
    return json.loads(capsys.readouterr().out)


def test_a_model_that_stays_the_same_is_not_accused_and_its_noise_is_shown(bench, capsys):
    measured(bench, capsys)
    found = probed(bench, capsys)
    assert (found["stale"], found["asked"], found["probe"]) == (False, 100, 1)
    assert found["floor_low"] <= 2 * 0.04 * 0.96 <= found["floor_high"]
    before = Api.calls
    gap = measured(bench, capsys)["gaps"][0]
    assert Api.calls == before
    assert gap["verdict"] in ("NON_INFERIOR", "SUPERIOR")
    assert (gap["noise"]["asked"], gap["noise"]["stale"]) == (100, False)
    assert probed(bench, capsys)["probe"] == 2
    assert Api.calls == before + 200


def test_a_change_is_proved_and_nothing_is_claimed_until_it_is_measured_anew(bench, capsys, monkeypatch):
    runs = [model["run"] for model in measured(bench, capsys)["models"]]
    monkeypatch.setattr(Api, "day", 10)
    found = probed(bench, capsys, "--again", "200", code=11)
    assert found["stale"]
    assert found["flips"] > found["floor_flips"]
    assert found["e_value"] >= 1 / found["alpha"] == 40
    gap = measured(bench, capsys, code=11)["gaps"][0]
    assert (gap["verdict"], gap["noise"]["stale"]) == ("INCONCLUSIVE", True)
    where = bench[0][2:]
    assert main(["gap", *runs, *where, "--margin", "0.05"]) == 11
    printed = " ".join(capsys.readouterr().out.split())
    assert "Nothing is claimed: the incumbent is not what it was" in printed
    assert "--renew) and measure again" in printed
    assert main(["gap", bench[1], "dummy:seed=42", *where, "-b", "api", "--margin", "0.05"]) == 11
    assert "INCONCLUSIVE: api" in " ".join(capsys.readouterr().out.split())
    told = ["--against", "dummy:seed=42", *bench[0], "--margin", "0.05"]
    assert main(["select", bench[1], "dummy:letter=C", *told]) == 11
    assert "dummy:seed=42 has changed since its answers were recorded" in " ".join(capsys.readouterr().out.split())
    assert probed(bench, capsys, "--renew") == {"put_aside": ITEMS}
    fresh = measured(bench, capsys)["gaps"][0]
    assert fresh["verdict"] in ("NON_INFERIOR", "SUPERIOR")
    assert not fresh["noise"]["stale"]


def test_a_change_is_proved_with_few_items(bench, capsys, monkeypatch):
    measured(bench, capsys)
    monkeypatch.setattr(Api, "day", 10)
    monkeypatch.setattr(Api, "noise", 0.0)
    assert probed(bench, capsys, "--again", "300", code=11)["asked"] < 150


def test_what_was_never_measured_cannot_be_asked_again(bench, capsys):
    told, _ = bench
    assert main(["drift", "dummy:seed=42", *told]) == 1
    assert "There is no workspace" in capsys.readouterr().err
    assert main(["measure", "dummy:seed=42", *told, "--max-items", "5"]) == 0
    capsys.readouterr()
    assert main(["drift", "dummy:seed=42", *told]) == 1
    assert "has 5 recorded answers" in capsys.readouterr().err
    assert main(["drift", "dummy:seed=41", *told, "--renew"]) == 1
    assert "nothing to put aside" in capsys.readouterr().err
    assert main(["drift", "dummy:seed=42", *told, "--again", "3"]) == 2


def test_items_without_all_three_answers_say_nothing():
    asked = [Generate(RequestId(name), TextPrompt("?"), Sampling(1)) for name in "abcd"]
    ids = [request.id for request in asked]
    before, first = dict.fromkeys(ids, "x"), dict.fromkeys(ids[:3], "y")
    found = flips_of(asked, before, first, {ids[0]: "y", ids[1]: "z"})
    assert (found.asked, found.flips, found.floor_flips) == (2, 2, 1)


def test_twenty_weekly_probes_of_an_unchanged_model_raise_the_alarm_at_most_once_in_twenty():
    """Each answer is one of four at random with a noisy model's chances; the recorded stay."""
    chance, weeks, items, alpha, count, alarms = np.random.default_rng(3), 20, 100, 0.05, 400, 0
    for _ in range(count):
        recorded_I = chance.choice(4, p=[0.85, 0.05, 0.05, 0.05], size=items)
        for week in range(1, weeks + 1):
            first_I, second_I = chance.choice(4, p=[0.85, 0.05, 0.05, 0.05], size=(2, items))
            bets = (recorded_I != first_I).astype(float) - (first_I != second_I)
            if log_evidence(bets, 0.0) >= -math.log(alpha * share(week)):
                alarms += 1
                break
    assert alarms / count <= alpha + 3.1 * (alpha * (1 - alpha) / count) ** 0.5


@pytest.mark.parametrize(("items", "drift", "least"), [(100, 0.2, 0.85), (300, 0.125, 0.85), (100, 0.125, 0.3)])
def test_the_chance_to_see_a_change_is_what_the_page_says(items, drift, least):
    chance, noise, count, seen = np.random.default_rng(4), 0.02, 300, 0
    for _ in range(count):
        changed_I = (chance.random(items) < drift) | (chance.random(items) < noise)
        bets = changed_I - (chance.random(items) < noise).astype(float)
        seen += log_evidence(bets, 0.0) >= -math.log(0.05 * share(1))
    assert seen / count > least
