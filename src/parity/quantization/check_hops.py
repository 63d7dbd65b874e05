"""What is compared across each hop, and what of it is a fault.

A hop's function is handed what is before and after it, opened; which files those are is the business of `check`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parity.core.checked import Aspect, Conversations, Hop, HopName, Problem
from parity.engines.llamacpp import LlamaCppEngine
from parity.errors import ParityError
from parity.models.templates import find_template
from parity.quantization.check_conversations import conversations
from parity.quantization.check_header import header_problems, template_problems, vocabulary_problems
from parity.quantization.check_outputs import agreement, continuations, greedy_problems, output_problems
from parity.quantization.check_tensors import EXACT, QUANTIZED_AWAY, tensor_problems
from parity.quantization.check_tokens import HARD_TEXTS, composed, id_problems
from parity.quantization.models import GgufModel
from parity.quantization.reference import Computes, FolderModel

# Mean divergence, in nats: rounding only; weights rounded to 16 bits; and the most quantizing loses without fault.
EXACT_KL, ROUNDED_KL, LOSSY_KL = 1e-4, 1e-2, 1.0
_TEXT_TOKENS, _PROMPT_TOKENS, _CONTINUED_TOKENS = 128, 16, 48
Found = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a hop: what it is called, and what computes there; None where nothing does, and why."""

    label: str
    computes: Computes | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """Token ids that outputs are compared on: whole texts, and beginnings to write on from by so many `tokens`."""

    rows: tuple[tuple[int, ...], ...]
    prompts: tuple[tuple[int, ...], ...]
    tokens: int


def probe_of(texts: Sequence[str], folder: FolderModel) -> Probe:
    """Texts as the folder's tokenizer reads them, cut to what its context holds."""
    room = folder.context_tokens or _TEXT_TOKENS
    rows = [tuple(folder.tokenizer.encode(text))[: min(_TEXT_TOKENS, room)] for text in texts]
    tokens = min(_CONTINUED_TOKENS, room - _PROMPT_TOKENS)
    prompts = [row[:_PROMPT_TOKENS] for row in rows if row] if tokens > 0 else []
    return Probe(tuple(rows), tuple(prompts), max(0, tokens))


def problems_at(hop: HopName, aspect: Aspect, found: Found) -> list[Problem]:
    return [Problem(hop, aspect, *one) for one in found]


def compared(
    name: HopName, before: Side, after: Side, probe: Probe, limit: float, exact: bool
) -> tuple[Hop, list[Problem]]:
    """Outputs and greedy text across a hop; where the hop is `exact`, text that parts is a fault too."""
    missing = next((side for side in (before, after) if side.computes is None), None)
    if missing is not None:
        fault = [Problem(name, "outputs", "it cannot be run", missing.why)] if missing is after else []
        return Hop(name, before.label, after.label, note=missing.why), fault
    assert before.computes is not None
    assert after.computes is not None
    try:
        outputs = agreement(before.computes, after.computes, probe.rows)
        continued = continuations(before.computes, after.computes, probe.prompts, probe.tokens)
    except ParityError as error:
        return (
            Hop(name, before.label, after.label, note=error.what),
            [Problem(name, "outputs", "it cannot be run", error.what)],
        )
    problems = problems_at(name, "outputs", output_problems(outputs, limit))
    if exact:
        problems += problems_at(name, "greedy", greedy_problems(continued))
    return Hop(name, before.label, after.label, outputs, continued), problems


def merged_faults(base: GgufModel, merged: GgufModel, before: Any, after: Any) -> list[Problem]:
    """What merging must leave alone: configuration, template, tokenizer (of transformers, before and after)."""
    found = _said(base, merged, "merged")
    expected, ids = ([tokenizer.encode(text) for text in HARD_TEXTS] for tokenizer in (before, after))
    return found + problems_at("merged", "tokenizer", id_problems(HARD_TEXTS, expected, ids))


