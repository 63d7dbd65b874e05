"""Others' results read as marks: what is missing stays missing, what is wrong is wrong."""

import json

import pytest

from parity.core.scores import Score, Unscored
from parity.errors import DataError
from parity.measurement.comparison import compare, scores_of
from parity.measurement.pairing import pair
from parity.measurement.records import read_record
from shared import needs_shared


def test_a_table_of_scores(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("item,score\nx,1\ny,0\nz,\nw,True\n")
    assert scores_of(read_record(str(path))) == {"x": 1.0, "y": 0.0, "z": None, "w": 1.0}


def test_a_wide_table_of_letters(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("subject,row,gold,m,n\ns,0,A,A,NA\ns,1,B,To,\n")
    marks = read_record(f"{path}#m")
    assert marks[0].mark == Score(1.0, "A")
    assert marks[1].mark == Score(0.0, "To", outside=True)
    assert marks[0].tags == (("subject", "s"),)
    absent, empty = (marked.mark for marked in read_record(f"{path}#n"))
    assert isinstance(absent, Unscored)
    assert empty == Score(0.0, "", outside=True)


@pytest.mark.parametrize(
    ("text", "part", "message"),
    [
        ("item,value\nx,1\n", "", "no column 'score'"),
        ("item,score\nx,good\n", "", "row 1 has 'good'"),
        ("item,score\nx,2\n", "", "row 1 has '2'"),
        ("item,score\nx,1\n", "#scor", "Did you mean 'score'"),
    ],
)
def test_defects_are_named(tmp_path, text, part, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_record(f"{path}{part}")


def sample(doc, acc, filter_name="none"):
    return json.dumps({"doc_id": doc, "filter": filter_name, "metrics": ["acc"], "acc": acc, "doc": {}, "resps": []})


def test_sample_logs_of_a_folder(tmp_path):
    (tmp_path / "m").mkdir()
    log = tmp_path / "m" / "samples_mmlu_anatomy_2026-11-24T00-00-00.123456.jsonl"
    log.write_text(sample(0, 1.0) + "\n" + sample(1, 0.0) + "\n")
    marks = read_record(str(tmp_path))
    assert scores_of(marks) == {"mmlu_anatomy/0": 1.0, "mmlu_anatomy/1": 0.0}
    assert marks[0].tags == (("task", "mmlu_anatomy"),)


def test_sample_logs_that_contradict_themselves_or_are_cut_off(tmp_path):
    log = tmp_path / "samples_t.jsonl"
    log.write_text(sample(0, 1.0, "strict") + "\n" + sample(0, 0.0, "flexible") + "\n")
    with pytest.raises(DataError, match="two different scores"):
        read_record(str(log))
    log.write_text(sample(0, 1.0)[:-5])
    with pytest.raises(DataError, match="line 1, is not JSON"):
        read_record(str(log))
    log.write_text(sample(0, 1.0) + "\n" + json.dumps({"metrics": ["acc"]}))
    with pytest.raises(DataError, match="line 2, is no lm-evaluation-harness sample"):
        read_record(str(log))
    log.write_text(json.dumps({"doc_id": 0}))
    with pytest.raises(DataError, match="has no metric"):
        read_record(str(log))


@pytest.mark.slow
def test_recorded_helm_letters_give_the_published_gap():
    path = needs_shared("mmlu_per_item", "helm_10models_predictions.csv.gz")
    llama = read_record(f"{path}#meta_llama-3-70b")
    opus = read_record(f"{path}#anthropic_claude-3-opus-20240229")
    gap = compare(pair(scores_of(llama), scores_of(opus)), 0.03)
    assert gap.n == 14015
    assert gap.missing.pairs == 0
    subjects = {}
    for marked in llama:
        subjects.setdefault(dict(marked.tags)["subject"], []).append(marked.mark.value)
    macro = sum(sum(values) / len(values) for values in subjects.values()) / len(subjects)
    assert round(macro, 4) == 0.7930
