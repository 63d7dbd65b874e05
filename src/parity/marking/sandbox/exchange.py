"""What may pass between processes: plain values of exact built-in types, in frames of bounded size.

Knows how a value becomes JSON and back. A subclass of a built-in type goes over as the data it holds, without its
methods; anything else is left to whoever keeps objects. Refuses to know what a value is for: an `==` written by a model
never reaches the process that compares, since nothing but built-in types is ever built from a frame.
"""

import json
import os
import struct
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

MAX_FRAME_BYTES = 16 * 1024**2
MAX_DEPTH = 200
SAFE_INTEGER = 2**53
Keep = Callable[[object], int]
Hold = Callable[[int, str], object]


class NotPlain(Exception):
    """A value that cannot go over: recursive, too deep, too large, or an object nobody keeps."""


class Malformed(Exception):
    """A frame that no honest writer sends."""


class Ended(Exception):
    """The other side is gone."""


class Channel:
    """Frames of JSON over a file descriptor: four bytes of length, then that many."""

    def __init__(self, descriptor: int, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self._descriptor, self._max_bytes = descriptor, max_bytes

    def send(self, message: object) -> None:
        """Write one frame.

        Raises:
            NotPlain: it is larger than a frame may be.
            Ended: the reader is gone.
        """
        body = json.dumps(message, separators=(",", ":")).encode("ascii")
        if len(body) > self._max_bytes:
            raise NotPlain(f"{len(body):,} bytes, more than {self._max_bytes:,}")
        rest = memoryview(struct.pack("<I", len(body)) + body)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise Ended(str(error)) from None

    def receive(self) -> dict[str, Any]:
        """Read one frame.

        Raises:
            Malformed: too large, no JSON, or no object.
            Ended: the writer is gone.
        """
        (size,) = struct.unpack("<I", self._read(4))
        if size > self._max_bytes:
            raise Malformed(f"a frame of {size:,} bytes, more than {self._max_bytes:,}")
        try:
            message = json.loads(self._read(size))
        except (ValueError, RecursionError) as error:
            raise Malformed(f"a frame that is no JSON: {type(error).__name__}") from None
        if type(message) is not dict:
            raise Malformed("a frame that holds no object")
        return message

    def _read(self, size: int) -> bytes:
        pieces = []
        while size:
            try:
                piece = os.read(self._descriptor, min(size, 1 << 20))
            except OSError as error:
                raise Ended(str(error)) from None
            if not piece:
                raise Ended("the other side closed the connection")
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)


def encode(value: object, keep: Keep | None = None, depth: int = 0) -> Any:
    """A value as JSON can carry it, types told apart. Objects that are no data are numbered by `keep`.

    Raises:
        NotPlain: recursive, deeper than MAX_DEPTH, endless, or an object and no `keep`.
    """
    kind = type(value)
    if kind in _AS_IT_IS:
        return value
    if depth >= MAX_DEPTH:
        raise NotPlain(f"deeper than {MAX_DEPTH} levels")
    if kind in _ONE:
        return _ONE[kind](value)
    if kind in _MANY:
        entries = [encode(entry, keep, depth + 1) for entry in _bounded(value)]
        return {_MANY[kind]: entries} if kind is not list else entries
    if kind is type and value in _NAMED_TYPES.values():
        return {"y": str(getattr(value, "__name__", ""))}
    if kind is dict:
        pairs: Any = value.items()  # type: ignore[attr-defined]
        return {"d": [[encode(key, keep, depth + 1), encode(entry, keep, depth + 1)] for key, entry in pairs]}
    return _encoded_object(value, kind, keep, depth)


def _encoded_object(value: object, kind: type, keep: Keep | None, depth: int) -> Any:
    named = (kind.__module__, kind.__name__)
    if named in _LIBRARY and kind is getattr(sys.modules[named[0]], named[1], None):
        parts = _LIBRARY[named](value)
        if parts is not None:
            return {"l": [*named, *parts]}
    for base in type.mro(kind):
        if base in _HELD:
            return encode(_HELD[base](value), keep, depth + 1)
    if keep is None:
        raise NotPlain(f"a value of type {kind.__name__}")
    return {"o": [keep(value), str(kind.__name__)]}


def decode(message: Any, hold: Hold | None = None) -> object:
    """The value that `encode` wrote, built anew from exact built-in types.

    `hold` stands in for an object that stayed on the other side.

    Raises:
        Malformed: no such encoding.
    """
    try:
        return _decoded(message, hold)
    except Malformed:
        raise
    except (TypeError, ValueError, ArithmeticError, RecursionError, LookupError) as error:
        raise Malformed(f"a value that is none: {type(error).__name__}") from None


