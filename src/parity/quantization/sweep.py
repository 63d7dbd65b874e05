"""The sweep: one model in many types, each measured the same way, and the smallest that is still good enough.

Reads top to bottom: the unquantized file, every type from it, then size, speed and loss of each, and its gap on a task.
Non-inferiority is tested from the largest file to the smallest, each test at full alpha, until one fails: the order is
fixed by sizes before a question is asked, so the claims hold together without a correction (`stats.multiplicity`).
Everything is kept as it comes; the same command goes on.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from parity.benchmarks.base import Benchmark
from parity.core.digests import digest
from parity.core.gaps import Verdict
from parity.core.quantized import Speed
from parity.core.refs import ModelRef, Scheme
from parity.core.swept import Sweep, Swept
from parity.engines.llamacpp import LlamaCppEngine
from parity.engines.llamacpp.library import PINNED
from parity.engines.llamacpp.loading import default_threads
from parity.engines.open import EngineOptions
from parity.errors import DataError, Unscorable
from parity.files import read_text
from parity.measurement.comparison import gap_of
from parity.measurement.ledger import Asked, Claim, Purse, look_of
from parity.measurement.measure import MeasureSpec, measure
from parity.measurement.results import Measured
from parity.quantization.check_outputs import TEXTS
from parity.quantization.gguf_source import open_gguf
from parity.quantization.losses import Reference, loss, reference, rows_of
from parity.quantization.sweep_files import SweepFiles, SweepSpec, make_files, open_out, plan_of, size_of
from parity.quantization.sweep_notes import SweepNotes
from parity.quantization.writing import Progress
from parity.stats.multiplicity import fixed_sequence
from parity.store import Workspace
from parity.store.ledger import LookRecord

PARALLEL = 8
_PROMPT_TOKENS, _WRITTEN_TOKENS = 256, 32


@dataclass(frozen=True, slots=True)
class Task:
    """Items on which what is lost is counted in right answers. Of `asked` the candidates are filled in here."""

    benchmark: Benchmark
    workspace: Workspace
    asked: MeasureSpec


def sweep(spec: SweepSpec, task: Task | None = None, on_progress: Progress | None = None) -> Sweep:
    """Make and measure every type.

    Raises:
        UsageError: no or unknown types, or options that do not go together.
        ModelError, EngineError, DataError: as `quantize` and `measure`.
        StoreError: the folder holds a sweep of something else, or the disk is full.
    """
    show = on_progress or (lambda what, done, total: None)
    text = read_text(spec.text, "text", DataError) if spec.text else "\n\n".join(TEXTS)
    notes = SweepNotes(open_out(spec), plan_of(spec))
    made = make_files(spec, show)
    threads = spec.threads or default_threads()
    how = f"{_PROMPT_TOKENS} read, {_WRITTEN_TOKENS} written, {PARALLEL} at once, {threads} threads, {PINNED}"
    measuring = _Measuring(spec, notes, digest([text, spec.text_tokens]), how, show)
    first, *rest = measuring.rows(made, text)
    if task is not None:
        first, *rest = _compared(task, first, rest, spec, show)
    return Sweep(
        str(spec.model), first, tuple(rest), made.skipped, made.importance, task.benchmark.name if task else None,
        bool(spec.text and spec.importance and spec.text.resolve() == spec.importance.resolve()),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Measuring:
    """Size, speed and loss of files; what the notes know is not measured again.

    `text`: the loss's text by digest. `how`: the way speeds are timed.
    """

    spec: SweepSpec
    notes: SweepNotes
    text: str
    how: str
    show: Progress

    def rows(self, made: SweepFiles, content: str) -> Iterator[Swept]:
        """The unquantized file, then the others; one model is in memory at a time."""
        base = made.base_type
        speed = self.notes.speed(base, self.how)
        missing = any(self.notes.loss(name, self.text) is None for name in made.files)
        with reference(self.spec.out) as expected:
            if speed is None or missing:
                with self._engine(made.base) as engine:
                    if missing:
                        rows = rows_of(engine, content, self.spec.text_tokens)
                        expected.compute(engine, rows, self._counting(base))
                    speed = self._speed(engine, base)
            yield _row(base, made.base, speed)
            for name, file in made.files.items():
                yield self._other(name, file, expected)

    def _other(self, name: str, file: Path, expected: Reference) -> Swept:
        lost, speed = self.notes.loss(name, self.text), self.notes.speed(name, self.how)
        if lost is None or speed is None:
            with self._engine(file) as engine:
                if lost is None:
                    lost = loss(expected, engine, self._counting(name))
                    self.notes.put_loss(name, self.text, lost)
                speed = self._speed(engine, name)
        return replace(_row(name, file, speed), loss=lost)

    def _counting(self, name: str) -> Callable[[int, int], None]:
        return lambda done, total: self.show(f"{name}: reading the text", done, total)

    @contextmanager
    def _engine(self, path: Path) -> Iterator[LlamaCppEngine]:
        engine = LlamaCppEngine(ModelRef(Scheme.GGUF, str(path)), EngineOptions(threads=self.spec.threads or 0))
        try:
            yield engine
        finally:
            engine.close()

    def _speed(self, engine: LlamaCppEngine, name: str) -> Speed:
        known = self.notes.speed(name, self.how)
        if known is not None:
            return known
        self.show(f"{name}: timing", 0, 1)
        context = engine.capabilities.context_tokens or _PROMPT_TOKENS + _WRITTEN_TOKENS
        written = min(_WRITTEN_TOKENS, max(1, context // 8))
        found = engine.speed(max(1, min(_PROMPT_TOKENS, context - written)), written, PARALLEL)
        self.show(f"{name}: timing", 1, 1)
        self.notes.put_speed(name, self.how, found)
        return found


def _row(name: str, path: Path, speed: Speed) -> Swept:
    elements = stored = 0
    for tensor in open_gguf(path).tensors:
        count = 1
        for extent in tensor.shape:
            count *= extent
        assert tensor.verbatim is not None
        elements, stored = elements + count, stored + tensor.verbatim.size_bytes
    return Swept(name, path, size_of(path), 8 * stored / elements, speed)


def _compared(task: Task, base: Swept, rest: Sequence[Swept], spec: SweepSpec, show: Progress) -> Iterator[Swept]:
    """Every row with its gap to the unquantized file, and whether it is claimed non-inferior.

    The whole sequence of tests is one look at one question of the workspace's ledger.
    """
    ask = _asker(task, spec, show)
    theirs = ask(base)
    yield replace(base, run_id=theirs.run_id)
    asked: list[tuple[Swept, Measured | None]] = []
    for row in rest:
        try:
            ours = ask(row)
            asked.append((replace(row, run_id=ours.run_id), ours))
        except Unscorable as error:  # two bits may leave a model that answers nothing: that is a finding
            asked.append((replace(row, failed=error.what), None))
    margin, total = task.asked.margin, task.asked.alpha
    look = _look(task, spec, base, [theirs.run_id, *(row.run_id or row.type for row, _ in asked)])
    alpha = look.alpha if look else total
    rows = [replace(row, gap=gap_of(ours.marks, theirs.marks, margin, alpha) if ours else None) for row, ours in asked]
    yield from rows if margin is None else _claimed(task, rows, theirs, look)


def _claimed(task: Task, rows: Sequence[Swept], theirs: Measured, look: LookRecord | None) -> Iterator[Swept]:
    """Claims in the order of the rows; the look is concluded with the last type that is claimed, or the first."""
    passed = [row.gap is not None and row.gap.verdict in (Verdict.SUPERIOR, Verdict.NON_INFERIOR) for row in rows]
    claimed = fixed_sequence(passed).tolist()
    deciding = max(0, sum(claimed) - 1)
    for at, row in enumerate(rows):
        gap = row.gap
        if gap is not None and look is not None:
            runs = (row.run_id or "", theirs.run_id)
            purse = Purse(task.workspace, task.asked.question)
            gap = purse.conclude(gap, look, runs) if at == deciding else look_of(gap, look)
        yield replace(row, gap=gap, claimed=claimed[at])


def _look(task: Task, spec: SweepSpec, base: Swept, runs: Sequence[str]) -> LookRecord | None:
    if task.asked.margin is None or not task.asked.ledger:
        return None
    asked = Asked(str(spec.model), f"gguf:{base.file}", task.benchmark.name)
    claim = Claim(task.asked.margin, task.asked.alpha)
    return Purse(task.workspace, task.asked.question).enter(asked, ("sweep", *runs), claim)


def _asker(task: Task, spec: SweepSpec, show: Progress) -> Callable[[Swept], Measured]:
    options = replace(task.asked.options, threads=spec.threads or task.asked.options.threads)

    def ask(row: Swept) -> Measured:
        asked = replace(
            task.asked, candidates=(ModelRef(Scheme.GGUF, str(row.file)),), incumbent=None, margin=None, options=options
        )
        return measure(asked, task.benchmark, task.workspace, show).measured[0]

    return ask
