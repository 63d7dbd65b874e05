"""A folder is checked before anything opens its weights."""

import json
import struct

import pytest

from parity.core.refs import ModelRef
from parity.errors import ModelError
from parity.models.safetensors import check_safetensors
from parity.models.sources import locate


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


GOOD = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(
        json.dumps({"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 64})
    )
    (tmp_path / "model.safetensors").write_bytes(safetensors(GOOD, b"\0" * 8))
    return tmp_path


def test_a_whole_folder(folder):
    model = locate(ModelRef.parse(str(folder)))
    assert (model.architecture, model.context_tokens) == ("LlamaForCausalLM", 64)


def test_one_changed_byte_changes_the_digest(folder):
    before = locate(ModelRef.parse(str(folder))).digest
    (folder / "model.safetensors").write_bytes(safetensors(GOOD, b"\0" * 7 + b"\1"))
    assert locate(ModelRef.parse(str(folder))).digest != before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "needs at least 8"),
        (struct.pack("<Q", 2**60) + b"{}", "header claims"),
        (safetensors(b"not json"), "malformed"),
        (safetensors(GOOD, b"\0" * 4), "end at byte"),
        (safetensors(GOOD, b"\0" * 9), "end at byte"),
        (safetensors({"w": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, b"\0" * 8), "does not fill"),
        (safetensors({"w": {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]}}, b"\0" * 8), "unknown type"),
        (safetensors({"w": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, b"\0" * 8), "whole number"),
        (safetensors({"w": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}, b"\0" * 16), "begins at byte"),
        (safetensors(b'{"w": 1, "w": 2}'), "twice"),
    ],
)
def test_broken_weights_are_named(tmp_path, content, message):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        check_safetensors(path)


def test_code_pickles_and_gaps_are_refused(folder):
    (folder / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "x.py"}}))
    with pytest.raises(ModelError, match="run its own code"):
        locate(ModelRef.parse(str(folder)))
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="no weights"):
        locate(ModelRef.parse(str(folder)))
    (folder / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match="pickled"):
        locate(ModelRef.parse(str(folder)))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": "model-1.safetensors"}}))
    with pytest.raises(ModelError, match="lacks 1 of 1"):
        locate(ModelRef.parse(str(folder)))


def test_a_missing_folder_that_looks_like_a_repository_says_so():
    with pytest.raises(ModelError, match="hf:meta-llama/Llama-3"):
        locate(ModelRef.parse("meta-llama/Llama-3"))


def test_a_hub_model_that_was_not_pulled_says_how_to(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"(?s)has not been pulled to .*parity pull hf:a/b"):
        locate(ModelRef.parse("hf:a/b"))
