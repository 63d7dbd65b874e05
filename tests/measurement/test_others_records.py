"""Results of Inspect, HELM and AlpacaEval read; ours written as lm-evaluation-harness writes its own, and read back."""

import json

import pytest

from parity.core.runs import Marked
from parity.core.scores import Score, Unscored, UnscoredReason
from parity.errors import DataError
from parity.measurement.records import read_record
from parity.measurement.records.lm_eval_out import Exported, write_lm_eval


def test_annotations_are_preferences_between_one_and_two(tmp_path):
    rows = [
        {"instruction": text, "preference": preference, "generator_2": "m", "dataset": "d"}
        for text, preference in (("a", 1.25), ("b", 2), ("c", 0), ("d", None))
    ]
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(rows))
    marks = [marked.mark for marked in read_record(str(path))]
    assert marks[:3] == [Score(0.25), Score(1.0), Score(0.5)]
    assert marks[3] == Unscored(UnscoredReason.ABSENT, "not annotated")
    path.write_text(json.dumps([*rows, {**rows[0], "generator_2": "n"}]))
    with pytest.raises(DataError, match="2 models"):
        read_record(str(path))
    assert len(read_record(f"{path}#n")) == 1


def helm_row(name, mean, **more):
    stats = [{"name": {"name": "exact_match", "split": "test"}, "mean": mean},
             {"name": {"name": "num_bytes", "split": "test"}, "mean": 12}]  # fmt: skip
    return {"instance_id": name, "train_trial_index": 0, "stats": stats, **more}


def test_helms_instances_are_read_without_perturbations(tmp_path):
    rows = [helm_row("id1", 1.0), helm_row("id2", 0.0), helm_row("id2", 1.0, perturbation={"name": "typos"})]
    (tmp_path / "per_instance_stats.json").write_text(json.dumps(rows))
    found = read_record(str(tmp_path))
    assert [(marked.item, marked.mark) for marked in found] == [("id1", Score(1.0)), ("id2", Score(0.0))]
    with pytest.raises(DataError, match="it has exact_match, num_bytes"):
        read_record(f"{tmp_path / 'per_instance_stats.json'}#f1")


def test_a_log_of_inspect_is_read_by_its_own_library(tmp_path):
    inspect_log = pytest.importorskip("inspect_ai.log")
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import Score as InspectScore

    samples = [
        inspect_log.EvalSample(
            id=name, epoch=1, input="q", target="t", output=ModelOutput(), scores={"match": InspectScore(value=value)}
        )
        for name, value in (("s1", "C"), ("s2", "I"), ("s3", 0.25), ("s4", "?"))
    ]
    spec = inspect_log.EvalSpec(
        created="2026-01-01T00:00:00+00:00", task="made", dataset=inspect_log.EvalDataset(), model="m",
        config=inspect_log.EvalConfig(),
    )  # fmt: skip
    for name in ("log.json", "log.eval"):
        inspect_log.write_eval_log(
            inspect_log.EvalLog(eval=spec, samples=samples, status="success"), str(tmp_path / name)
        )
        found = read_record(str(tmp_path / name))
        assert [marked.mark.value for marked in found[:3]] == [1.0, 0.0, 0.25]
        assert isinstance(found[3].mark, Unscored)
        assert found[0].tags == (("task", "made"),)
    with pytest.raises(DataError, match="no scorer 'other'"):
        read_record(f"{tmp_path / 'log.json'}#other")


def test_what_is_written_for_the_harness_reads_back(tmp_path):
    marks = [
        Marked("arc_easy/0", Score(1.0, "A")),
        Marked("arc_easy/1", Score(0.0, "B")),
        Marked("arc_easy/2", Unscored(UnscoredReason.TIE, "A and B")),
    ]
    run = Exported("folder", "arc_easy", "lm-eval 0.4.13/0-shot", "loglikelihood", 1_700_000_000.0)
    results, samples = write_lm_eval(tmp_path, run, marks)
    told = json.loads(results.read_text())
    assert told["results"]["arc_easy"]["acc,none"] == 0.5
    assert told["results"]["arc_easy"]["acc_stderr,none"] == pytest.approx(0.5)
    assert told["n-samples"]["arc_easy"] == {"original": 3, "effective": 2, "unscored": 1}
    back = read_record(str(tmp_path))
    assert [marked.item for marked in back] == ["arc_easy/0", "arc_easy/1", "arc_easy/2"]
    assert [getattr(marked.mark, "value", None) for marked in back] == [1.0, 0.0, None]
    assert samples.name.startswith("samples_arc_easy_2023-11-14T")
