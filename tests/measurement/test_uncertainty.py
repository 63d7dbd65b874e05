"""`parity gap --budget`: marks, draws, clusters and a judge's labels become one account."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from parity.cli.app import main
from parity.core.money import Cost, Price, Rates
from parity.core.runs import Marked
from parity.core.scores import Score
from parity.errors import DataError
from parity.measurement.recorded import _answer_usd
from parity.measurement.records import Record
from parity.measurement.uncertainty import Known, judge_errors, uncertainty
from parity.stats.budget import CLUSTERS, DRAWS, ITEMS, Prices


def marks(scores, **tags):
    return [
        Marked(f"i{item}", Score(float(value)), tuple(tags.get(f"i{item}", ())), draw)
        for item, row in enumerate(scores)
        for draw, value in enumerate(row)
    ]


def test_draws_and_clusters_are_read_from_marks():
    chance = np.random.default_rng(0)
    p = chance.beta(1, 1, 300)
    ours, theirs = ((chance.random((300, 4)) < p[:, None]).astype(float) for _ in range(2))
    tags = {f"i{item}": (("cluster", f"c{item // 3}"),) for item in range(300)}
    found = uncertainty(marks(ours, **tags), marks(theirs, **tags), Known())
    names = {source.name: source for source in found.sources}
    assert DRAWS in names
    assert not found.undrawn
    assert sum(source.share for source in found.sources) == pytest.approx(1)
    # Both sides have the same chances: nearly all of the difference is drawing.
    assert names[DRAWS].share > 0.8
    assert names.keys() <= {ITEMS, DRAWS, CLUSTERS}


def test_scores_of_one_draw_are_said_to_hide_it():
    found = uncertainty(marks([[1], [0], [1]]), marks([[1], [1], [0]]), Known())
    assert found.undrawn
    with pytest.raises(DataError, match="1 items"):
        uncertainty(marks([[1]]), marks([[1]]), Known())


def test_the_verb_draws_it_and_its_json_adds_up(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    chance = np.random.default_rng(1)
    for name, share in (("ours", 0.6), ("theirs", 0.8)):
        cells = "".join(f"i{at},{int(chance.random() < share)}\n" for at in range(500))
        (tmp_path / f"{name}.csv").write_text("item,score\n" + cells)
    labels = "".join(f"{int(at % 10 > 0)},1\n{int(at % 5 == 0)},0\n" for at in range(100))
    (tmp_path / "labels.csv").write_text(
        "item,judged,label\n" + "".join(f"r{at},{row}\n" for at, row in enumerate(labels.splitlines()))
    )
    command = ["gap", "ours.csv", "theirs.csv", "--budget", "--judge-labels", "labels.csv", "--wrong-gold", "0.0649",
               "--answer-usd", "0.002", "--label-usd", "0.5"]  # fmt: skip
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["budget"]
    assert sum(source["share"] for source in found["sources"]) == pytest.approx(1)
    assert found["attenuation"] == pytest.approx(0.7 * (1 - 0.0649))
    assert found["next_dollar"] == ITEMS
    main(command)
    shown = capsys.readouterr().out
    assert "Where the uncertainty comes from" in shown
    assert "The next dollar is best spent on more items" in shown
    errors = judge_errors(tmp_path / "labels.csv")
    assert (errors.sensitivity, errors.specificity) == (pytest.approx(0.9), pytest.approx(0.8))


def test_runs_bring_the_price_of_their_answers():
    """What a side's run cost, an answer, both sides together; a price that was said goes before."""

    class Account:
        def __init__(self, usd):
            self.cost = None if usd is None else Cost(usd, price)

    class Costs:
        def __init__(self, **usd):
            self.usd = usd

        def account(self, run_id):
            return Account(self.usd[run_id])

    price = Price("openai:x", Rates(2.0, 8.0, 0.5))
    sides = [Record(name, tuple(marks([[1], [0]])), SimpleNamespace(run_id=name)) for name in ("ours", "theirs")]
    assert _answer_usd(Costs(ours=0.5, theirs=1.5), *sides) == pytest.approx(1.0)
    assert _answer_usd(Costs(ours=None, theirs=1.5), *sides) is None
    assert _answer_usd(Costs(ours=0.0, theirs=0.0), *sides) is None
    assert _answer_usd(None, *sides) is None
    assert Known().priced(2.0).prices.answer_usd == 2.0
    assert Known(prices=Prices(answer_usd=3.0)).priced(2.0).prices.answer_usd == 3.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--wrong-gold", "0.1"], "goes with --budget"),
        (["--budget", "--wrong-gold", "1"], "below 1"),
        (["--budget", "--answer-usd", "0"], "above 0"),
    ],
)
def test_what_does_not_fit_together_is_told(arguments, message, capsys):
    assert main(["gap", "a.csv", "b.csv", *arguments]) == 2
    assert message in capsys.readouterr().err
