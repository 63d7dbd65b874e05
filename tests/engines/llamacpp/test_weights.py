"""Which files a `gguf:` name stands for: split models whole, adapters behind the model, nothing else."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from parity.core.outputs import Loglikelihoods
from parity.core.prompts import Loglikelihood, RequestId, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.llamacpp import LlamaCppEngine
from parity.engines.llamacpp.weights import find_weights
from parity.errors import ModelError

ASKED = Loglikelihood(RequestId("one"), TextPrompt("Once upon a time"), (" was", " there"))


def values(ref: str) -> tuple[float, ...]:
    engine = LlamaCppEngine(ModelRef.parse(ref))
    output = dict(engine.answer([ASKED]))[ASKED.id]
    engine.close()
    assert isinstance(output, Loglikelihoods)
    return output.values


def lora(path: Path, kind: str = "adapter", architecture: str = "llama", scale: float = 1.0) -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_string("general.type", kind)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 4.0)
    rng = np.random.default_rng(0)
    writer.add_tensor("blk.0.attn_v.weight.lora_a", (scale * rng.normal(size=(4, 64))).astype(np.float32))
    writer.add_tensor("blk.0.attn_v.weight.lora_b", rng.normal(size=(32, 4)).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_an_adapter_changes_answers_and_identity(stories_gguf: Path, tmp_path: Path) -> None:
    plain, adapted = f"gguf:{stories_gguf}", f"gguf:{stories_gguf}#{lora(tmp_path / 'a.gguf')}"
    assert np.abs(np.subtract(values(plain), values(adapted))).max() > 0.01
    # One that adds nothing is the model itself.
    nothing = f"gguf:{stories_gguf}#{lora(tmp_path / 'zero.gguf', scale=0.0)}"
    assert values(nothing) == pytest.approx(values(plain), abs=1e-5)
    digests = {find_weights(ModelRef.parse(ref)).digest for ref in (plain, adapted, nothing)}
    assert len(digests) == 3


def test_what_is_no_adapter_of_this_model_is_refused(stories_gguf: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no LoRA adapter"):
        find_weights(ModelRef.parse(f"gguf:{stories_gguf}#{stories_gguf}"))
    with pytest.raises(ModelError, match="adapts qwen2 models, not llama"):
        find_weights(ModelRef.parse(f"gguf:{stories_gguf}#{lora(tmp_path / 'q.gguf', architecture='qwen2')}"))
    with pytest.raises(ModelError, match="it is an adapter"):
        find_weights(ModelRef.parse(f"gguf:{lora(tmp_path / 'alone.gguf')}"))


def test_a_split_model_is_one_model(stories_folder: Path, stories_gguf: Path, tmp_path: Path) -> None:
    from parity.quantization.quantize import QuantizeSpec, quantize

    made = quantize(
        QuantizeSpec(ModelRef.parse(str(stories_folder)), "F32", tmp_path / "split.gguf", split_bytes=400_000)
    )
    assert len(made.files) > 1
    for file in made.files[:2]:
        assert values(f"gguf:{file}") == pytest.approx(values(f"gguf:{stories_gguf}"), abs=1e-5)
    made.files[-1].unlink()
    with pytest.raises(ModelError, match="no file at"):
        find_weights(ModelRef.parse(f"gguf:{made.files[0]}"))
