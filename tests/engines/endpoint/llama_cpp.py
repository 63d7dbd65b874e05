"""A real llama.cpp server in this process, with stories260K as its model (llama2.c's layout is llama.cpp's own)."""

import struct
from contextlib import contextmanager

import numpy
import pytest

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6


def stories_gguf(weights, vocabulary, path):
    """Write a llama2.c checkpoint as a GGUF in fp32; returns `path`."""
    gguf = pytest.importorskip("gguf")
    raw = weights.read_bytes()
    width, ffn, layers, heads, kv_heads, size, context = struct.unpack("<7i", raw[:28])
    floats = numpy.frombuffer(raw, "<f4", offset=28)
    at = 0

    def take(*shape):
        nonlocal at
        count = int(numpy.prod(shape))
        at += count
        return floats[at - count : at].reshape(shape)

    kv = width // heads * kv_heads
    tensors = {"token_embd.weight": take(size, width)}
    for name, shape in {
        "attn_norm": (width,),
        "attn_q": (width, width),
        "attn_k": (kv, width),
        "attn_v": (kv, width),
        "attn_output": (width, width),
        "ffn_norm": (width,),
        "ffn_gate": (ffn, width),
        "ffn_down": (width, ffn),
        "ffn_up": (ffn, width),
    }.items():
        stacked = take(layers, *shape)
        tensors |= {f"blk.{layer}.{name}.weight": stacked[layer] for layer in range(layers)}
    tensors["output_norm.weight"] = take(width)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(ffn)
    writer.add_block_count(layers)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // heads)
    writer.add_tokenizer_model("llama")
    pieces = _pieces(vocabulary.read_bytes(), size)
    writer.add_token_list([piece for piece, _ in pieces])
    writer.add_token_scores([score for _, score in pieces])
    writer.add_token_types([_UNKNOWN, _CONTROL, _CONTROL, *[_BYTE] * 256, *[_NORMAL] * (size - 259)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(CHATML)
    for name, content in tensors.items():
        writer.add_tensor(name, numpy.ascontiguousarray(content))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _pieces(raw, size):
    at, found = 4, []
    for index in range(size):
        score, length = struct.unpack_from("<fi", raw, at)
        text = raw[at + 8 : at + 8 + length].decode("utf-8", "replace")
        at += 8 + length
        named = ["<unk>", "<s>", "</s>"][index] if index < 3 else f"<0x{index - 3:02X}>" if index < 259 else None
        found.append((named or text.replace(" ", "\u2581"), score))
    return found


@contextmanager
def llama_cpp_server(model):
    """The base URL of a server with four slots of 512 tokens each."""
    xllamacpp = pytest.importorskip("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.n_ctx, params.n_parallel = 2048, 4
    params.warmup, params.fit_params, params.verbosity = False, False, 0
    params.cpuparams.n_threads = 1
    server = xllamacpp.Server(params)
    try:
        yield f"{server.listening_address}/v1"
    finally:
        del server
