"""check: is a GGUF file the model it was made from? Hop by hop; the first hop that fails is named, with its cause.

Hops: tokenizer, configuration, chat template, tensors (against what Parity would convert, byte rules and all), and
outputs (llama.cpp against transformers on the same ids). A hop before explains a hop after, so causes come in order.
"""

from collections.abc import Sequence
from pathlib import Path

from parity.core.checked import Agreement, Checked, Hop, Problem
from parity.core.refs import ModelRef
from parity.engines.llamacpp import LlamaCppEngine
from parity.engines.open import EngineOptions
from parity.errors import ParityError
from parity.quantization.check_header import header_problems, template_problems, tokenizer_problems
from parity.quantization.check_outputs import agreement, output_problems
from parity.quantization.check_tensors import tensor_problems
from parity.quantization.convert import open_folder
from parity.quantization.gguf_source import open_gguf
from parity.quantization.models import GgufModel


def check(base: Path, file: Path, texts: Sequence[str], unmerged: Path | None = None) -> Checked:
    """Compare a GGUF file with the transformers folder it was made from.

    `unmerged` is the folder before an adapter was merged into `base`, by which a stale adapter is known.

    Raises:
        ModelError: one of the two is missing, broken, or of an architecture that is not converted here.
    """
    ours, theirs = open_folder(base), open_gguf(file)
    before = open_folder(unmerged) if unmerged else None
    found: list[tuple[Hop, str, str]] = []
    found += [("configuration", *problem) for problem in header_problems(ours, theirs)]
    found += [("template", *problem) for problem in template_problems(ours, theirs)]
    found += [("tensors", *problem) for problem in tensor_problems(ours, theirs, before)]
    outputs: Agreement | None = None
    engine: LlamaCppEngine | None = None
    try:
        engine = LlamaCppEngine(ModelRef.parse(f"gguf:{file}"), EngineOptions())
        outputs = agreement(base, engine, texts)
        found += [("outputs", *problem) for problem in output_problems(outputs, _lossy(theirs))]
    except ParityError as error:
        found.append(("outputs", "llama.cpp cannot run the file", error.what))
    try:
        found += [("tokenizer", *problem) for problem in tokenizer_problems(base, engine, ours, theirs)]
    finally:
        if engine is not None:
            engine.close()
    ranked = sorted(found, key=lambda problem: _ORDER.index(problem[0]))
    return Checked(str(base), str(file), tuple(Problem(*problem) for problem in ranked), outputs)


_ORDER = ("tokenizer", "configuration", "template", "tensors", "outputs")


def _lossy(model: GgufModel) -> bool:
    return any(tensor.type not in ("F32", "F16", "BF16") for tensor in model.tensors)
