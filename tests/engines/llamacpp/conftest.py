"""A GGUF file of real weights (stories260K), made with the `gguf` writer and nothing of ours."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from parity.testing.llama2c import llama2c_folder
from shared import needs_shared

HEADS, KEY_HEADS, CONTEXT = 8, 4, 512
CHATML = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(scope="session")
def stories_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = needs_shared("weights_small", "stories260K")
    return llama2c_folder(source / "stories260K.bin", source / "tok512.bin", tmp_path_factory.mktemp("stories"))


@pytest.fixture(scope="session")
def stories_gguf(stories_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stories(stories_folder, tmp_path_factory.mktemp("gguf") / "stories.gguf")


def write_stories(folder: Path, target: Path) -> Path:
    """The folder's tensors under llama.cpp's names, q and k rows permuted, the vocabulary with scores and types."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    writer = gguf.GGUFWriter(target, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(64)
    writer.add_block_count(5)
    writer.add_feed_forward_length(172)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(8)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(512)
    vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokens = [vocabulary.id_to_token(at) for at in range(512)]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([token.encode() for token in tokens])
    # Earlier merges are likelier: the order of the learned pieces is that of their scores.
    writer.add_token_scores([0.0 if at < 259 else float(259 - at) for at in range(512)])
    writer.add_token_types([2 if at == 0 else 3 if at < 3 else 6 if at < 259 else 1 for at in range(512)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_chat_template(CHATML)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 5)
    for name, tensor in load_file(folder / "model.safetensors").items():
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = HEADS if "q_proj" in name else KEY_HEADS
            rows = tensor.reshape(heads, 2, -1, tensor.shape[1])
            tensor = np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(tensor.shape)
        writer.add_tensor(names.get_name(name, (".weight",)), tensor.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target
