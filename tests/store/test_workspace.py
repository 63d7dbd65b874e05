"""The workspace: what was written is there, whoever writes beside it and whatever the disk does."""

import sqlite3
import subprocess
import sys
from datetime import date

import pytest

from parity.core.money import Cost, Price, Rates
from parity.core.outputs import Generation
from parity.core.prompts import Generate, RequestId, Sampling, TextPrompt
from parity.core.runs import Identity, Marked, Ran, RunKey, TokenWork
from parity.core.scores import Score, Unscored, UnscoredReason
from parity.errors import DataError, StoreError
from parity.files.egress import Contact, Egress
from parity.store import Workspace
from parity.store.accounts import RunAccount

KEY = RunKey(Identity("dummy:", "d", "dummy"), "mmlu", "b", "letter", "generation", "none", "r")


def question(at):
    return Generate(RequestId(f"i{at}"), TextPrompt(f"q{at}"), Sampling(1))


@pytest.fixture
def workspace(tmp_path):
    opened = Workspace(tmp_path / "w", clock=lambda: 1.5)
    yield opened
    opened.close()


def test_a_run_comes_back_as_it_was(workspace):
    marked = [
        Marked("a", Score(1.0, "A"), (("subject", "x"),)),
        Marked("b", Unscored(UnscoredReason.TIE, "A and B")),
        Marked("c", Score(0.0, "To", outside=True)),
    ]
    workspace.begin_run(KEY, 3)
    assert workspace.run(KEY.run_id[:4]).status == "asking"
    workspace.finish_run(KEY.run_id, [(entry, "r") for entry in marked])
    assert workspace.marks(KEY.run_id) == marked
    record = workspace.run(KEY.run_id)
    assert (record.status, record.items, record.finished) == ("done", 3, 1.5)
    with pytest.raises(DataError, match="No run"):
        workspace.run("zzz")


def test_answers_are_found_by_what_was_asked(workspace):
    workspace.put_answer("me", question(1), Generation("A", "stop"))
    changed = Generate(RequestId("i1"), TextPrompt("q1!"), Sampling(1))
    assert workspace.answers("me", [question(1), question(2)]) == {RequestId("i1"): Generation("A", "stop")}
    assert workspace.answers("me", [changed]) == {}
    assert workspace.answers("you", [question(1)]) == {}


def test_a_full_database_is_a_clear_error_and_loses_nothing(workspace):
    workspace.put_answer("me", question(0), Generation("A", "stop"))
    from sqlalchemy import event

    event.listen(workspace._engine, "checkout", lambda raw, *_: raw.execute("PRAGMA max_page_count = 40"))

    def fill():
        for at in range(1, 200):
            workspace.put_answer("me", question(at), Generation("A" * 4000, "stop"))

    with pytest.raises(StoreError, match="full"):
        fill()
    assert workspace.answers("me", [question(0)]) == {RequestId("i0"): Generation("A", "stop")}


def test_broken_newer_and_unwritable_databases(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "parity.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="not a database"):
        Workspace(tmp_path / "a")
    Workspace(tmp_path / "b").close()
    raw = sqlite3.connect(tmp_path / "b" / "parity.db")
    raw.execute("INSERT INTO migrations VALUES (99, 0)")
    raw.commit()
    raw.close()
    with pytest.raises(StoreError, match="newer Parity"):
        Workspace(tmp_path / "b")
    with pytest.raises(StoreError, match="proc"):
        Workspace(tmp_path.__class__("/proc/nothing"))


WRITER = """
import sys
from datetime import date
from pathlib import Path
from parity.core.money import Cost, Price, Rates
from parity.core.outputs import Generation
from parity.core.prompts import Generate, RequestId, Sampling, TextPrompt
from parity.files.egress import Contact, Egress
from parity.store import Workspace
from parity.store.accounts import RunAccount
workspace = Workspace(Path(sys.argv[1]))
for at in range(150):
    item = f"{sys.argv[2]}-{at}"
    workspace.put_answer("me", Generate(RequestId(item), TextPrompt(item), Sampling(1)), Generation(item, "stop"))
"""


def test_two_processes_write_at_once(tmp_path):
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "w"), name], stderr=subprocess.PIPE)
        for name in ("one", "two")
    ]
    for writer in writers:
        _, problem = writer.communicate(timeout=120)
        assert writer.returncode == 0, problem.decode()
    raw = sqlite3.connect(tmp_path / "w" / "parity.db")
    assert raw.execute("SELECT count(*) FROM answers").fetchone() == (300,)
    raw.close()


