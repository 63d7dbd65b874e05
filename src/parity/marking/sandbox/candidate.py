"""The side that runs model-written code: loads a program, calls what it is told to, sends values back.

Nothing here is trusted: a program may change any of it. It has neither the test nor the right answer, so whatever it
sends is only an answer. Refuses to know what an answer is worth.
"""

import sys
import types
from typing import Any

from parity.marking.sandbox.exchange import Channel, Malformed, NotPlain, decode, encode

_MODULE = "candidate"


def serve(channel: Channel) -> None:
    """Answer requests until the other side is gone: load, call, truth, get, set."""
    module = types.ModuleType(_MODULE)
    sys.modules[_MODULE] = module
    kept: list[object] = []
    while True:
        asked = channel.receive()
        answer: dict[str, Any] = {"nonce": asked["nonce"]}
        try:
            answer.update(_done(asked, module, kept))
            channel.send(answer)
        except (NotPlain, RecursionError) as error:
            channel.send({"nonce": asked["nonce"], "unsendable": str(error)[:200]})


def _done(asked: dict[str, Any], module: types.ModuleType, kept: list[object]) -> dict[str, Any]:
    try:
        return _performed(asked, module, kept)
    except (NotPlain, Malformed):
        raise
    except BaseException as error:  # noqa: BLE001 - also SystemExit: whatever it is, it is the program's answer
        return {"raised": [type(error).__name__, _text(error)]}


def _performed(asked: dict[str, Any], module: types.ModuleType, kept: list[object]) -> dict[str, Any]:
    def keep(value: object) -> int:
        kept.append(value)
        return len(kept) - 1

    def hold(number: int, _: str) -> object:
        return kept[number]

    if asked["do"] == "load":
        exec(compile(asked["program"], "<candidate>", "exec"), module.__dict__)
        return {"value": None}
    target = _target(asked["of"], module, kept)
    match asked["do"]:
        case "call":
            arguments: list[Any] = decode(asked["arguments"], hold)  # type: ignore[assignment]
            named: dict[str, Any] = decode(asked["named"], hold)  # type: ignore[assignment]
            value = encode(target(*arguments, **named), keep)
            return {"value": value, **({"left": encode(arguments, keep)} if asked["mutates"] else {})}
        case "truth":
            return {"value": bool(target)}
        case "get":
            return {"value": encode(getattr(target, asked["name"]), keep)}
        case _:
            setattr(target, asked["name"], decode(asked["value"], hold))
            return {"value": None}


def _target(of: str | int, module: types.ModuleType, kept: list[object]) -> Any:
    """A name of the program, or an object it gave away before."""
    if isinstance(of, int):
        return kept[of]
    if of not in module.__dict__:
        raise NameError(f"name {of!r} is not defined")
    return module.__dict__[of]


def _text(error: BaseException) -> str:
    try:
        return str.__str__(str(error))[:300]
    except BaseException:  # noqa: BLE001 - its own __str__ may do anything
        return ""
