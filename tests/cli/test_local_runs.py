"""`parity measure` with local weights: what was computed, and how, is on the page, in the JSON and in the history."""

import json
import shutil

import pytest

from parity.cli import main
from parity.engines.torch import engine as torch_engine
from parity.measurement import accounting
from parity.measurement.accounting import WorkLog
from parity.store import Workspace
from parity.testing.families import family_folder
from parity.testing.folders import trained_tokenizer

ROWS = [{"question": f"Is {n} even?", "options": ["yes", "no"], "answer": "AB"[n % 2]} for n in range(40)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    tokenizer = trained_tokenizer([row["question"] + " A. yes B. no Answer:" for row in ROWS], vocabulary=300)
    return family_folder("llama-2", tmp_path_factory.mktemp("local") / "model", tokenizer)


@pytest.fixture
def said(tmp_path, capsys, model):
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    path = tmp_path / "even.toml"
    path.write_text('name = "even"\nitems = "items.jsonl"\nmark = "choice"\n')

    def run(*arguments, json_=True):
        if arguments[0] == "measure":
            arguments = ("measure", model, "-b", path, "--device", "cpu", *arguments[1:])
        extra = ["--json"] if json_ else []
        assert main([*map(str, arguments), "--workspace", str(tmp_path / "w"), *extra]) == 0
        out = capsys.readouterr().out
        return json.loads(out) if json_ else out

    return run


WORK = ("tokens_requested", "tokens_computed", "tokens_floor", "matrix_share")


def test_what_was_computed_is_kept_with_the_run(said):
    (first,) = said("measure")["models"]
    assert first["tokens_requested"] > first["tokens_computed"] == first["tokens_floor"] > 0
    assert 0 < first["matrix_share"] < 1.5
    assert first["notes"] == []
    (again,) = said("measure")["models"]  # all of it comes from the store: nothing is added
    shown = said("show", first["run"])
    assert [again[key] for key in WORK] == [shown[key] for key in WORK] == [first[key] for key in WORK]
    assert f"{first['tokens_computed']:,} tokens computed" in said("show", first["run"], json_=False)


class Killed(BaseException):
    """Nothing after it is written: what is kept is what was kept before."""


def test_a_call_that_was_killed_is_in_the_account(said, tmp_path, monkeypatch):
    (whole,) = said("measure")["models"]
    shutil.rmtree(tmp_path / "w")
    note, put = WorkLog.note, Workspace.put_answer
    answered = []

    def put_a_few(workspace, *arguments):
        if len(answered) == 25:
            raise Killed
        answered.append(arguments)
        put(workspace, *arguments)

    monkeypatch.setattr(accounting, "_NOTED_EVERY_S", 0)
    with monkeypatch.context() as killed:
        killed.setattr(Workspace, "put_answer", put_a_few)
        killed.setattr(WorkLog, "note", lambda self, at_once=False: None if at_once else note(self))
        with pytest.raises(Killed):
            said("measure")
    (found,) = said("measure")["models"]
    assert found["tokens_requested"] == whole["tokens_requested"]
    assert whole["tokens_floor"] < found["tokens_floor"] == found["tokens_computed"] < 2 * whole["tokens_floor"]


def test_a_model_that_is_computed_plainly_is_said_to_be(said, monkeypatch):
    monkeypatch.setattr(torch_engine, "follows_a_walk", lambda *_: False)
    (found,) = said("measure", "--max-items", 10)["models"]
    assert "could not be proved" in found["notes"][0]
    assert found["tokens_computed"] is None
    assert "could not be proved" in " ".join(said("measure", "--max-items", 10, json_=False).split())
    assert said("show", found["run"])["notes"] == found["notes"]


def test_deterministic_is_another_run_and_says_so(said):
    (usual,) = said("measure")["models"]
    (exact,) = said("measure", "--deterministic")["models"]
    assert exact["run"] != usual["run"]
    assert exact["accuracy"] == usual["accuracy"]
    assert exact["tokens_computed"] > exact["tokens_floor"] == usual["tokens_floor"]
    assert "same bits" in said("show", exact["run"])["notes"][0]


def test_too_little_memory_is_said_with_what_would_do(said, capsys, model, tmp_path):
    path = tmp_path / "even.toml"
    command = ["measure", str(model), "-b", str(path), "--workspace", str(tmp_path / "w2"), "--memory", "0.00001"]
    assert main(command) == 1
    assert "--memory 0.00" in capsys.readouterr().err
