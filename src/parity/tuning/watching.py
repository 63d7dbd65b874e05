"""What is seen of a training while it runs: the curve on disk, progress, and Ctrl-C as "save, then stop".

The curve is appended a line at a time, so a kill loses nothing; a resumed run cuts it back to where it goes on.
"""

import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from transformers import EarlyStoppingCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from parity.errors import EngineError


@dataclass(frozen=True, slots=True)
class Point:
    """One step: mean `loss` in nats a token (or the method's own), tokens so far, seconds of computing so far.

    `dev` is the loss on dev rows where it was looked at; `metrics` what else the method reports (reward, kl, ...).
    """

    step: int
    loss: float
    tokens: int
    seconds: float
    rate: float
    dev: float | None = None
    metrics: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """Progress for people. `tokens_per_s` and `seconds_left` None until they are known, `steps` in other processes."""

    step: int
    steps: int | None
    loss: float
    tokens_per_s: float | None
    seconds_left: float | None
    dev: float | None


OnStep = Callable[[Seen], None]
_METRICS = (
    "reward", "reward_std", "kl", "entropy", "completions/mean_length", "rewards/accuracies", "rewards/margins",
    "rewards/chosen", "rewards/rejected", "accuracy", "margin", "logps/chosen", "logps/rejected", "grad_norm",
)  # fmt: skip


class Curve:
    """The points of a run in `curve.jsonl`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def points(self) -> tuple[Point, ...]:
        """Everything so far; a line that a crash cut off is left out."""
        if not self._path.is_file():
            return ()
        found = []
        for line in self._path.read_text().splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            metrics = tuple((name, value) for name, value in row["metrics"].items())
            found.append(Point(**{**row, "metrics": metrics}))
        return tuple(found)

    def cut(self, step: int) -> Point | None:
        """Drop what came after `step`; returns the last point that is left."""
        kept = [point for point in self.points() if point.step <= step]
        self._path.write_text("".join(map(_line, kept)))
        return kept[-1] if kept else None

    def add(self, point: Point) -> None:
        with self._path.open("a") as stream:
            stream.write(_line(point))

    def amend(self, dev: float) -> None:
        """Put a look at dev onto the last point."""
        points = list(self.points())
        if points:
            points[-1] = replace(points[-1], dev=dev)
            self._path.write_text("".join(map(_line, points)))


def _line(point: Point) -> str:
    row = {name: getattr(point, name) for name in Point.__dataclass_fields__}
    return json.dumps({**row, "metrics": dict(point.metrics)}) + "\n"


class Watcher(TrainerCallback):
    """Writes the curve, tells people, stops after Ctrl-C with a checkpoint, and refuses to go on with NaN."""

    def __init__(
        self, curve: Curve, step_tokens: tuple[int, ...], on_step: OnStep | None, before: Point | None
    ) -> None:
        self._curve, self._step_tokens, self._on_step = curve, step_tokens, on_step
        self._seconds = before.seconds if before else 0.0
        self._since = time.monotonic()
        self._begun: tuple[int, float] | None = None
        self._dev: float | None = None
        self.interrupted = False

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._since = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        self._seconds += time.monotonic() - self._since
        self._begun = self._begun or (state.global_step, time.monotonic())
        if self.interrupted:
            control.should_save = control.should_training_stop = True
        return control

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        logs: dict[str, float] = given["logs"]
        if not state.is_world_process_zero:
            return
        if "eval_loss" in logs:
            self._dev = logs["eval_loss"]
            self._curve.amend(self._dev)
        if "loss" not in logs:
            return
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise EngineError(
                f"The loss at step {state.global_step} is {loss}: this training has gone wrong.",
                "Lower learning_rate, or look at the rows (parity data audit). Checkpoints before it are kept.",
            )
        metrics = tuple((name, float(logs[name])) for name in _METRICS if name in logs)
        tokens = sum(self._step_tokens[: state.global_step])
        self._curve.add(
            Point(state.global_step, loss, tokens, self._seconds, logs.get("learning_rate", 0.0), None, metrics)
        )
        if self._on_step:
            self._on_step(self._seen(state, loss))

    def _seen(self, state: TrainerState, loss: float) -> Seen:
        step, steps = state.global_step, state.max_steps
        if self._begun is None or step <= self._begun[0]:
            return Seen(step, steps, loss, None, None, self._dev)
        spent = time.monotonic() - self._begun[1]
        done = sum(self._step_tokens[self._begun[0] : step])
        left = spent / (step - self._begun[0]) * (steps - step)
        return Seen(step, steps, loss, done / spent if done else None, left, self._dev)


class Patience(EarlyStoppingCallback):
    """Early stopping that, after a stop, counts the looks at dev from before it: transformers begins again at 0."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        super().on_train_begin(args, state, control, **given)
        best = math.inf
        for look in (row["eval_loss"] for row in state.log_history if "eval_loss" in row):
            self.early_stopping_patience_counter = 0 if look < best else self.early_stopping_patience_counter + 1
            best = min(best, look)


@contextmanager
def interruptible(watcher: Watcher) -> Iterator[None]:
    """The first Ctrl-C lets the step end and saves; the second stops at once, and what was saved before is kept."""

    def first(number: int, frame: FrameType | None) -> None:
        watcher.interrupted = True
        signal.signal(signal.SIGINT, before)

    try:
        before = signal.signal(signal.SIGINT, first)
    except ValueError:  # not the main thread: whoever owns the signals decides
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
