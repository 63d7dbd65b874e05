"""The strings inside a turn: changed all alike, or exchanged for others that look alike."""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache

from parity.core.examples import Turn, compact

_TAGS = re.compile(r"<[^<>\s]{1,60}>")


def strings_of(turn: Turn) -> Iterator[str]:
    """Everything written in a turn: content, thoughts, names of calls, and the texts in their arguments."""
    yield turn.content
    yield turn.reasoning
    for call in turn.tool_calls:
        yield call.name
        yield from _leaves(json.loads(call.arguments))


def mapped(turn: Turn, change: Callable[[str], str], keys: bool = False) -> Turn:
    """The turn with every string changed; names of arguments too with `keys`."""
    calls = tuple(
        replace(call, name=change(call.name), arguments=compact(_changed(json.loads(call.arguments), change, keys)))
        for call in turn.tool_calls
    )
    return replace(turn, content=change(turn.content), reasoning=change(turn.reasoning), tool_calls=calls)


def exchange(text: str) -> str:
    """Every letter and digit outside tags replaced by another of its kind; as long as before.

    >>> exchange("<think>Az 9</think>")
    '<think>Ba 0</think>'
    """
    pieces, at = [], 0
    for tag in [*_TAGS.finditer(text), None]:
        pieces.append("".join(map(_other, text[at : tag.start() if tag else len(text)])))
        if tag:
            pieces.append(tag.group())
            at = tag.end()
    return "".join(pieces)


def exchangeable(turn: Turn) -> int:
    """How many characters of a turn an exchange changes."""
    return sum(a != b for text in strings_of(turn) for a, b in zip(text, exchange(text), strict=True))


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for entry in value:
            yield from _leaves(entry)
    elif isinstance(value, dict):
        for entry in value.values():
            yield from _leaves(entry)


def _changed(value: object, change: Callable[[str], str], keys: bool) -> object:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_changed(entry, change, keys) for entry in value]
    if isinstance(value, dict):
        return {change(key) if keys else key: _changed(entry, change, keys) for key, entry in value.items()}
    return value


@lru_cache(maxsize=65536)
def _other(character: str) -> str:
    for first, size in (("a", 26), ("A", 26), ("0", 10)):
        if 0 <= ord(character) - ord(first) < size:
            return chr((ord(character) - ord(first) + 1) % size + ord(first))
    if character.isascii():
        return character
    other, kind = chr(ord(character) ^ 1), unicodedata.category(character)
    alike = kind[0] in "LS" and unicodedata.category(other) == kind and not other.isascii()
    return other if alike else character
