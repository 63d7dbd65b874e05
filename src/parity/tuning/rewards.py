"""What an answer is worth while it is trained: a marker of Parity, or a reward model that was trained here.

Markers are rules of `marking`; an answer that names nothing is worth 0, never an error.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from parity.errors import UsageError, did_you_mean
from parity.marking import text

Reward = Callable[..., list[float | None]]
_PATTERN = "pattern:"
_MARKERS: Mapping[str, Callable[[str, tuple[str, ...]], float]] = {
    "exact": lambda answer, targets: text.exact(answer, targets).value,
    "numeric": lambda answer, targets: text.numeric(answer, targets).value,
}


def find_reward(name: str, prompt_ids: Mapping[str, list[int]]) -> Reward:
    """A reward by name: exact, numeric, pattern:EXPRESSION, or the folder of a reward model.

    Raises:
        UsageError: no marker or folder of that name, or an expression that is none.
    """
    if (Path(name) / "manifest.json").is_file() or (Path(name) / "config.json").is_file():
        return _model(Path(name), prompt_ids)
    return marker(name)


def marker(name: str) -> Reward:
    """A reward that compares answers with the row's targets.

    Raises:
        UsageError: as `find_reward`.
    """
    if name.startswith(_PATTERN):
        expression = name.removeprefix(_PATTERN)
        try:
            re.compile(expression)
        except re.error as error:
            raise UsageError(f"{expression!r} is no regular expression: {error}.", "See docs/tune.md.") from error
        return _by_target(lambda answer, targets: text.pattern(answer, targets, expression).value, "pattern")
    if name not in _MARKERS:
        raise UsageError(f"There is no reward {name!r}.", did_you_mean(name, [*_MARKERS, "pattern:EXPRESSION"]))
    return _by_target(_MARKERS[name], name)


def from_function(judge: Callable[[str, tuple[str, ...]], float], name: str = "reward") -> Reward:
    """A reward from any function of an answer and its row's targets."""
    return _by_target(judge, name)


def _by_target(judge: Callable[[str, tuple[str, ...]], float], name: str) -> Reward:
    def reward(completions: list[str], targets: list[list[str]], **_: Any) -> list[float | None]:
        return [judge(answer, tuple(wanted)) for answer, wanted in zip(completions, targets, strict=True)]

    reward.__name__ = name
    return reward


def _model(folder: Path, prompt_ids: Mapping[str, list[int]]) -> Reward:
    """Scores of a reward model over the very tokens of prompt and answer; it must share the policy's tokenizer."""
    from parity.tuning.scoring import load_reward_model

    model = load_reward_model(folder)

    def reward(prompts: list[str], completion_ids: list[list[int]], **_: Any) -> list[float | None]:
        rows = [[*prompt_ids[prompt], *ids] for prompt, ids in zip(prompts, completion_ids, strict=True)]
        return [model.score(row) for row in rows]

    reward.__name__ = "reward_model"
    return reward
