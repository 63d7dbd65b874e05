"""The plan: which requests, in which order. Random and reproducible, so that any beginning of it is a fair sample."""

from collections.abc import Iterable
from hashlib import sha256

from parity.core.digests import digest
from parity.core.prompts import Request, RequestId, fingerprint


def shuffled(requests: Iterable[Request], seed: int = 0) -> list[Request]:
    """Requests in an order decided by the digest of their ids: the first k are the same whatever comes after."""
    return sorted(requests, key=lambda asked: place(asked.id, seed))


def place(asked: RequestId, seed: int = 0) -> bytes:
    """Where a request stands in the random order: sort by it."""
    return sha256(f"{seed}\0{asked.item}\0{asked.draw}".encode()).digest()


def requests_digest(requests: Iterable[Request]) -> str:
    """One digest over every item asked and everything asked of it, in order."""
    return digest([(asked.id.item, fingerprint(asked)) for asked in requests])
