"""Everything a model says about itself, from headers and small texts alone: `inspect` loads and runs nothing.

Takes a transformers folder, a folder with only `config.json`, one safetensors or GGUF file, or a repository of the hub.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from parity.core.models import ModelShape, ParameterCount
from parity.core.refs import ModelRef, Scheme
from parity.errors import ModelError, UsageError
from parity.files.egress import forbidden
from parity.models.byte_sources import LocalBytes
from parity.models.cache import snapshot
from parity.models.counts import count
from parity.models.gguf import MAGIC, GgufArray, GgufHeader, read_gguf
from parity.models.gguf_shapes import count_gguf, shape_of_gguf
from parity.models.licences import Licence, find_licence
from parity.models.model_files import FileEntry, LocalFolder, ModelFiles, read_json, weight_names
from parity.models.safetensors import SafetensorsHeader, read_safetensors
from parity.models.shapes import context_of, shape_of
from parity.models.sources import code_keys
from parity.models.template_facts import TemplateFacts, differences, facts_of
from parity.models.templates import find_template_text
from parity.models.tokenizer_facts import TokenizerFacts, find_tokenizer

# Types whose elements are not one parameter each: packed integers of quantized checkpoints.
_PACKED = frozenset({"U8", "I8", "I16", "U16", "I32", "U32", "I64", "U64", "F4", "BOOL"})


@dataclass(frozen=True, slots=True)
class Stored:
    """Tensors of one storage type in the weight files."""

    type: str
    tensors: int
    elements: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found. `shape_problem` says why there is no shape; `notes` what a reader should know besides."""

    ref: str
    kind: str
    revision: str | None
    shape: ModelShape | None
    shape_problem: str | None
    parameters: ParameterCount | None
    parameters_from: str | None
    context_tokens: int | None
    dtype: str | None
    stored: tuple[Stored, ...]
    tokenizer: TokenizerFacts | None
    template: TemplateFacts | None
    template_differences: tuple[str, ...] | None
    licence: Licence
    files: tuple[FileEntry, ...]
    notes: tuple[str, ...]

    @property
    def stored_bytes(self) -> int:
        """Bytes of all tensors in the weight files; 0 when there are none."""
        return sum(row.size_bytes for row in self.stored)


def inspect(ref: ModelRef, base: ModelRef | None = None) -> Inspection:
    """Read what a model is; with `base`, also how its chat template differs from that model's.

    Raises:
        UsageError: the name is no weights (an endpoint, a recording).
        ModelError: it is not there, or a file of it is broken: what is wrong, and at which byte.
    """
    found = _inspect(ref)
    if base is None:
        return found
    other = _inspect(base).template
    if found.template is None or other is None:
        missing = str(ref) if found.template is None else str(base)
        return replace(found, notes=(*found.notes, f"{missing} has no chat template to compare."))
    return replace(found, template_differences=differences(other.text, found.template.text))


def open_files(ref: ModelRef) -> ModelFiles | LocalBytes:
    """The folder or repository a name stands for, or the one file it is.

    Raises:
        UsageError: the name is no weights.
        ModelError: there is nothing there.
    """
    if ref.scheme is Scheme.HUB:
        return _hub_files(ref)
    if ref.scheme not in (Scheme.FOLDER, Scheme.GGUF):
        raise UsageError(f"{ref} is not weights that can be looked at.", "Name a folder, a file, or hf:org/name.")
    path = Path(ref.name).expanduser()
    if path.is_file():
        return LocalBytes(path)
    if path.is_dir() and ref.scheme is Scheme.FOLDER:
        return LocalFolder(path)
    hint = f" If you meant the hub, write hf:{ref.name}." if ref.name.count("/") == 1 else ""
    raise ModelError(f"There is no model at {path}.", "Check the path." + hint)


def _hub_files(ref: ModelRef) -> ModelFiles:
    from parity.models.remote import open_hub

    if not forbidden():
        try:
            return open_hub(ref)
        except ModelError as unreachable:
            try:
                pinned, folder = snapshot(ref)
            except ModelError:
                raise unreachable from None
            return LocalFolder(folder, pinned.revision)
    pinned, folder = snapshot(ref)
    return LocalFolder(folder, pinned.revision)


def _inspect(ref: ModelRef) -> Inspection:
    opened = open_files(ref)
    if isinstance(opened, LocalBytes):
        entry = FileEntry(opened.path.name, opened.size)
        if ref.scheme is Scheme.GGUF or opened.read(0, 4) == MAGIC or opened.path.suffix == ".gguf":
            return _gguf(ref, read_gguf(opened), entry)
        return _safetensors(ref, read_safetensors(opened), entry)
    return _folder(ref, opened)


def _gguf(ref: ModelRef, header: GgufHeader, entry: FileEntry) -> Inspection:
    shape, problem = _try_shape(lambda: shape_of_gguf(header))
    template = header.text("tokenizer.chat_template")
    notes = []
    if header.big_endian:
        notes.append("The file is big-endian: llama.cpp runs it only on a big-endian machine.")
    if header.trailing_bytes >= header.alignment:
        notes.append(f"{header.trailing_bytes:,} bytes lie behind the last tensor and belong to nothing.")
    if (parts := header.whole("split.count")) and parts > 1:
        notes.append(f"This is one of {parts} files; what is counted is in this one only.")
    if not header.tensors:
        notes.append("The file holds no tensors: a vocabulary only.")
    window = shape and header.whole(f"{shape.architecture}.attention.sliding_window")
    if window and shape and shape.architecture == "llama":
        notes.append(f"llama.cpp ignores the sliding window of {window} tokens: beyond it answers differ.")
    return Inspection(
        str(ref), "gguf", None, shape, problem,
        count_gguf(header, shape.experts if shape else None) if header.tensors else None,
        "tensors of the file" if header.tensors else None,
        shape.context_tokens if shape else None,
        shape.dtype if shape else None,
        _stored([(tensor.type.name, tensor.elements, tensor.size_bytes) for tensor in header.tensors]),
        _gguf_tokenizer(header),
        facts_of(template, "tokenizer.chat_template") if template else None,
        None, Licence(header.text("general.license"), "general.license" if header.text("general.license") else None),
        (entry,), tuple(notes),
    )  # fmt: skip


