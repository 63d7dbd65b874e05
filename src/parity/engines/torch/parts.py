"""Requests whose continuations each have a context of their own: scored as one request a continuation, answered as one.

Knows indices and outputs only; which ids are computed is the scorer's business.
"""

from parity.core.outputs import Failure, Loglikelihoods, Output, Usage
from parity.core.prompts import Loglikelihood, RequestId


class PartsOfRequests:
    """Puts the parts of requests together as they are answered, in any order."""

    def __init__(self) -> None:
        self._first: dict[RequestId, int] = {}
        self._found: dict[RequestId, list[Loglikelihoods | None]] = {}
        self._failed: set[RequestId] = set()

    def expect(self, request: Loglikelihood, first: int) -> None:
        """A request whose parts begin at index `first`; one without contexts has one part, itself."""
        if request.contexts:
            self._first[request.id] = first
            self._found[request.id] = [None] * len(request.contexts)

    def add(self, request_id: RequestId, index: int, output: Output) -> Output | None:
        """The answer of the request, when this part was its last; the first failure of a part is the request's."""
        if request_id not in self._found:
            return output
        if not isinstance(output, Loglikelihoods):
            if request_id in self._failed or not isinstance(output, Failure):
                return None
            self._failed.add(request_id)
            return output
        parts = self._found[request_id]
        parts[index - self._first[request_id]] = output
        whole = [part for part in parts if part is not None]
        return _joined(whole) if len(whole) == len(parts) else None


def _joined(parts: list[Loglikelihoods]) -> Loglikelihoods:
    usage = Usage()
    for part in parts:
        usage += part.usage
    values = tuple(value for part in parts for value in part.values)
    tokens = tuple(count for part in parts for count in part.tokens)
    return Loglikelihoods(values, tokens, usage, sum(part.latency_s for part in parts))