def test_costs_and_calls_of_a_run_come_back(workspace):
    sold = Cost(0.25, Price("openai:x", Rates(2.0, 8.0), date(2026, 1, 2), "me"))
    workspace.begin_run(KEY, 1)
    assert workspace.account(KEY.run_id) == RunAccount()
    call = workspace.put_call(None, KEY.run_id, Egress())
    assert workspace.account(KEY.run_id) == RunAccount(None, (), 0, False)
    workspace.put_call(call, KEY.run_id, Egress((Contact("b.example", 443, 3),), 0, False))
    workspace.put_call(None, KEY.run_id, Egress((Contact("::1", 80, 1),), 2, True))
    workspace.put_cost(KEY.run_id, None)
    workspace.put_cost(KEY.run_id, sold)
    assert workspace.account(KEY.run_id) == RunAccount(sold, ("[::1]:80", "b.example:443"), 2, False)
    assert workspace.accounts() == {KEY.run_id: workspace.account(KEY.run_id)}


def test_a_workspace_from_before_costs_were_kept_is_brought_up_to_date(workspace, tmp_path):
    workspace.begin_run(KEY, 1)
    workspace.close()
    raw = sqlite3.connect(tmp_path / "w" / "parity.db")
    raw.executescript("DROP TABLE calls; DROP TABLE costs; DELETE FROM migrations WHERE number = 2")
    raw.close()
    again = Workspace(tmp_path / "w")
    assert again.run(KEY.run_id).status == "asking"
    assert again.account(KEY.run_id) == RunAccount(cost=None, hosts=None)
    again.put_call(None, KEY.run_id, Egress())
    again.close()


def test_draws_and_how_they_were_run_are_kept(workspace):
    marked = [Marked("a", Score(float(draw == 1)), (), draw) for draw in range(3)]
    workspace.begin_run(KEY, 1)
    workspace.finish_run(KEY.run_id, [(entry, f"r{entry.draw}") for entry in marked], Ran("Landlock", 2))
    assert workspace.marks(KEY.run_id) == marked
    assert workspace.requests(KEY.run_id) == {RequestId("a", draw): f"r{draw}" for draw in range(3)}
    assert workspace.run(KEY.run_id).ran == Ran("Landlock", 2)


def test_a_workspace_from_before_draws_is_brought_up_to_date(workspace, tmp_path):
    workspace.begin_run(KEY, 1)
    workspace.finish_run(KEY.run_id, [(Marked("a", Score(1.0)), "r")])
    workspace.close()
    with sqlite3.connect(tmp_path / "w" / "parity.db") as database:
        database.execute("DELETE FROM migrations WHERE number >= 3")
        database.execute("ALTER TABLE marks DROP COLUMN draw")
        for name in ("isolation", "held_objects"):
            database.execute(f"ALTER TABLE runs DROP COLUMN {name}")
    again = Workspace(tmp_path / "w")
    assert again.marks(KEY.run_id) == [Marked("a", Score(1.0))]
    assert again.run(KEY.run_id).ran is None
    again.close()


def test_what_calls_computed_for_a_run_is_added_up(workspace, tmp_path):
    workspace.begin_run(KEY, 1)
    assert workspace.account(KEY.run_id).work is None
    workspace.put_work(None, KEY.run_id, TokenWork(10, 5, 4, 2e9, 1.0, 0.5))
    workspace.put_work(None, "another", TokenWork(1, 1, 1))
    call = workspace.put_work(None, KEY.run_id, TokenWork(20, 6, 6, 1e8, 2.0, 1.5))
    assert workspace.put_work(call, KEY.run_id, TokenWork(30, 7, 7, 1e9, 3.0, 2.5)) == call  # the same, further on
    work = workspace.account(KEY.run_id).work
    assert work == TokenWork(40, 12, 11, 3e9, 4.0, 3.0)
    assert work.matrix_share == 0.75
    assert workspace.accounts()[KEY.run_id].work == work


def test_a_workspace_from_before_work_was_kept_is_brought_up_to_date(workspace, tmp_path):
    workspace.begin_run(KEY, 1)
    workspace.close()
    raw = sqlite3.connect(tmp_path / "w" / "parity.db")
    raw.executescript("DROP TABLE works; DELETE FROM migrations WHERE number >= 3")
    raw.close()
    again = Workspace(tmp_path / "w")
    assert again.account(KEY.run_id).work is None
    again.put_work(None, KEY.run_id, TokenWork(1, 1, 1))
    again.close()
