"""check: is a GGUF file still the model it was made from? Hop by hop; the first one that fails is named, and its cause.

Reads top to bottom: base and adapter to one model; to GGUF, where nothing is rounded; to fewer bits; to answers through
the engine. What is needed on the way and was not named is made beside the file, and is gone afterwards.
"""

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from parity.core.checked import Checked, Hop, HopName, Problem, Task, in_order
from parity.core.gaps import Gap, Verdict
from parity.core.refs import ModelRef, Scheme
from parity.engines.llamacpp import LlamaCppEngine
from parity.engines.open import EngineOptions
from parity.errors import ModelError, ParityError, StoreError, UsageError
from parity.models.merge import merge_adapter
from parity.quantization import check_hops as hops
from parity.quantization.check_hops import Side
from parity.quantization.check_outputs import TEXTS
from parity.quantization.convert import open_folder
from parity.quantization.gguf_source import open_gguf
from parity.quantization.quantize import QuantizeSpec, quantize
from parity.quantization.reference import FolderModel

Progress = Callable[[str, int, int], None]
# From two models, before and after, to a benchmark's name and the gap on it.
TaskGap = Callable[[ModelRef, ModelRef], tuple[str, Gap]]


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """What is checked. `base`: the transformers folder; with an `adapter`, that before merging. `merged`: the merged
    folder, where there is one already. `exact`: the F32, F16 or BF16 file that `file` was quantized from."""

    base: Path
    file: Path
    texts: Sequence[str] = TEXTS
    adapter: Path | None = None
    merged: Path | None = None
    exact: Path | None = None
    task: TaskGap | None = None


def check(spec: CheckSpec, on_progress: Progress | None = None) -> Checked:
    """Compare a GGUF file with what it was made from, across every hop.

    Raises:
        ModelError: a part is missing, broken, or of an architecture that is not converted here.
        UsageError: `exact` is quantized itself, or no text can be compared.
        StoreError: there is no room for a merged model.
    """
    scratch = spec.file.with_name(f".{spec.file.name}.check")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        with ExitStack() as stack:
            return _Way(spec, scratch, on_progress or (lambda what, done, total: None), stack).walk()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


