"""What a sweep has found so far, in one file of its folder, so that it goes on where it was.

`plan` says what the folder's files were made from; files of another plan are never taken for this one's.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from parity.core.checked import Agreement
from parity.core.quantized import Speed
from parity.errors import StoreError
from parity.files import write_atomic

_NAME = ".sweep.json"


class SweepNotes:
    """Speeds and losses by type. A loss is of one text, a speed of one way to time; another one is measured anew."""

    def __init__(self, folder: Path, plan: str) -> None:
        self._path = folder / _NAME
        self._held: dict[str, Any] = _read(self._path)
        if self._held.setdefault("plan", plan) != plan:
            raise StoreError(
                f"{folder} holds a sweep of something else: the model, adapter, matrix or converter is another one.",
                "Name another folder with --out, or remove that one.",
            )
        self._save()

    def loss(self, type_: str, text: str) -> Agreement | None:
        found = self._of("losses", type_)
        try:
            return Agreement(**found["loss"]) if found.get("text") == text else None
        except (TypeError, KeyError):
            return None

    def put_loss(self, type_: str, text: str, loss: Agreement) -> None:
        self._put("losses", type_, {"text": text, "loss": asdict(loss)})

    def speed(self, type_: str, how: str) -> Speed | None:
        found = self._of("speeds", type_)
        try:
            return Speed(**found["speed"]) if found.get("how") == how else None
        except (TypeError, KeyError):
            return None

    def put_speed(self, type_: str, how: str, speed: Speed) -> None:
        self._put("speeds", type_, {"how": how, "speed": asdict(speed)})

    def _of(self, kind: str, type_: str) -> Mapping[str, Any]:
        found = self._held.get(kind)
        entry = found.get(type_) if isinstance(found, dict) else None
        return entry if isinstance(entry, dict) else {}

    def _put(self, kind: str, type_: str, entry: Mapping[str, Any]) -> None:
        held = self._held.get(kind)
        self._held[kind] = {**(held if isinstance(held, dict) else {}), type_: dict(entry)}
        self._save()

    def _save(self) -> None:
        write_atomic(self._path, json.dumps(self._held, indent=1))


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}", "Name another folder with --out, or remove it.") from error
    if not isinstance(found, dict):
        raise StoreError(f"{path} holds no notes of a sweep.", "Name another folder with --out, or remove it.")
    return found
