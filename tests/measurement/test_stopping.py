"""Asking until the verdict is in: fewer items, nothing asked twice, nothing claimed for scores that are missing."""

import json

import numpy as np
import pytest

from parity.benchmarks.catalog import open_benchmark
from parity.cli import main
from parity.core.gaps import Verdict
from parity.core.items import Item, Tag
from parity.core.refs import ModelRef
from parity.core.runs import Marked
from parity.core.scores import Score
from parity.engines import open as open_module
from parity.engines.open import EngineOptions, Engines, open_engine
from parity.measurement.measure import MeasureSpec, Stopping, measure
from parity.measurement.stopping import StoppingRule, compare_anytime, looks, order_of_asking, rule_for, verdict_so_far
from parity.store import Workspace


@pytest.fixture
def bench(tmp_path):
    rows = [{"question": f"Is {n} odd?", "options": ["yes", "no"], "answer": "AB"[n % 4 == 0]} for n in range(1000)]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "odd.toml"
    path.write_text('name = "odd"\nitems = "items.jsonl"\nmark = "letter"\n')
    return str(path)


def run(bench, folder, candidate, incumbent, **settings):
    workspace = Workspace(folder)
    try:
        stopping = Stopping(True, **{key: settings.pop(key) for key in ("estimand", "forecasts") if key in settings})
        spec = MeasureSpec((ModelRef.parse(candidate),), ModelRef.parse(incumbent), stopping=stopping, **settings)
        return measure(spec, open_benchmark(bench), workspace)
    finally:
        workspace.close()


def asked(log):
    return log.read_text().split()


def test_a_clear_case_stops_early_and_asks_nothing_twice(bench, tmp_path):
    log = tmp_path / "asked"
    found = run(bench, tmp_path / "w", f"dummy:letter=A,log={log}", "dummy:letter=B", margin=0.05)
    gap = found.comparisons[0].gap
    assert gap.verdict is Verdict.NON_INFERIOR or gap.verdict is Verdict.SUPERIOR
    assert found.items == gap.n < 200
    assert len(asked(log)) == len(set(asked(log))) == found.items
    assert "these items" in gap.interval
    assert gap.low <= gap.gap <= gap.high
    again = run(bench, tmp_path / "w", f"dummy:letter=A,log={log}", "dummy:letter=B", margin=0.05)
    assert again.comparisons[0].gap == gap
    assert len(asked(log)) == found.items


def test_a_loser_is_out_early(bench, tmp_path):
    found = run(bench, tmp_path / "w", "dummy:letter=B", "dummy:letter=A", margin=0.05)
    assert found.comparisons[0].gap.verdict is Verdict.INFERIOR
    assert found.items < 200


def test_equals_may_need_all_items_and_are_then_certain(bench, tmp_path):
    found = run(bench, tmp_path / "w", "dummy:seed=1", "dummy:seed=2", margin=0.001)
    gap = found.comparisons[0].gap
    assert found.items == 1000
    assert gap.low == pytest.approx(gap.gap)
    assert gap.verdict is not Verdict.INCONCLUSIVE


def test_about_future_items_nothing_is_certain(bench, tmp_path):
    found = run(bench, tmp_path / "w", "dummy:seed=1", "dummy:seed=2", margin=0.001, estimand="future")
    gap = found.comparisons[0].gap
    assert gap.low < gap.gap < gap.high
    assert "future" in gap.interval
    assert gap.verdict is Verdict.INCONCLUSIVE


def test_every_candidate_gets_its_verdict(bench, tmp_path):
    workspace = Workspace(tmp_path / "w")
    models = tuple(map(ModelRef.parse, ("dummy:letter=B", "dummy:letter=A")))
    spec = MeasureSpec(models, ModelRef.parse("dummy:seed=5"), margin=0.1, stopping=Stopping(until_verdict=True))
    found = measure(spec, open_benchmark(bench), workspace)
    workspace.close()
    assert Verdict.INCONCLUSIVE not in [comparison.gap.verdict for comparison in found.comparisons]


def test_missing_scores_hold_a_verdict_back():
    items = [f"i{at}" for at in range(400)]
    rule = StoppingRule(0.05, 0.05, 1000)
    right = dict.fromkeys(items, 1.0)
    assert verdict_so_far(items, right, right, rule) is Verdict.NON_INFERIOR
    torn = {**right, **dict.fromkeys(items[::8], None)}
    assert verdict_so_far(items, torn, right, rule) is Verdict.INCONCLUSIVE


def graded(count, shift, seed=0):
    chance = np.random.default_rng(seed)
    theirs = chance.uniform(0.2, 0.8, count)
    ours = np.clip(theirs + shift + chance.normal(0, 0.1, count), 0, 1)
    return ({f"i{at}": float(score) for at, score in enumerate(side)} for side in (ours, theirs))


def test_graded_scores_are_bet_on_too():
    ours, theirs = graded(600, 0.0)
    rule = StoppingRule(0.05, 0.05, 5000)
    assert verdict_so_far(list(ours), ours, theirs, rule) is Verdict.NON_INFERIOR
    gap = compare_anytime(list(ours), ours, theirs, rule)
    assert gap.low < gap.bound_low < gap.gap < gap.bound_high < gap.high
    assert (gap.both, gap.interval) == (None, "confidence sequence, these items")
    worse, better = graded(600, -0.1)
    assert verdict_so_far(list(worse), worse, better, rule) is Verdict.INFERIOR
    torn = {**ours, **dict.fromkeys(list(ours)[::5], None)}
    assert verdict_so_far(list(ours), torn, theirs, rule) is Verdict.INCONCLUSIVE