class _Way:
    """Everything opened on the way from the base to an answer, and what was found at each hop."""

    def __init__(self, spec: CheckSpec, scratch: Path, show: Progress, stack: ExitStack) -> None:
        self._spec, self._scratch, self._show, self._stack = spec, scratch, show, stack
        self._file = open_gguf(spec.file)
        self._lossless = hops.is_exact(self._file)
        self._exact = open_gguf(spec.exact) if spec.exact else None
        if self._exact is not None and not hops.is_exact(self._exact):
            raise UsageError(
                f"{spec.exact} is quantized itself.", "Name the F32, F16 or BF16 file that the other was made from."
            )
        self._merged = FolderModel(self._merged_folder())
        self._folder = open_folder(self._merged.folder)
        self._probe = hops.probe_of(spec.texts, self._merged)
        self._hops: list[Hop] = []
        self._problems: list[Problem] = []

    def walk(self) -> Checked:
        spec, name = self._spec, "checking"
        self._show(name, 0, 5)
        self._merging()
        self._show(name, 1, 5)
        engine, why = self._engine(spec.file)
        exact = self._converting(engine, why)
        self._show(name, 2, 5)
        self._quantizing(exact, Side(spec.file.name, engine, why))
        self._show(name, 3, 5)
        conversations = None
        if engine is not None:
            hop, faults, conversations = hops.chat_hop(self._merged, spec.file, engine)
            self._add(hop, faults)
        self._show(name, 4, 5)
        task = self._task()
        self._show(name, 5, 5)
        problems = in_order(self._problems)
        return Checked(str(spec.base), str(spec.file), tuple(self._hops), problems, conversations, task)

    def _merged_folder(self) -> Path:
        spec = self._spec
        if spec.merged is not None:
            return spec.merged
        if spec.adapter is None:
            return spec.base
        return merge_adapter(spec.base, spec.adapter, self._scratch / "merged", self._show).folder

    def _merging(self) -> None:
        spec = self._spec
        if self._merged.folder == spec.base:
            return
        base = FolderModel(spec.base)
        faults: list[Problem] = []
        if spec.adapter is None:
            note = "no adapter was named: what the merged model should say is not known"
            hop = Hop("merged", spec.base.name, self._merged.folder.name, note=note)
        else:
            limit = hops.EXACT_KL if hops.is_exact(self._folder, frozenset({"F32"})) else hops.ROUNDED_KL
            adapted = FolderModel(spec.base, spec.adapter)
            hop, faults = hops.merged_outputs(base, adapted, self._merged, self._probe, limit)
        said = hops.merged_faults(open_folder(spec.base), self._folder, base.tokenizer, self._merged.tokenizer)
        self._add(hop, [*said, *faults])

    def _converting(self, engine: LlamaCppEngine | None, why: str) -> Side:
        """The hop to GGUF; returns the side on which nothing is quantized."""
        spec, model, running = self._spec, self._exact or self._file, engine
        if spec.exact is not None:
            running, why = self._engine(spec.exact)
            side = Side(spec.exact.name, running, why)
        else:
            side = Side(spec.file.name, engine, why) if self._lossless else self._converted()
        unmerged = open_folder(spec.base) if self._merged.folder != spec.base else None
        ours = spec.exact is None and not self._lossless
        rounded: HopName = "quantized" if ours else "gguf"
        faults = hops.conversion_faults(self._folder, model, unmerged, self._merged.tokenizer, running, rounded)
        whole = ours or hops.is_exact(model, frozenset({"F32"}))
        limit = hops.EXACT_KL if whole else hops.ROUNDED_KL
        before = Side(self._merged.folder.name, self._merged)
        hop, outputs = hops.compared("gguf", before, side, self._probe, limit, exact=whole)
        self._add(hop, [*faults, *outputs])
        return side

    def _converted(self) -> Side:
        """The folder as an F32 file of our own making, so that conversion and quantizing are told apart."""
        target, label = self._scratch / "exact.gguf", "an F32 file made for this"
        self._scratch.mkdir(parents=True, exist_ok=True)
        try:
            quantize(QuantizeSpec(ModelRef(Scheme.FOLDER, str(self._merged.folder)), "F32", target), self._show)
        except (ModelError, StoreError) as error:
            return Side(label, None, f"no F32 file could be made: {error.what}")
        return Side(label, *self._engine(target))

    def _quantizing(self, exact: Side, file: Side) -> None:
        if self._lossless and self._exact is None:
            return
        faults: list[Problem] = []
        if self._exact is not None:
            running = [side.computes if isinstance(side.computes, LlamaCppEngine) else None for side in (exact, file)]
            faults = hops.quantizing_faults(self._exact, self._file, *running)
        before = exact if exact.computes is not None else Side(self._merged.folder.name, self._merged)
        limit = hops.ROUNDED_KL if self._lossless else hops.LOSSY_KL
        hop, outputs = hops.compared("quantized", before, file, self._probe, limit, exact=False)
        self._add(hop, [*faults, *outputs])

    def _task(self) -> Task | None:
        """The gap on a benchmark; a verdict of INFERIOR is a fault of what lies between folder and answers."""
        if self._spec.task is None:
            return None
        models = ModelRef(Scheme.FOLDER, str(self._merged.folder)), ModelRef.parse(f"gguf:{self._spec.file}")
        name, gap = self._spec.task(*models)
        if gap.verdict is Verdict.INFERIOR:
            interval = f"95 % interval {100 * gap.low:+.2f} to {100 * gap.high:+.2f}"
            seen = f"{100 * gap.gap:+.2f} points on {name} ({interval})"
            self._problems.append(Problem("chat", "task", "worse on the task", seen))
        return Task(name, gap)

    def _engine(self, file: Path) -> tuple[LlamaCppEngine | None, str]:
        """The file, running; or None, and why not."""
        try:
            engine = LlamaCppEngine(ModelRef.parse(f"gguf:{file}"), EngineOptions())
        except ParityError as error:
            return None, f"llama.cpp cannot run it: {error.what}"
        self._stack.callback(engine.close)
        return engine, ""

    def _add(self, hop: Hop, problems: Sequence[Problem]) -> None:
        self._hops.append(hop)
        self._problems += problems
