"""Bytes of a file, wherever it lies, read piece by piece: header readers see no more of a file than they ask for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from parity.errors import ModelError


class ByteSource(Protocol):
    """A file of known size. `read` returns the bytes asked for, fewer only at the end of the file."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class LocalBytes:
    """A file on this machine."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def size(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError as error:
            raise ModelError(f"{self.path} cannot be read: {error.strerror}.", "Check the path.") from error

    def read(self, offset: int, length: int) -> bytes:
        try:
            with self.path.open("rb") as stream:
                stream.seek(offset)
                return stream.read(length)
        except OSError as error:
            raise ModelError(f"{self.path} cannot be read: {error.strerror}.", "Check the path.") from error


@dataclass(frozen=True, slots=True)
class HeldBytes:
    """Bytes already in memory."""

    name: str
    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, offset: int, length: int) -> bytes:
        return self.content[offset : offset + length]
