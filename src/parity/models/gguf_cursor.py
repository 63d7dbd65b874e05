"""Walks through the bytes of a GGUF header: numbers, names and texts, each checked against what is left of the file."""

import struct
from typing import Any

from parity.models.byte_sources import ByteSource

MAX_TEXT_BYTES = 64 * 1024 * 1024
MAX_NAMES_BYTES = 8 * 1024 * 1024
# Texts longer than this are walked over; a chat template may have 256 kB, a whole tokenizer file many MB.
HELD_TEXT_BYTES = 1024 * 1024
_HELD_BYTES_IN_ALL = 4 * 1024 * 1024
_HELD_ELEMENTS_IN_ALL = 131_072
# Vocabularies have up to 262,144 tokens and twice as many merges.
MAX_WALKED = 2_000_000
_WINDOW_BYTES = 1024 * 1024


class Malformed(Exception):
    """What is wrong, and the byte it is at."""

    def __init__(self, position: int, why: str) -> None:
        super().__init__(why)
        self.position = position


class Cursor:
    """A position in a byte source that only moves forward."""

    def __init__(self, source: ByteSource) -> None:
        self._source, self._size = source, source.size
        self._window, self._start = b"", 0
        self._names_left, self._held_left = MAX_NAMES_BYTES, _HELD_BYTES_IN_ALL
        self._elements_left, self._walk_left = _HELD_ELEMENTS_IN_ALL, MAX_WALKED
        self.position = 0
        self.big_endian = False

    @property
    def remaining(self) -> int:
        return self._size - self.position

    def take(self, length: int) -> bytes:
        """The next `length` bytes (never more than a held text).

        Raises:
            Malformed: the file ends before.
        """
        if length > self.remaining:
            raise Malformed(self.position, f"{length} more bytes are needed, the file ends at {self._size}")
        at = self.position - self._start
        if at + length > len(self._window):
            self._window, self._start, at = (
                self._source.read(self.position, max(length, _WINDOW_BYTES)),
                self.position,
                0,
            )
            if len(self._window) < length:
                raise Malformed(self.position, "the file became shorter while it was read")
        self.position += length
        return self._window[at : at + length]

    def skip(self, length: int) -> None:
        """Move on by `length` bytes.

        Raises:
            Malformed: the file ends before.
        """
        if length > self.remaining:
            raise Malformed(self.position, f"{length} more bytes are needed, the file ends at {self._size}")
        self.position += length

    def number(self, code: str) -> Any:
        """The next number, by its struct code.

        Raises:
            Malformed: the file ends before.
        """
        return struct.unpack((">" if self.big_endian else "<") + code, self.take(struct.calcsize("=" + code)))[0]

    def name(self, most_bytes: int, what: str) -> str:
        """A key or a tensor's name: at least one byte, UTF-8.

        Raises:
            Malformed: it is empty, too long, or no UTF-8; or all names together are too long.
        """
        at, length = self.position, self.number("Q")
        if not 0 < length <= most_bytes:
            raise Malformed(at, f"a {what} has {length} bytes, not 1 to {most_bytes}")
        self._names_left -= length
        if self._names_left < 0:
            raise Malformed(at, f"the names take more than {MAX_NAMES_BYTES} bytes")
        return _decoded(self.take(length), at + 8)

    def text(self) -> str | int:
        """The next text, or its size in bytes where it is too long to be held.

        Raises:
            Malformed: it is longer than allowed or than the file, or is held and no UTF-8.
        """
        at, length = self.position, self.number("Q")
        if length > min(MAX_TEXT_BYTES, self.remaining):
            raise Malformed(at, f"a text claims {length} bytes, the file has {self.remaining} left")
        if length > min(HELD_TEXT_BYTES, self._held_left):
            self.skip(length)
            return int(length)
        self._held_left -= length
        return _decoded(self.take(length), at + 8)

    def skip_texts(self, count: int) -> None:
        """Walk over `count` texts.

        Raises:
            Malformed: one is longer than allowed or than the file; or there are more than any vocabulary has.
        """
        self.spend_walk(count)
        unpack = struct.Struct(">Q" if self.big_endian else "<Q").unpack_from
        window, start, position, size = self._window, self._start, self.position, self._size
        for _ in range(count):
            at = position - start
            if at + 8 > len(window):
                window, start, at = self._source.read(position, _WINDOW_BYTES), position, 0
                if len(window) < 8:
                    raise Malformed(position, f"a text is needed, the file ends at {size}")
            length = unpack(window, at)[0]
            position += 8 + length
            if position > size or length > MAX_TEXT_BYTES:
                raise Malformed(start + at, f"a text claims {length} bytes, the file ends at {size}")
        self._window, self._start, self.position = window, start, position

    def spend_walk(self, count: int) -> None:
        """Count elements that take time to walk over.

        Raises:
            Malformed: there are more than any vocabulary has.
        """
        self._walk_left -= count
        if self._walk_left < 0:
            raise Malformed(self.position, f"its lists have more than {MAX_WALKED} texts or lists")

    def may_hold(self, count: int) -> bool:
        """Whether `count` more elements may be held; if so they are counted."""
        if count > self._elements_left:
            return False
        self._elements_left -= count
        return True


def _decoded(raw: bytes, at: int) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(at + error.start, "a text is not UTF-8") from None
