"""FP8 weights as DeepSeek V3 publishes them: every byte, every block's factor, and the file that comes of it."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from parity.errors import ModelError
from parity.quantization.arranging import SCALES
from parity.quantization.convert import open_folder
from parity.quantization.matrices import _FLOAT8, Scaled, Stored
from quantization.making import to_gguf

BLOCK = 128
KEPT = ("embed_tokens", "lm_head", "norm", "mlp.gate.")  # what the published weights keep in bf16


def test_every_byte_is_torchs():
    expected = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float().numpy()
    assert np.array_equal(_FLOAT8, expected, equal_nan=True)


@pytest.mark.parametrize(("rows", "columns"), [(256, 384), (200, 300), (1, 5)])
def test_rows_anywhere_meet_their_own_factors(rows, columns, tmp_path):
    random = np.random.default_rng(0)
    raw = random.integers(0, 127, (rows, columns)).astype(np.uint8)
    factors = random.random((-(-rows // BLOCK), -(-columns // BLOCK))).astype(np.float32)
    (tmp_path / "file").write_bytes(b"head" + raw.tobytes() + factors.tobytes())
    scales = Stored(tmp_path / "file", 4 + raw.size, *factors.shape, "F32")
    whole = Scaled(tmp_path / "file", 4, rows, columns, scales, (BLOCK, BLOCK))
    spread = np.kron(factors, np.ones((BLOCK, BLOCK), np.float32))[:rows, :columns]
    expected = torch.from_numpy(raw).view(torch.float8_e4m3fn).float().numpy() * spread
    assert np.array_equal(whole.read(0, rows), expected)
    first, last = rows // 3, rows - rows // 4
    assert np.array_equal(whole.read(first, last), expected[first:last])
    if rows > 1:
        assert np.array_equal(whole.part(first, last - first).read(1, last - first), expected[first + 1 : last])


@pytest.fixture(scope="module")
def published(family, tmp_path_factory):
    """A DeepSeek V3 in FP8 with factors by block, and the same numbers in bf16, as DeepSeek's own script casts them."""
    folders = [
        shutil.copytree(family("deepseek-v3"), tmp_path_factory.mktemp(name) / "model") for name in ("f8", "bf16")
    ]
    small, plain = {}, {}
    for name, tensor in load_file(folders[0] / "model.safetensors").items():
        if tensor.dim() != 2 or any(kept in name for kept in KEPT):
            small[name] = plain[name] = tensor if tensor.dim() == 1 else tensor.bfloat16()
            continue
        rows, columns = tensor.shape
        factors = torch.empty(-(-rows // BLOCK), -(-columns // BLOCK))
        stored = torch.empty(tensor.shape, dtype=torch.float8_e4m3fn)
        cast = torch.empty(tensor.shape, dtype=torch.bfloat16)
        for i in range(factors.shape[0]):
            for j in range(factors.shape[1]):
                at = (slice(BLOCK * i, BLOCK * (i + 1)), slice(BLOCK * j, BLOCK * (j + 1)))
                factors[i, j] = tensor[at].abs().max() / 448 * (1 + 0.1 * i + 0.01 * j)
                stored[at] = (tensor[at] / factors[i, j]).to(torch.float8_e4m3fn)
                cast[at] = (stored[at].float() * factors[i, j]).bfloat16()
        small[name], small[name.removesuffix(".weight") + SCALES], plain[name] = stored, factors, cast
    for folder, tensors in zip(folders, (small, plain), strict=True):
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    change(folders[0], lambda config: config.update(quantization_config=CONFIG))
    return folders


CONFIG = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [BLOCK, BLOCK]}


def change(folder, edit):
    config = json.loads((folder / "config.json").read_text())
    edit(config)
    (folder / "config.json").write_text(json.dumps(config))


def test_the_file_is_that_of_the_weights_cast_to_bf16(published, tmp_path):
    small, plain = published
    names = {tensor.name for tensor in open_folder(small).tensors}
    assert any("ffn_down_exps" in name for name in names)
    assert any("attn_k_b" in name for name in names)
    one = to_gguf(small, tmp_path / "one.gguf", "source", threads=1)
    other = to_gguf(plain, tmp_path / "other.gguf", "BF16", threads=1)
    assert one.mixture == "BF16"
    assert one.files[0].read_bytes() == other.files[0].read_bytes()
    # Fewer bits come from byte times factor in fp32, not from what bf16 leaves of it: close, and not the same.
    q4 = [
        to_gguf(folder, tmp_path / f"{folder.parent.name}q4.gguf", "Q4_K_M", threads=1).files[0] for folder in published
    ]
    assert q4[0].stat().st_size == q4[1].stat().st_size


def broken(published, tmp_path, edit_tensors=None, edit_config=None):
    folder = shutil.copytree(published[0], tmp_path / "model")
    if edit_tensors:
        tensors = load_file(folder / "model.safetensors")
        edit_tensors(tensors)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    if edit_config:
        change(folder, edit_config)
    return folder


ONE = "model.layers.0.self_attn.o_proj"


@pytest.mark.parametrize(
    ("tensors", "config", "said"),
    [
        (lambda t: t.pop(ONE + SCALES), None, f"{ONE}.weight is stored as F8_E4M3.* has no factors"),
        (lambda t: t.update({ONE + SCALES: torch.ones(1, 1)}), None, r"\[1, 1\] factors"),
        (lambda t: t.update({ONE + ".weight": t[ONE + ".weight"].to(torch.float8_e5m2)}), None, "F8_E5M2"),
        (None, lambda c: c["quantization_config"].pop("weight_block_size"), "quantized already"),
        (None, lambda c: c["quantization_config"].update(fmt="e5m2"), "quantized already"),
        (None, lambda c: c.pop("quantization_config"), "F8_E4M3, which is quantized already"),
    ],
    ids=["no factors", "too few", "another type", "no block", "another format", "not said"],
)
def test_what_cannot_be_read_rightly_is_refused(published, tmp_path, tensors, config, said):
    with pytest.raises(ModelError, match=said):
        open_folder(broken(published, tmp_path, tensors, config))


def test_a_byte_that_is_no_number_is_an_error(published, tmp_path):
    def spoil(tensors):
        tensors[ONE + ".weight"].view(torch.uint8)[3, 3] = 0x7F

    with pytest.raises(ModelError, match=r"blk\.0\.attn_output\.weight: it holds values that are not finite"):
        to_gguf(broken(published, tmp_path, spoil), tmp_path / "out.gguf", "Q8_0", threads=1)


def test_an_importance_matrix_of_fp8_weights_is_not_computed(published, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat " * 40)
    with pytest.raises(ModelError, match="FP8 weights"):
        to_gguf(published[0], tmp_path / "out.gguf", "Q4_K_M", importance=text)