def _decoded(message: Any, hold: Hold | None) -> object:
    kind = type(message)
    if kind is not list and kind is not dict:
        return message
    if kind is list:
        return [_decoded(entry, hold) for entry in message]
    ((tag, body),) = message.items()
    if tag == "o":
        number, name = body
        if hold is None or type(number) is not int or type(name) is not str:
            raise Malformed("an object where none may be")
        return hold(number, name)
    if tag == "d":
        return {_decoded(key, hold): _decoded(entry, hold) for key, entry in body}
    if tag in _BUILD_MANY:
        return _BUILD_MANY[tag]([_decoded(entry, hold) for entry in body])
    return _BUILD_ONE[tag](body)


def _from_library(body: Any) -> object:
    module, name, *parts = body
    if (module, name) not in _LIBRARY or not all(type(part) in (int, str) for part in parts):
        raise Malformed("a type that is not data")
    if name == "Fraction":
        parts = [int(part, 16) for part in parts]
    return getattr(import_module(module), name)(*parts)


def _bounded(value: Any) -> Iterable[object]:
    """The entries of a value, at most as many as a frame can hold: a generator may never end."""
    for count, entry in enumerate(value):
        if count > MAX_FRAME_BYTES // 2:
            raise NotPlain("more entries than a frame can hold")
        yield entry


class _Views:
    """Rebuilds views of dictionaries, which compare as sets do."""

    @staticmethod
    def keys(entries: list[Any]) -> object:
        return dict.fromkeys(entries).keys()

    @staticmethod
    def values(entries: list[Any]) -> object:
        return dict(enumerate(entries)).values()

    @staticmethod
    def items(entries: list[Any]) -> object:
        return dict(entries).items()


def _local_parts(value: Any) -> list[Any] | None:
    """A date's parts; None for one with a time zone, which is an object."""
    if value.tzinfo is not None:
        return None
    return [value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond]


_AS_IT_IS = frozenset({str, bool, float, type(None)})
_ENDLESS: tuple[object, ...] = (
    (0 for _ in ()), iter([]), iter(()), iter({}), iter(set()), iter(range(0)), iter(""), reversed([]),
    map(abs, ()), filter(None, ()), zip(), enumerate(()),
)  # fmt: skip
_ITERATORS = tuple(map(type, _ENDLESS))
_MANY: dict[type, str] = {
    list: "", tuple: "t", set: "s", frozenset: "f",
    type({}.keys()): "k", type({}.values()): "v", type({}.items()): "m",
    **dict.fromkeys(_ITERATORS, "n"),
}  # fmt: skip
_BUILD_MANY: dict[str, Callable[[list[Any]], object]] = {
    "t": tuple, "s": set, "f": frozenset, "n": iter,
    "k": _Views.keys, "v": _Views.values, "m": _Views.items,
}  # fmt: skip
_ONE: dict[type, Callable[[Any], Any]] = {
    int: lambda value: value if -SAFE_INTEGER < value < SAFE_INTEGER else {"i": hex(value)},
    bytes: lambda value: {"b": value.hex()},
    bytearray: lambda value: {"a": value.hex()},
    complex: lambda value: {"c": [value.real, value.imag]},
    range: lambda value: {"r": [hex(value.start), hex(value.stop), hex(value.step)]},
}
# Built-in types themselves, which a test may hand over.
_TYPES: tuple[type, ...] = (int, float, str, bool, list, tuple, dict, set, frozenset, bytes, complex)
_NAMED_TYPES = {kind.__name__: kind for kind in _TYPES}
# Exact types of the standard library that hold data alone, by module and name: they are imported when they are met.
_LIBRARY: dict[tuple[str, str], Callable[[Any], list[Any] | None]] = {
    ("decimal", "Decimal"): lambda value: [str(value)],
    ("fractions", "Fraction"): lambda value: [hex(value.numerator), hex(value.denominator)],
    ("datetime", "datetime"): _local_parts,
    ("datetime", "date"): lambda value: [value.year, value.month, value.day],
    ("datetime", "timedelta"): lambda value: [value.days, value.seconds, value.microseconds],
}
_BUILD_ONE: dict[str, Callable[[Any], object]] = {
    "i": lambda body: int(body, 16),
    "b": bytes.fromhex,
    "a": bytearray.fromhex,
    "c": lambda body: complex(float(body[0]), float(body[1])),
    "r": lambda body: range(*(int(part, 16) for part in body)),
    "y": lambda body: _NAMED_TYPES[body],
    "l": _from_library,
}
_HELD: dict[type, Callable[[Any], object]] = {
    str: lambda value: str.__str__(value),
    int: lambda value: int.__int__(value),
    float: lambda value: float.__float__(value),
    list: lambda value: list(list.__iter__(value)),
    tuple: lambda value: tuple(tuple.__iter__(value)),
    dict: lambda value: dict(dict.items(value)),
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
    bytes: lambda value: bytes(memoryview(value)),
    bytearray: lambda value: bytearray(memoryview(value)),
}
