"""Logs of Inspect (`.eval`, or its JSON), read by its own library (extra `inspect`): samples, their scores by scorer.

C is 1, I and N are 0, P a half, numbers stay; epochs are draws. A sample that ended in an error has no score.
"""

from importlib.util import find_spec
from pathlib import Path

from parity.core.runs import Marked
from parity.core.scores import Mark, Score, Unscored, UnscoredReason
from parity.errors import DataError


def is_inspect_log(path: Path) -> bool:
    """By its ending, or as JSON whose first keys are those of a log."""
    if path.suffix == ".eval":
        return True
    if path.suffix != ".json" or not path.is_file():
        return False
    with path.open("rb") as stream:
        beginning = stream.read(400)
    return b'"version"' in beginning and b'"eval"' in beginning


def read_inspect_log(path: Path, scorer: str | None = None) -> list[Marked]:
    """The marks of a log by one scorer, the only one if not named; the task is a tag.

    Raises:
        DataError: no library, no readable log, no samples, or several scorers and none named.
    """
    if find_spec("inspect_ai") is None:
        raise DataError(
            f"{path} is a log of Inspect, whose library is not installed.", "pip install 'parity-llm[inspect]'"
        )
    from inspect_ai.log import read_eval_log

    try:
        log = read_eval_log(str(path))
    except Exception as error:
        raise DataError(f"{path} cannot be read as a log of Inspect: {error}.", "Check the file.") from error
    samples = log.samples or []
    if not samples:
        raise DataError(f"{path} holds no samples.", "Run Inspect without --no-log-samples.")
    names = sorted({name for sample in samples for name in sample.scores or {}})
    if scorer is None and len(names) > 1:
        raise DataError(f"{path} has several scorers.", f"Name one: {path}#{names[0]}; it has {', '.join(names)}.")
    chosen = scorer or (names[0] if names else "")
    if chosen not in names:
        raise DataError(f"{path} has no scorer {chosen!r}.", f"It has {', '.join(names) or 'none'}.")
    tags = (("task", str(log.eval.task)),)
    return [
        Marked(str(sample.id), _mark(sample.scores, chosen, sample.error), tags, sample.epoch - 1) for sample in samples
    ]


def _mark(scores: object, scorer: str, error: object) -> Mark:
    from inspect_ai.scorer import value_to_float

    if error is not None:
        return Unscored(UnscoredReason.FAILED, str(getattr(error, "message", error))[:200])
    if not isinstance(scores, dict) or scorer not in scores:
        return Unscored(UnscoredReason.ABSENT, f"no score by {scorer}")
    value = scores[scorer].value
    if isinstance(value, str) and value not in ("C", "I", "P", "N") and not value.replace(".", "", 1).isdigit():
        return Unscored(UnscoredReason.NOT_A_NUMBER, f"{scorer} = {value!r}")
    number = value_to_float()(value)
    if not 0 <= number <= 1:
        return Unscored(UnscoredReason.NOT_A_NUMBER, f"{scorer} = {value!r}")
    return Score(float(number), str(scores[scorer].answer or "")[:200])