def test_of_future_items_a_cluster_is_one_bet():
    """Ten items of a passage that always agree are one answer, not ten."""
    items = [Item(f"{c}.{at}", "?", ("A",), tags=(Tag("cluster", str(c)),)) for c in range(60) for at in range(10)]
    rule = rule_for(items, 0.05, 0.05, about_these=False)
    asked = [item.id for item in order_of_asking(items, rule)]
    passages = [name.split(".")[0] for name in asked]
    assert [*dict.fromkeys(passages)] == passages[::10]
    assert passages[::10] != [str(c) for c in range(60)]
    right = dict.fromkeys(asked, 1.0)
    apart = StoppingRule(0.05, 0.05, None)
    assert verdict_so_far(asked, right, right, apart) is Verdict.NON_INFERIOR
    assert verdict_so_far(asked, right, right, rule) is Verdict.INCONCLUSIVE
    bound = compare_anytime(asked[:205], right, right, rule).bound_low
    assert bound == compare_anytime(asked[:200], right, right, rule).bound_low
    assert order_of_asking(items, rule_for(items, 0.05, 0.05, about_these=True)) == items


def test_an_earlier_run_spares_items_and_keeps_the_guarantee(bench, tmp_path):
    """The new checkpoint answers as the old one but for a few items; the incumbent is a coin on every item."""
    old = run(bench, tmp_path / "w", "dummy:seed=1", "dummy:seed=2", margin=0.001).measured[0]
    early = {mark.item: mark.mark.value for mark in old.marks}
    marks = tuple(
        Marked(item, Score(1 - value if at % 50 == 0 else value)) for at, (item, value) in enumerate(early.items())
    )
    plain = run(bench, tmp_path / "v", "dummy:seed=1", "dummy:seed=2", margin=0.05)
    log = tmp_path / "asked"
    found = run(bench, tmp_path / "u", f"dummy:seed=1,log={log}", "dummy:seed=2", margin=0.05, forecasts=(marks,))
    gap = found.comparisons[0].gap
    assert len(early) == 1000
    assert gap.verdict is not Verdict.INCONCLUSIVE
    assert gap.interval.endswith("with a predictor")
    assert found.items == len(asked(log)) < plain.items / 1.5
    assert gap.low < gap.gap < gap.high
    # A second run that knows nothing does not spoil the first for long.
    noise = tuple(Marked(item, Score(float(at % 2))) for at, item in enumerate(early))
    both = run(bench, tmp_path / "t", "dummy:seed=1", "dummy:seed=2", margin=0.05, forecasts=(noise, marks))
    assert both.comparisons[0].gap.verdict is gap.verdict
    assert both.items < plain.items


def test_a_predictor_that_knows_nothing_claims_nothing_more():
    names = [f"i{at}" for at in range(400)]
    right = dict.fromkeys(names, 1.0)
    wrong = dict.fromkeys(names[:40], 0.0)
    rule = StoppingRule(0.05, 0.05, 400, forecasts=(dict.fromkeys(names, 1.0),), incumbent=right)
    assert verdict_so_far(names, {**right, **wrong}, right, rule) is Verdict.INFERIOR
    assert compare_anytime(names, {**right, **wrong}, right, rule).gap == pytest.approx(-0.1)
    torn = {**right, **dict.fromkeys(names[::8], None)}
    assert verdict_so_far(names[:200], right, right, rule) is Verdict.NON_INFERIOR
    assert verdict_so_far(names[:200], torn, right, rule) is Verdict.INCONCLUSIVE


def test_an_engine_that_was_opened_to_ask_its_kinds_is_opened_once(monkeypatch):
    opened = []
    monkeypatch.setattr(
        open_module, "open_engine", lambda ref, options: opened.append(ref) or open_engine(ref, options)
    )
    engines, one, other = Engines(EngineOptions(), keep=False), ModelRef.parse("dummy:"), ModelRef.parse("dummy:seed=1")
    assert engines.kinds(one) == engines.kinds(other) == {"generation", "loglikelihood"}
    for ref in (one, other):
        assert engines.of(ref).model == ref
    engines.close()
    assert opened == [one, other]


def test_looks_end_with_all_items():
    assert list(looks(30)) == [30]
    sizes = list(looks(2000))
    assert (sizes[0], sizes[-1]) == (50, 2000)
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--until-verdict"], "needs --margin"),
        (["--estimand", "future"], "goes with --until-verdict"),
        (["--predictor", "@1"], "--predictor goes with"),
        (["--predictor", "@1", "--until-verdict", "--max-items", "9"], "about all items"),
    ],
)
def test_what_does_not_fit_is_said(bench, tmp_path, arguments, message, capsys):
    assert main(["measure", "dummy:", "-b", bench, *arguments, "--workspace", str(tmp_path / "w")]) == 2
    assert message in capsys.readouterr().err
