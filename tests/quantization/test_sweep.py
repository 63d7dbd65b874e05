"""Many types at once: each measured as it is alone, claims in a fixed order, and nothing done twice."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from parity.benchmarks.catalog import open_benchmark
from parity.cli.app import main
from parity.core.gaps import Verdict
from parity.core.refs import ModelRef
from parity.errors import ModelError, StoreError, Unscorable, UsageError
from parity.measurement.measure import MeasureSpec
from parity.quantization import sweep as sweeping
from parity.quantization import sweep_files
from parity.quantization.sweep import Task, sweep
from parity.quantization.sweep_files import SweepSpec
from parity.reporting.sweeps import keep, sweep_json, sweep_page
from parity.store import Workspace
from parity.testing.gguf_logits import GgufLogits
from quantization.conftest import TEXTS
from quantization.making import to_gguf

TYPES = ("Q2_K", "Q8_0", "IQ2_XS", "Q4_K_M")


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    folder = tmp_path_factory.mktemp("items")
    rows = [{"question": f"Is {n} even?", "options": ["yes", "no"], "answer": "AB"[n % 2]} for n in range(60)]
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "even.toml"
    path.write_text('name = "even"\nitems = "items.jsonl"\nmark = "choice"\n')
    return path


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(" ".join(TEXTS * 8))
    return path


@pytest.fixture(scope="module")
def swept(family, items, text, tmp_path_factory):
    """A sweep with a task, its specification, and the workspace."""
    folder = tmp_path_factory.mktemp("sweep")
    spec = SweepSpec(ModelRef.parse(str(family("llama-3"))), folder / "out", TYPES, text, 200, threads=1)
    workspace = Workspace(folder / "w")
    task = Task(open_benchmark(str(items)), workspace, MeasureSpec((), margin=0.3))
    yield sweep(spec, task), spec, task
    workspace.close()


def test_each_type_is_the_file_and_the_loss_it_is_alone(swept, family, f32, tmp_path):
    found, spec, _ = swept
    assert [row.type for row in found.swept] == ["Q8_0", "Q4_K_M", "Q2_K"]  # from the largest to the smallest
    assert [row.size_bytes for row in found.swept] == sorted((row.size_bytes for row in found.swept), reverse=True)
    assert (found.base.type, found.base.loss) == ("F32", None)
    alone = to_gguf(family("llama-3"), tmp_path / "alone.gguf", "Q4_K_M", threads=1)
    row = found.swept[1]
    assert row.file.read_bytes() == alone.files[0].read_bytes()
    assert row.bits_per_weight == pytest.approx(alone.bits_per_weight)
    assert sorted(path.name for path in spec.out.iterdir()) == sorted(
        [".sweep.json", *(path.file.name for path in (found.base, *found.swept))]
    )
    # Divergence over every position, by a loop of its own over a library call of its own.
    ids = list(range(5, 205))
    with_text = sweep_loss(f32("llama-3"), row.file, ids[:128])
    assert with_text == pytest.approx(own_loss(f32("llama-3"), row.file, ids[:128]), rel=1e-3)
    losses = [one.loss.kl_mean for one in found.swept]
    assert losses == sorted(losses)
    assert found.swept[0].loss.positions == 200


def sweep_loss(base, file, ids):
    from parity.engines.llamacpp import LlamaCppEngine
    from parity.quantization.losses import loss, reference

    one, other = (LlamaCppEngine(ModelRef.parse(f"gguf:{path}")) for path in (base, file))
    with reference(file.parent) as expected:
        expected.compute(one, (tuple(ids),), lambda done, total: None)
        found = loss(expected, other, lambda done, total: None)
    one.close()
    other.close()
    return found.kl_mean


def own_loss(base, file, ids):
    found = []
    for path in (base, file):
        model = GgufLogits([path])
        logits = model.logits(ids).astype(float)
        model.close()
        found.append(logits - np.log(np.exp(logits).sum(-1, keepdims=True)))
    return (np.exp(found[0]) * (found[0] - found[1])).sum(-1).mean()


def test_what_cannot_be_made_is_skipped_with_the_reason(swept):
    found, _, _ = swept
    assert [(one.type, "--imatrix" in one.why) for one in found.skipped] == [("IQ2_XS", True)]


def test_the_second_call_computes_nothing(swept, monkeypatch):
    found, spec, task = swept

    def never(*_, **__):
        raise AssertionError("this was known")

    monkeypatch.setattr(sweeping, "LlamaCppEngine", never)
    monkeypatch.setattr("parity.engines.llamacpp.LlamaCppEngine.answer", never)
    monkeypatch.setattr(sweep_files, "quantize", never)
    assert sweep(spec, task) == found


def test_a_sweep_is_one_look_and_another_list_is_another(swept, tmp_path):
    """The same runs read again spend nothing; a shorter list after the answers are known does."""
    found, spec, task = swept
    looks = {row.gap.look.number for row in found.swept}
    assert looks == {1}
    assert len({row.gap.alpha for row in found.swept}) == 1
    assert found.swept[0].gap.alpha < 0.05  # part of alpha is kept for looks to come
    shorter = sweep(replace(spec, types=("Q8_0", "Q2_K")), task)
    assert {row.gap.look.number for row in shorter.swept} == {2}
    assert shorter.swept[0].gap.alpha < found.swept[0].gap.alpha


def test_a_folder_of_something_else_is_refused(swept, family, tmp_path):
    _, spec, _ = swept
    other = replace(spec, model=ModelRef.parse(str(family("llama-2"))))
    with pytest.raises(StoreError, match="sweep of something else"):
        sweep(other)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model-source.gguf").write_bytes(b"whole")
    with pytest.raises(ModelError, match="GGUF"):  # a stranger's file is not taken for ours
        sweep(replace(spec, out=tmp_path / "out"))
    with pytest.raises(StoreError, match="is a file"):
        sweep(replace(spec, out=tmp_path / "out" / "model-source.gguf"))
    with pytest.raises(UsageError, match="Unknown type"):
        sweep(replace(spec, out=tmp_path / "new", types=("Q4_K_M", "Q9")))


@pytest.mark.parametrize(
    ("verdicts", "claimed", "smallest"),
    [
        (["SUPERIOR", "NON_INFERIOR", "NON_INFERIOR"], [True, True, True], "Q2_K"),
        (["NON_INFERIOR", "INCONCLUSIVE", "NON_INFERIOR"], [True, False, False], "Q8_0"),
        (["NON_INFERIOR", "FAILED", "NON_INFERIOR"], [True, False, False], "Q8_0"),
        (["INFERIOR", "NON_INFERIOR", "NON_INFERIOR"], [False, False, False], None),
    ],
)
def test_claims_end_at_the_first_type_that_fails(swept, monkeypatch, verdicts, claimed, smallest):
    """Whatever the numbers: nothing smaller than a type that failed is claimed."""
    found, spec, task = swept
    given, asked = iter([one for one in verdicts if one != "FAILED"]), iter([None, *verdicts])
    measured = sweeping._asker(task, spec, lambda *_: None)(found.base)

    def ask(_):
        if next(asked) == "FAILED":
            raise Unscorable("all ties", "")
        return measured

    monkeypatch.setattr(sweeping, "_asker", lambda *_: ask)
    monkeypatch.setattr(sweeping, "gap_of", lambda *_: replace(found.swept[0].gap, verdict=Verdict(next(given))))
    again = sweep(spec, task)
    assert [row.claimed for row in again.swept] == claimed
    assert (again.smallest.type if again.smallest else None) == smallest
    page = json.dumps([str(block) for block in sweep_page(again).blocks])
    assert ("parity chat gguf:" in page) == (smallest is not None)
    assert ("not claimed" in page) == (verdicts[1] in ("INCONCLUSIVE", "FAILED") or verdicts[0] == "INFERIOR")


def test_types_that_need_a_matrix_are_made_with_one(family, text, tmp_path):
    model = ModelRef.parse(str(family("llama-2")))
    spec = SweepSpec(model, tmp_path / "out", ("IQ2_XS", "Q4_K_M"), text, 64, importance=text, calibration_tokens=32)
    found = sweep(replace(spec, threads=1))
    assert [row.type for row in found.swept] == ["Q4_K_M", "IQ2_XS"]
    assert found.skipped == ()
    assert found.importance == text.name
    assert found.own_text
    assert (tmp_path / "out" / "imatrix.gguf").is_file()
    with_matrix = to_gguf(
        family("llama-2"), tmp_path / "alone.gguf", "Q4_K_M", importance=tmp_path / "out" / "imatrix.gguf", threads=1
    ).files[0]
    assert found.swept[0].file.read_bytes() == with_matrix.read_bytes()


def test_a_gguf_file_is_its_own_base(f32, tmp_path):
    found = sweep(SweepSpec(ModelRef.parse(f"gguf:{f32('llama-2')}"), tmp_path / "out", ("Q8_0",), threads=1))
    assert found.base.file == f32("llama-2")
    assert [path.name for path in (tmp_path / "out").glob("*.gguf")] == ["llama-2-Q8_0.gguf"]


def test_the_picture_and_the_numbers_lie_beside_the_files(swept, tmp_path):
    found, _, _ = swept
    kept = keep(found, tmp_path)
    assert [path.suffix for path in kept] == [".md", ".json", ".svg"]
    assert json.loads(kept[1].read_text()) == json.loads(json.dumps(sweep_json(found)))
    svg = ET.fromstring(kept[2].read_text())
    circles = [one for one in svg.iter("{http://www.w3.org/2000/svg}circle") if float(one.get("r")) != 3.6]
    assert len(circles) == len(found.swept)
    heights = [float(one.get("cy")) for one in circles]  # less loss lies lower, as the axis says
    assert heights == sorted(heights, reverse=True)


def test_what_does_not_go_together_is_said_at_once(family, capsys):
    model = str(family("llama-2"))
    assert main(["quantize", model, "-o", "x.gguf", "--margin", "0.1"]) == 2
    said = capsys.readouterr().err
    assert "name the type with --to" in said
    assert "goes with --sweep" in said
    assert main(["quantize", model, "--sweep", "-o", "x.gguf", "--margin", "2", "--split-gb", "1"]) == 2
    said = capsys.readouterr().err
    for problem in ("a file's name", "--margin 2", "name it with -b", "--split-gb"):
        assert problem in said


def test_the_command_names_the_smallest_and_how_to_use_it(family, items, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["quantize", str(family("llama-2")), "--sweep", "--to", "Q8_0,q5_k_m", "-o", "out", "-b", str(items),
               "--margin", "0.4", "--threads", "1"]  # fmt: skip
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["smallest"] == "Q5_K_M"
    assert [row["claimed"] for row in found["types"]] == [True, True]
    assert Path(found["types"][1]["file"]).is_file()
    assert main(command) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Q5_K_M is the smallest still non-inferior at a margin of 40 points" in said
    assert "parity chat gguf:out/model-Q5_K_M.gguf" in said
    assert "an impression" in said
    assert "Kept: out/sweep.md, out/sweep.json, out/sweep.svg" in said
