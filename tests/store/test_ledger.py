"""Looks and probes in the database: entered once, in their order, also in a workspace made before there were any."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from parity.core.outputs import Generation
from parity.core.prompts import Generate, RequestId, Sampling, TextPrompt
from parity.store import Workspace
from parity.store.ledger import Entry, Ledger
from parity.store.probes import STALE, Found, Probes


def half(look):
    return 0.5**look


@pytest.fixture
def workspace(tmp_path):
    opened = Workspace(tmp_path / "w", clock=lambda: 1.5)
    yield opened
    opened.close()


def test_the_same_look_keeps_its_number_and_another_gets_the_next(workspace):
    ledger = Ledger(workspace)
    first = ledger.enter(Entry("q", "a", "m1", 0.02, 0.05), half)
    assert (first.number, first.alpha, first.verdict) == (1, 0.025, None)
    assert ledger.enter(Entry("q", "a", "m1", 0.02, 0.05), half) == first
    assert ledger.enter(Entry("q", "a", "m1", 0.03, 0.05), half).number == 1
    assert ledger.enter(Entry("q", "b", "m2", 0.02, 0.05), half).number == 2
    assert ledger.enter(Entry("other", "b", "m2", 0.02, 0.05), half).number == 1
    ledger.conclude(first.look_id, "INFERIOR", ("r1", "r2"))
    told = [(look.question, look.number, look.margin, look.verdict, look.runs) for look in ledger.looks()]
    assert told[1] == ("q", 1, 0.02, "INFERIOR", "r1 r2")
    assert [each[:3] for each in told] == [("other", 1, 0.02), ("q", 1, 0.02), ("q", 1, 0.03), ("q", 2, 0.02)]


def test_looks_entered_at_once_get_numbers_of_their_own(workspace):
    def enter(at):
        return Ledger(workspace).enter(Entry("q", f"basis {at % 12}", "m", 0.02, 0.05), half).number

    with ThreadPoolExecutor(6) as pool:
        numbers = list(pool.map(enter, range(24)))
    assert sorted(set(numbers)) == list(range(1, 13))
    assert numbers[:12] == numbers[12:]


def test_a_workspace_of_before_gets_a_ledger(tmp_path):
    Workspace(tmp_path / "w").close()
    raw = sqlite3.connect(tmp_path / "w" / "parity.db")
    raw.executescript("DROP TABLE looks; DROP TABLE probes; DELETE FROM migrations WHERE number = 5")
    raw.close()
    workspace = Workspace(tmp_path / "w")
    assert Ledger(workspace).enter(Entry("q", "a", "m", 0.02, 0.05), half).number == 1
    assert Probes(workspace).of("me", "b") == []
    workspace.close()


def test_a_probe_goes_on_until_it_is_ended(workspace):
    probes = Probes(workspace)
    begun = probes.begin("me", "model", "bench", "letter 1", 0.05, half)
    assert probes.begin("me", "model", "bench", "letter 1", 0.05, half) == begun
    probes.end(begun.probe_id, STALE, Found(50, 1, 12, 4.5))
    assert probes.of("me", "bench")[0].found == Found(50, 1, 12, 4.5)
    assert probes.begin("me", "model", "bench", "letter 1", 0.05, half).number == 2
    assert probes.begin("me", "model", "another", "letter 1", 0.05, half).number == 1


def test_answers_put_aside_are_asked_anew_and_kept(workspace):
    asked = [Generate(RequestId(f"i{at}"), TextPrompt(f"q{at}"), Sampling(1)) for at in range(3)]
    for request in asked:
        workspace.put_answer("me", request, Generation("A", "stop"))
    assert Probes(workspace).retire("me", asked[:2], 1) == 2
    assert set(workspace.answers("me", asked)) == {RequestId("i2")}
    raw = sqlite3.connect(workspace.database)
    assert raw.execute("SELECT count(*) FROM answers").fetchone() == (3,)
    raw.close()
