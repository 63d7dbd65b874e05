"""Ids of texts that begin alike, without encoding the beginning again each time.

A tokenizer decides locally: what a text's first thousand characters become does not depend on what follows its last
line. So a beginning is encoded once, and only its last line again with what follows it, where that line alone encodes
to the very ids it has at the beginning's end. Where it does not (sentencepiece puts a space before), the whole text is
encoded. Of all joins the first few, then one in 64, are held against the whole text; one mismatch ends the joining.
"""

from collections import OrderedDict
from collections.abc import Callable

Ids = tuple[int, ...]
# Characters of a beginning that are encoded again with what follows, at the least: far more than a token's reach.
_TAIL = 48
_HEADS = 128
_CHECKED_FIRST, _CHECKED_EVERY = 16, 64


class Joiner:
    """Joins for one tokenizer; `encode(text, special)` are the tokenizer's ids, special tokens added if asked.

    Not `trusted`, it encodes every text whole.
    """

    def __init__(self, encode: Callable[[str, bool], Ids], trusted: bool = True) -> None:
        self._encode, self._trusted = encode, trusted
        self._heads: OrderedDict[tuple[str, bool], tuple[Ids, Ids, str] | None] = OrderedDict()
        self._joins = 0

    def ids(self, head: str, rest: str, special: bool, head_ids: Ids | None = None) -> Ids:
        """The ids of head + rest; `head_ids` are those of the head, where they are known already."""
        known = self._head(head, special, head_ids) if self._trusted and len(head) > 2 * _TAIL else None
        if known is None:
            return self._encode(head + rest, special)
        whole, kept, tail = known
        if not rest:
            return whole
        found = kept + self._encode(tail + rest, False)
        self._joins += 1
        if self._joins <= _CHECKED_FIRST or self._joins % _CHECKED_EVERY == 0:
            expected = self._encode(head + rest, special)
            self._trusted = found == expected
            return expected
        return found

    def _head(self, head: str, special: bool, ids: Ids | None) -> tuple[Ids, Ids, str] | None:
        """Ids of the head, those that any text beginning with it begins with, and its tail; None if it has none."""
        key = (head, special)
        if key in self._heads:
            self._heads.move_to_end(key)
            return self._heads[key]
        whole, tail = ids or self._encode(head, special), _tail(head)
        end = self._encode(tail, False) if tail else ()
        known = (whole, whole[: -len(end)], tail) if end and whole[-len(end) :] == end else None
        self._heads[key] = known
        if len(self._heads) > _HEADS:
            self._heads.popitem(last=False)
        return known


def _tail(head: str) -> str:
    """The end of a text from the last line break, or else space, that leaves enough of it; empty when there is none."""
    limit = len(head) - _TAIL
    at = head.rfind("\n", limit - 200, limit) + 1 or head.rfind(" ", limit - 200, limit)
    return head[at:] if at > 0 else ""
