"""What a refusal means: try again, fail this item, or stop the run. Reads status, headers and body; sends nothing."""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeAlias

from parity.core.outputs import FailureKind
from parity.errors import EngineError

Hide: TypeAlias = Callable[[str], str]
LONGEST_WAIT_S = 120.0
_CONGESTED = frozenset({429, 503, 504, 529})
_AGAIN = frozenset({408, 409, 425, 429})
_CONTEXT = re.compile(
    r"context_length_exceeded|exceed_context_size|prompt is too long|maximum context length|context window"
    r"|exceeds? the available context|context size has been exceeded|exceed context limit"
    r"|input token count .* exceeds|longer than the model's context",
    re.I,
)
_WITHHELD = frozenset({"content_filter", "content_policy_violation", "invalid_prompt", "ResponsibleAIPolicyViolation"})
_UNPAID = re.compile(
    r"insufficient_quota|billing_hard_limit|billing_error|credit balance is too low|API usage limits", re.I
)
_OUR_FIELDS = (
    "temperature",
    "top_p",
    "seed",
    "stop",
    "stop_sequences",
    "max_tokens",
    "max_completion_tokens",
    "echo",
    "logprobs",
    "stream_options",
)
_FIELD_REFUSED = re.compile(
    r"unsupported_(parameter|value)|unknown_parameter|unknown name|extra inputs|deprecated", re.I
)


class ItemFault(Exception):
    """This request has no answer; others may."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind, self.message = kind, message


class Trouble(Exception):
    """It may work when tried again, after `wait_s` where the server named a time."""

    def __init__(self, message: str, wait_s: float | None = None, congested: bool = False) -> None:
        super().__init__(message)
        self.message, self.wait_s, self.congested = message, wait_s, congested


class FieldRefused(EngineError):
    """The endpoint does not take a field that every request has."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error body, whatever its shape: what it says and the machine-readable names in it."""

    message: str
    names: frozenset[str] = frozenset()

    @property
    def searchable(self) -> str:
        return " ".join((*sorted(self.names), self.message))


def judge(status: int, headers: Mapping[str, str], refusal: Refusal, asked: str) -> Exception:
    """The exception that a refused request is; `asked` names model and host for people.

    An error in the middle of a stream has status 500, whatever the server meant.
    """
    said = f"{asked} answered {status}: {refusal.message}"
    if _CONTEXT.search(refusal.searchable) and status not in (401, 403):
        return ItemFault(FailureKind.CONTEXT_EXCEEDED, said)
    if refusal.names & _WITHHELD:
        return ItemFault(FailureKind.REFUSED, said)
    stop = _stop(status, refusal, said, asked)
    if stop is not None:
        return stop
    wish = headers.get("x-should-retry", "").lower()
    if wish == "true" or (wish != "false" and (status in _AGAIN or status >= 500)):
        return Trouble(said, wait_s(headers), status in _CONGESTED)
    return ItemFault(FailureKind.ENGINE, said)


def _stop(status: int, refusal: Refusal, said: str, asked: str) -> EngineError | None:
    if status in (401, 403):  # the body is not repeated: some services show a part of the key in it
        return EngineError(f"{asked} answered {status}: the key is missing, wrong, or may not use this model.",
                           "Check the key in the environment (docs/models.md names the variables).")  # fmt: skip
    if status == 402 or _UNPAID.search(refusal.searchable):
        return EngineError(said, "Pay or raise the limit, then run the same command: what was answered is kept.")
    if status == 404:
        return EngineError(said, "Check the model's name, and that the base URL is whole: most end in /v1.")
    if 300 <= status < 400:
        return EngineError(f"{asked} answered {status}: it has moved.", "Write the address it moved to.")
    if status in (400, 422) and (field := _refused_field(refusal)):
        return FieldRefused(
            said,
            f"Every request has {field!r}. Another API version or ?api= may take it; otherwise report this service, "
            "so that it gets a row in the table of profiles.",
        )
    return None


def _refused_field(refusal: Refusal) -> str | None:
    if not _FIELD_REFUSED.search(refusal.searchable):
        return None
    return next((field for field in _OUR_FIELDS if re.search(rf"\b{field}\b", refusal.searchable)), None)


def wait_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds the server asks to wait, at most LONGEST_WAIT_S; None where it names no time.

    >>> wait_s({"retry-after-ms": "50", "retry-after": "3"}), wait_s({"retry-after": "3"}), wait_s({"retry-after": "x"})
    (0.05, 3.0, None)
    """
    seconds = _number(headers.get("retry-after-ms"))
    seconds = None if seconds is None else seconds / 1000
    if seconds is None and (text := headers.get("retry-after")):
        seconds = _number(text)
        if seconds is None:
            seconds = _until(text, now or datetime.now(UTC))
    return None if seconds is None or seconds < 0 else min(seconds, LONGEST_WAIT_S)


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _until(text: str, now: datetime) -> float | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds())


def read_refusal(body: bytes, hide: Hide) -> Refusal:
    """An error body as OpenAI, Anthropic, Gemini (a list), vLLM, FastAPI or plain text writes it.

    `hide` takes the key out of what the endpoint says, before it is shortened.
    """
    text = body[:20_000].decode("utf-8", "replace")
    try:
        data = json.loads(text)
    except ValueError:
        return Refusal(_short(hide(text)) or "nothing")
    while isinstance(data, list) and data:
        data = data[0]
    return refusal_of(data, hide)


def refusal_of(data: object, hide: Hide) -> Refusal:
    """The refusal in a decoded body, or in the data of a stream's event."""
    if isinstance(data, dict):
        inner = data.get("error", data.get("detail", data))
        if isinstance(inner, dict):
            names = [inner.get(key) for key in ("code", "type", "param", "status")]
            message = inner.get("message") or json.dumps(inner)
            return Refusal(_short(hide(str(message))), frozenset(str(name) for name in names if name))
        data = inner
    return Refusal(_short(hide(data if isinstance(data, str) else json.dumps(data))))


def _short(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    words = " ".join(printable.split())
    return words if len(words) <= 300 else words[:299] + "…"