def _gguf_tokenizer(header: GgufHeader) -> TokenizerFacts | None:
    kind, before = header.text("tokenizer.ggml.model"), header.text("tokenizer.ggml.pre")
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    if kind is None:
        return None
    vocabulary = tokens.length if isinstance(tokens, GgufArray) else None
    return TokenizerFacts(f"{kind}, {before}" if before else kind, None, vocabulary, "tokenizer.ggml.model")


def _safetensors(ref: ModelRef, header: SafetensorsHeader, entry: FileEntry) -> Inspection:
    stored = _stored([(tensor.dtype, tensor.elements, tensor.end - tensor.begin) for tensor in header.tensors])
    parameters = _elements(stored)
    return Inspection(
        str(ref), "safetensors", None, None, "A safetensors file alone does not say how its tensors are used.",
        parameters, "tensors of the file" if parameters else None, None, _main_type(stored), stored,
        None, None, None, Licence(None, None), (entry,), (),
    )  # fmt: skip


def _folder(ref: ModelRef, files: ModelFiles) -> Inspection:
    names = {entry.name for entry in files.listing()}
    weights = weight_names(files)
    if "config.json" not in names and not weights:
        single = [name for name in sorted(names) if name.endswith((".gguf", ".safetensors"))]
        raise ModelError(
            f"{files.where} holds neither config.json nor model.safetensors.",
            _one_file(ref, single[0]) if single else "Check the path.",
        )
    config = read_json(files, "config.json") if "config.json" in names else {}
    shape, problem = _try_shape(lambda: shape_of(config)) if config else (None, "There is no config.json.")
    notes = [
        f"The configuration asks to run its own code ({key!r}); Parity never does." for key in code_keys(dict(config))
    ]
    notes += _incomplete(files, names, weights)
    stored = stored_in(files) if set(weights) <= names else ()
    parameters, came_from = (count(shape), "configuration") if shape else (_elements(stored), "tensors of the files")
    if shape and stored and (held := _elements(stored)) and parameters and held.total != parameters.total:
        notes.append(
            f"The files hold {held.total:,} parameters, the configuration describes {parameters.total:,} "
            "(buffers, prediction layers or a stored tied head make such a difference)."
        )
    template = find_template_text(files)
    return Inspection(
        str(ref), "hub" if ref.scheme is Scheme.HUB else "folder" if weights else "config", files.revision,
        shape, problem, parameters, came_from if parameters else None,
        context_of(config), (shape.dtype if shape else None) or _main_type(stored), stored,
        find_tokenizer(files), facts_of(*template) if template else None, None,
        find_licence(files), files.listing(), tuple(notes),
    )  # fmt: skip


def _one_file(ref: ModelRef, name: str) -> str:
    if ref.scheme is Scheme.HUB:
        return f"Download one of its files, such as {name}, and name that file."
    return f"Name one file: {ref.name.rstrip('/')}/{name}"


def _incomplete(files: ModelFiles, names: set[str], weights: tuple[str, ...]) -> list[str]:
    missing = [name for name in weights if name not in names]
    if missing:
        return [f"{len(missing)} of {len(weights)} weight files are missing: {', '.join(missing[:5])}."]
    pickled = [name for name in sorted(names) if name.endswith((".bin", ".pt", ".pth", ".ckpt"))]
    if not weights and pickled:
        return [f"The weights are pickled only ({pickled[0]}); Parity does not open them."]
    return []


def stored_in(files: ModelFiles) -> tuple[Stored, ...]:
    """What the safetensors files of a model hold, by type; empty where it has none.

    Raises:
        ModelError: one of them is broken.
    """
    headers = _headers(files, weight_names(files))
    return _stored(
        [(tensor.dtype, tensor.elements, tensor.end - tensor.begin) for header in headers for tensor in header.tensors]
    )


def _headers(files: ModelFiles, weights: tuple[str, ...]) -> list[SafetensorsHeader]:
    if isinstance(files, LocalFolder):
        return [read_safetensors(files.open(name)) for name in weights]
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(lambda name: read_safetensors(files.open(name)), weights))


def _try_shape(read: Callable[[], ModelShape]) -> tuple[ModelShape | None, str | None]:
    try:
        return read(), None
    except ModelError as error:
        return None, f"{error.what} {error.todo}".strip()


def _stored(rows: list[tuple[str, int, int]]) -> tuple[Stored, ...]:
    table: dict[str, list[int]] = {}
    for kind, elements, size_bytes in rows:
        entry = table.setdefault(kind, [0, 0, 0])
        entry[0], entry[1], entry[2] = entry[0] + 1, entry[1] + elements, entry[2] + size_bytes
    found = (Stored(kind, *numbers) for kind, numbers in table.items())
    return tuple(sorted(found, key=lambda row: -row.size_bytes))


def _main_type(stored: tuple[Stored, ...]) -> str | None:
    return stored[0].type if stored else None


def _elements(stored: tuple[Stored, ...]) -> ParameterCount | None:
    """Parameters by their number in the files; None where they are packed, or there are none."""
    if not stored or any(row.type in _PACKED for row in stored):
        return None
    total = sum(row.elements for row in stored)
    return ParameterCount(total, total, 0)
