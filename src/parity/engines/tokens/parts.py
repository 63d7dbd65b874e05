"""Requests whose continuations each have a context of their own: scored as one request a continuation, answered as one.

Knows indices and outputs only; which ids are computed is the scorer's business.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

from parity.core.outputs import Failure, Loglikelihoods, Output, Usage

Key = TypeVar("Key", bound=Hashable)


class PartsOfRequests(Generic[Key]):
    """Puts the parts of requests together as they are answered, in any order."""

    def __init__(self) -> None:
        self._first: dict[Key, int] = {}
        self._found: dict[Key, list[Loglikelihoods | None]] = {}
        self._failed: set[Key] = set()

    def expect(self, key: Key, contexts: int, first: int) -> None:
        """A request whose parts begin at index `first`; one without contexts has one part, itself."""
        if contexts:
            self._first[key] = first
            self._found[key] = [None] * contexts

    def add(self, key: Key, index: int, output: Output) -> Output | None:
        """The answer of the request, when this part was its last; the first failure of a part is the request's."""
        if key not in self._found:
            return output
        if not isinstance(output, Loglikelihoods):
            if key in self._failed or not isinstance(output, Failure):
                return None
            self._failed.add(key)
            return output
        parts = self._found[key]
        parts[index - self._first[key]] = output
        whole = [part for part in parts if part is not None]
        return _joined(whole) if len(whole) == len(parts) else None


def _joined(parts: list[Loglikelihoods]) -> Loglikelihoods:
    usage = Usage()
    for part in parts:
        usage += part.usage
    values = tuple(value for part in parts for value in part.values)
    tokens = tuple(count for part in parts for count in part.tokens)
    return Loglikelihoods(values, tokens, usage, sum(part.latency_s for part in parts))