def merged_outputs(
    base: FolderModel, adapted: FolderModel, merged: FolderModel, probe: Probe, limit: float
) -> tuple[Hop, list[Problem]]:
    """Base and adapter together against the merged model; one that is nearer to the base alone is stale."""
    before, after = Side(f"{base.folder.name} with its adapter", adapted), Side(merged.folder.name, merged)
    hop, problems = compared("merged", before, after, probe, limit, exact=False)
    if hop.outputs is None or not problems:
        return hop, problems
    alone = agreement(base, merged, probe.rows).kl_mean
    stale = alone < hop.outputs.kl_mean
    cause = "stale adapter" if stale else "wrong merge"
    seen = f"{problems[0].seen}; from the base alone {alone:.2g}"
    return hop, [Problem("merged", "outputs", cause, seen)]


def conversion_faults(
    folder: GgufModel, file: GgufModel, unmerged: GgufModel | None, tokenizer: Any, engine: LlamaCppEngine | None,
    rounded: HopName,
) -> list[Problem]:  # fmt: skip
    """What a file says and holds against its folder. Values beyond what a type of few bits loses are a fault of the
    hop `rounded`; all else was lost on the way to GGUF."""
    found = _said(folder, file, "gguf")
    for cause, seen in tensor_problems(folder, file, unmerged):
        found.append(Problem(rounded if cause == QUANTIZED_AWAY else "gguf", "tensors", cause, seen))
    if engine is not None:
        texts = composed(HARD_TEXTS, tokenizer)
        found += _ids("gguf", texts, [tokenizer.encode(text) for text in texts], engine)
    return found


def quantizing_faults(
    exact: GgufModel, file: GgufModel, before: LlamaCppEngine | None, after: LlamaCppEngine | None
) -> list[Problem]:
    """What quantizing must leave alone, and values beyond what the types lose."""
    found = _said(exact, file, "quantized")
    found += problems_at("quantized", "tensors", tensor_problems(exact, file, None))
    if before is not None and after is not None:
        found += _ids("quantized", HARD_TEXTS, before.encode(HARD_TEXTS), after)
    return found


def chat_hop(
    folder: FolderModel, file: Path, engine: LlamaCppEngine
) -> tuple[Hop, list[Problem], Conversations | None]:
    """Hard conversations through the engine; None where neither folder nor file has a template."""
    template, label = find_template(folder.folder), f"{file.name} through the engine"
    if template is None or not engine.capabilities.chat:
        lacking = "folder" if template is None else "file"
        return Hop("chat", file.name, label, note=f"the {lacking} has no chat template"), [], None
    try:
        found, faults = conversations(template, folder.tokenizer, folder.ends, engine, file)
    except ParityError as error:
        return (
            Hop("chat", file.name, label, note=error.what),
            [Problem("chat", "conversations", "it cannot chat", error.what)],
            None,
        )
    return Hop("chat", file.name, label), problems_at("chat", "conversations", faults), found


def is_exact(model: GgufModel, types: frozenset[str] = EXACT) -> bool:
    """Whether no tensor has fewer bits than these types."""
    return all(tensor.type in types for tensor in model.tensors)


def _said(before: GgufModel, after: GgufModel, hop: HopName) -> list[Problem]:
    """What a header says of itself."""
    return [
        *problems_at(hop, "tokenizer", vocabulary_problems(before, after)),
        *problems_at(hop, "configuration", header_problems(before, after)),
        *problems_at(hop, "template", template_problems(before, after)),
    ]


def _ids(
    hop: HopName, texts: Sequence[str], expected: Sequence[Sequence[int]], engine: LlamaCppEngine
) -> Iterator[Problem]:
    try:
        found = engine.encode(texts)
    except ParityError as error:
        yield Problem(hop, "tokenizer", "the tokenizer cannot run", error.what)
        return
    yield from problems_at(hop, "tokenizer", id_problems(texts, expected, found))
