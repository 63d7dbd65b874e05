"""Importance matrices: the sums are those of the inputs, both formats are read, broken ones are refused."""

import json
import struct

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from parity.errors import DataError, ModelError
from parity.models.gguf import check_gguf
from parity.quantization.calibration import compute
from parity.quantization.convert import open_folder
from parity.quantization.importance import ImportanceMatrix, Sums, is_matrix, read_matrix, write_matrix
from parity.testing.gguf_logits import GgufLogits
from quantization.conftest import TEXTS
from quantization.making import to_gguf

TEXT = " and ".join(TEXTS * 40)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "calibration.txt"
    path.write_text(TEXT)
    return path


def computed(folder, text, tokens=64, chunks=3):
    return compute(folder, text, open_folder(folder), tokens, chunks, lambda what, done, total: None)


def watched(folder, chunks, path):
    """Inputs (rows, columns) of one module, by a hook of our own."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = AutoTokenizer.from_pretrained(folder)(TEXT)["input_ids"]
    seen = []
    module = model.get_submodule(path)
    module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].reshape(-1, inputs[0].shape[-1])))
    with torch.inference_mode():
        for at in range(chunks):
            model(torch.tensor([ids[64 * at : 64 * at + 64]]))
    return torch.cat(seen).double()


@pytest.mark.parametrize(
    ("name", "tensor", "module"),
    [
        ("llama-2", "blk.1.attn_output.weight", "model.layers.1.self_attn.o_proj"),
        ("llama-2", "blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj"),
        ("deepseek-v3", "blk.2.attn_q_b.weight", "model.layers.2.self_attn.q_b_proj"),
    ],
)
def test_sums_are_those_of_the_inputs(name, tensor, module, family, text):
    found = computed(family(name), text).sums[tensor]
    rows = watched(family(name), 3, module)
    assert found.counts_P.tolist() == [192]
    np.testing.assert_allclose(found.squares_PC[0], rows.square().sum(0), rtol=1e-5)
    np.testing.assert_allclose(found.inputs_PC[0], rows.sum(0), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["mixtral", "qwen2-moe", "qwen3-moe", "deepseek-v2"])
def test_experts_are_counted_one_by_one(name, family, text):
    matrix = computed(family(name), text)
    layer = 1
    counts = matrix.sums[f"blk.{layer}.ffn_down_exps.weight"].counts_P
    assert counts.sum() == 2 * 192  # two experts a token
    assert len(set(counts.tolist())) > 1
    gate, up = (matrix.sums[f"blk.{layer}.ffn_{role}_exps.weight"] for role in ("gate", "up"))
    assert np.array_equal(gate.squares_PC, up.squares_PC)
    rows = watched(family(name), 3, f"model.layers.{layer}.mlp").square().sum(0)
    np.testing.assert_allclose(gate.squares_PC.sum(0), 2 * rows, rtol=1e-5)
    known = {tensor.name for tensor in open_folder(family(name)).tensors if tensor.name.endswith(".weight")}
    missing = {name for name in known - set(matrix.sums) if "norm" not in name}
    assert missing == {"token_embd.weight", "output.weight"}


def test_a_matrix_makes_the_smallest_types_possible_and_is_noted(family, text, tmp_path):
    out, kept = tmp_path / "out.gguf", tmp_path / "kept.gguf"
    found = to_gguf(
        family("llama-2"), out, "IQ2_XS", importance=text, calibration_tokens=64, calibration_chunks=3,
        save_importance=kept,
    )  # fmt: skip
    assert found.importance == "calibration.txt"
    assert check_gguf(out).whole("quantize.imatrix.chunks_count") == 3
    assert np.isfinite(GgufLogits([out]).logits([3, 4, 5])).all()
    again = to_gguf(family("llama-2"), tmp_path / "again.gguf", "IQ2_XS", importance=kept).files[0]
    data = [path.read_bytes()[check_gguf(path).data_start :] for path in (out, again)]
    assert data[0] == data[1]


def test_a_matrix_is_written_and_read(family, text, tmp_path):
    matrix = computed(family("deepseek-v2"), text)
    path = write_matrix(matrix, tmp_path / "matrix.gguf")
    assert is_matrix(path)
    assert not is_matrix(text)
    back = read_matrix(path)
    assert (back.source, back.chunks, back.chunk_tokens, back.digest) == ("calibration.txt", 3, 64, matrix.digest)
    for name, sums in matrix.sums.items():
        assert np.array_equal(back.sums[name].squares_PC, sums.squares_PC)
        assert np.array_equal(back.sums[name].counts_P, sums.counts_P)
    fitted = back.fitted(open_folder(family("deepseek-v2")).tensors)
    assert fitted.sums["blk.0.attn_k_b.weight"].squares_PC.shape == (4, 64)
    assert [path.name for path in tmp_path.iterdir()] == ["matrix.gguf"]


def legacy(path, entries, calls=7):
    raw = struct.pack("<i", len(entries))
    for name, means in entries.items():
        raw += struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", calls, len(means))
        raw += (np.asarray(means, np.float32) * calls).tobytes()
    path.write_bytes(raw + struct.pack("<i", 5))
    return path


def test_the_older_format_is_read(family, tmp_path):
    path = legacy(tmp_path / "old.dat", {"blk.0.ffn_down.weight": np.arange(1, 513)})
    assert is_matrix(path)
    matrix = read_matrix(path)
    assert matrix.chunks == 5
    np.testing.assert_allclose(matrix.means()["blk.0.ffn_down.weight"][0], np.arange(1, 513), rtol=1e-6)
    out = to_gguf(family("llama-2"), tmp_path / "out.gguf", "Q4_K_S", importance=path)
    assert out.importance == "old.dat"


def test_an_expert_that_was_never_chosen_counts_all_columns_alike():
    squares = np.array([[4.0, 8.0], [0.0, 0.0]], np.float32)
    matrix = ImportanceMatrix({"t": Sums(squares, np.array([2.0, 0.0], np.float32))}, "text", 1, 2)
    assert matrix.means()["t"].tolist() == [[2.0, 4.0], [1.0, 1.0]]
    assert matrix.names == frozenset()


def test_broken_matrices_are_refused(family, text, tmp_path):
    cut = tmp_path / "cut.dat"
    cut.write_bytes(legacy(tmp_path / "old.dat", {"blk.0.ffn_down.weight": np.ones(512)}).read_bytes()[:300])
    with pytest.raises(ModelError, match="truncated"):
        read_matrix(cut)
    for entries, message in (
        ({"blk.0.ffn_down.weight": np.ones(100)}, "another model"),
        ({"blk.9.ffn_down.weight": np.ones(512)}, "knows no tensor"),
        ({"blk.0.ffn_down.weight": np.full(512, np.nan)}, "not finite"),
    ):
        path = legacy(tmp_path / "bad.dat", entries)
        with pytest.raises(ModelError, match=message):
            to_gguf(family("llama-2"), tmp_path / "out.gguf", "Q4_K_M", importance=path)
    writer = gguf.GGUFWriter(tmp_path / "none.gguf", "imatrix")
    writer.add_tensor("blk.0.ffn_down.weight.in_sum2", np.ones((1, 512), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelError, match="not of how many rows"):
        read_matrix(tmp_path / "none.gguf")
    with pytest.raises(DataError, match="fewer than one chunk"):
        computed(family("llama-2"), text, tokens=100_000)
    assert json.dumps([path.name for path in tmp_path.glob("out*")]) == "[]"
