"""A transformers folder as a model for llama.cpp: configuration, tokenizer and tensors, none of them loaded yet.

Knows the order things are looked at, so that what cannot be converted is said before anything is written. Runs no code
that came with the weights.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.core.digests import Plain, digest
from parity.errors import ModelError
from parity.files import read_object
from parity.models.byte_sources import LocalBytes
from parity.models.mixtures import Traits
from parity.models.model_files import LocalFolder, inside, weight_names
from parity.models.safetensors import read_safetensors
from parity.models.shapes import shape_of
from parity.quantization.architectures import Architecture, Described, caveats_of, find_architecture, values_of
from parity.quantization.arranging import Held, arrange, with_scales
from parity.quantization.layout import entries
from parity.quantization.models import GgufModel, Tensor, in_order
from parity.quantization.vocabulary import Vocabulary, read_vocabulary, write_vocabulary

if TYPE_CHECKING:
    from gguf import GGUFWriter


def open_folder(folder: Path) -> GgufModel:
    """The model of a transformers folder, as llama.cpp wants it.

    Raises:
        ModelError: a file is missing or broken, the architecture is not one we convert, or llama.cpp cannot compute it.
    """
    config = _config(folder)
    model = Described(shape_of(config), config)
    row = find_architecture(model.shape.architecture)
    caveats = caveats_of(row, model)
    held = _held(folder, float8_block(config))
    tensors = in_order(arrange(held, row, model))
    vocabulary = read_vocabulary(folder, model.shape.vocabulary)

    def fill(writer: "GGUFWriter") -> None:
        _describe(writer, folder, tensors)
        for key, kind, value in values_of(row, model):
            getattr(writer, f"add_{kind}")(key, value)
        write_vocabulary(writer, vocabulary, folder)

    return GgufModel(
        entries(row.name, fill), tensors, _traits(row, model), _origin(folder, held, vocabulary),
        (*caveats, *vocabulary.caveats),
    )  # fmt: skip


def _traits(row: Architecture, model: Described) -> Traits:
    count = model.shape.experts.count if model.shape.experts else 0
    kv_heads = 1 if model.shape.latent else model.shape.kv_heads
    return Traits(model.shape.layers, model.shape.heads, kv_heads, count, row.name)


def _config(folder: Path) -> Mapping[str, Plain]:
    """The configuration with transformers' defaults filled in; files leave out what is a class's default."""
    said = read_object(folder / "config.json", "model configuration", ModelError, "Download the model again.")
    if said.get("quantization_config") and float8_block(said) is None:
        quantization = said["quantization_config"]
        method = quantization.get("quant_method", "unknown method") if isinstance(quantization, Mapping) else "?"
        raise ModelError(
            f"{folder} is quantized already ({method}).",
            "Convert the model it was made from; quantizing twice loses twice. (FP8 by blocks, as DeepSeek V3 is "
            "published, is read: quant_method fp8, fmt e4m3, weight_block_size.)",
        )
    model_type = said.get("model_type")
    if isinstance(model_type, str):
        find_architecture({"Yi": "yi"}.get(model_type, model_type))
    from transformers import AutoConfig

    try:
        known = {"Yi": "llama", "yi": "llama"}.get(str(model_type), str(model_type))
        filled: dict[str, Any] = AutoConfig.for_model(known).from_dict(said).to_dict()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{folder}/config.json cannot be read: {error}", "Download the model again.") from error
    return json.loads(json.dumps({**filled, "model_type": model_type}, default=str))  # type: ignore[no-any-return]


def float8_block(config: Mapping[str, Plain]) -> tuple[int, int] | None:
    """Rows and columns of a block that shares a factor, where a configuration says block-wise FP8."""
    said = config.get("quantization_config")
    if not isinstance(said, Mapping) or said.get("quant_method") != "fp8" or said.get("fmt", "e4m3") != "e4m3":
        return None
    match said.get("weight_block_size"):
        case [int(rows), int(columns)] if rows > 0 and columns > 0:
            return rows, columns
    return None


def _held(folder: Path, block: tuple[int, int] | None) -> dict[str, Held]:
    names = weight_names(LocalFolder(folder))
    if not names:
        pickled = next((path.name for path in sorted(folder.glob("*.bin"))), None)
        why = f"only pickled weights ({pickled}), which can run code when opened" if pickled else "no weights"
        raise ModelError(f"{folder} holds {why}.", "Use the safetensors version of this model.")
    held: dict[str, Held] = {}
    for name in names:
        path = inside(folder, name)
        header = read_safetensors(LocalBytes(path))
        held |= {entry.name: Held(entry, path, header.data_start + entry.begin) for entry in header.tensors}
    return with_scales(held, block) if block else held


def _describe(writer: "GGUFWriter", folder: Path, tensors: tuple[Tensor, ...]) -> None:
    """Name, size and what the model card says, by the `gguf` package's own rules."""
    import gguf

    counting = gguf.GGUFWriter(None, writer.arch)
    for tensor in tensors:
        shape = tensor.shape[::-1]
        counting.add_tensor_info(tensor.name, shape, np.dtype(np.float32), 0, gguf.GGMLQuantizationType.F32)
    total, shared, expert, count = counting.get_total_parameter_count()
    card = gguf.Metadata.load(None, folder, None, total)
    card.name = card.name or folder.resolve().name
    card.size_label = card.size_label or gguf.size_label(total, shared, expert, count)
    writer.add_type(gguf.GGUFType.MODEL)
    card.set_gguf_meta_model(writer)


def _origin(folder: Path, held: Mapping[str, Held], vocabulary: Vocabulary) -> str:
    """Changes when a file changes that ends up in the result; weights by name, size and time of change."""
    files = sorted({one.path for one in held.values()})
    stated = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return digest([stated, repr(vocabulary)])
