"""The side that compares: runs the benchmark's test code, with stand-ins for the names of the program under test.

The program runs in another process. A stand-in sends arguments over and gives back plain values, so that every `==` is
that of a built-in type. Objects the program keeps (its classes, its functions) appear as stand-ins too, which can be
called, asked for attributes and handed back, but never compared. Refuses to know how processes are made and confined.
"""

import builtins
import importlib
import os
import sys
from typing import Any, NoReturn

from parity.marking.sandbox.exchange import Channel, Ended, Malformed, NotPlain, decode, encode
from parity.marking.sandbox.verdicts import Outcome

# These would end a loop of the test early instead of failing it.
_QUIET = frozenset({"StopIteration", "StopAsyncIteration", "GeneratorExit", "KeyboardInterrupt", "SystemExit"})

# What would mean asking the program about itself.
_COMPARING = """
eq ne lt le gt ge hash len iter contains getitem int float index str repr format reduce_ex deepcopy copy abs round
add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow and or xor neg
"""
_KNOWN = frozenset(dir(builtins))


class Verdict(BaseException):
    """Ends the test with a verdict; not an Exception, so that a test's own `except` does not swallow it."""

    def __init__(self, outcome: Outcome, detail: str = "") -> None:
        super().__init__(outcome, detail)
        self.outcome, self.detail = outcome, detail


class CandidateError(Exception):
    """An exception of a class that only the program has."""


class Link:
    """Asks the program's process, one question at a time, each with a number used once."""

    def __init__(self, channel: Channel, mutates: bool) -> None:
        self._channel, self._mutates = channel, mutates
        self.held_objects = False
        self.raised: BaseException | None = None
        self.loaded = False
        self._answers = 0

    def load(self, program: str) -> None:
        """Start loading; the answer is awaited with the first question, so that both sides work at once."""
        self._nonce = os.urandom(8).hex()
        self._send({"do": "load", "program": program})

    def await_loaded(self) -> None:
        if not self.loaded:
            self.loaded = True
            answer = self._receive()
            if "raised" in answer:
                name, text = _two_texts(answer["raised"])
                raise Verdict(Outcome.BROKEN, f"{name}: {text}"[:300])
            if "unsendable" in answer:
                raise Verdict(Outcome.BROKEN, "")

    def call(self, of: str | int, arguments: tuple[Any, ...], named: dict[str, Any]) -> object:
        question = {
            "do": "call", "of": of, "mutates": self._mutates,
            "arguments": self._over(list(arguments)), "named": self._over(named),
        }  # fmt: skip
        answer = self._ask(question)
        if self._mutates:
            self._apply(arguments, self._back(answer.get("left")))
        return self._back(answer.get("value"))

    def truth(self, of: str | int) -> bool:
        """Whether an object counts as true: a program may as well have said True in its place."""
        self.held_objects = True
        return self._back(self._ask({"do": "truth", "of": of}).get("value")) is True

    def get(self, of: str | int, name: str) -> object:
        self.held_objects = True
        return self._back(self._ask({"do": "get", "of": of, "name": name}).get("value"))

    def set(self, of: str | int, name: str, value: object) -> None:
        self.held_objects = True
        self._ask({"do": "set", "of": of, "name": name, "value": self._over(value)})

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        self.await_loaded()
        self._nonce = os.urandom(8).hex()
        self._send(question)
        answer = self._receive()
        if "unsendable" in answer:
            raise Verdict(Outcome.NOT_PLAIN, str(answer["unsendable"])[:200])
        if "raised" in answer:
            self.raised = _as_exception(*_two_texts(answer["raised"]))
            raise self.raised
        self._answers += 1
        return answer

    def _send(self, question: dict[str, Any]) -> None:
        try:
            self._channel.send({"nonce": self._nonce, **question})
        except Ended:
            raise Verdict(Outcome.ENDED) from None
        except NotPlain as error:
            raise self._unhandable(error) from None

    def _unhandable(self, error: NotPlain) -> Verdict:
        """What cannot be handed over is the benchmark's fault only while it cannot come from an answer."""
        outcome = Outcome.NOT_PLAIN if self._answers else Outcome.NO_VERDICT
        return Verdict(outcome, f"the test hands over {error}")

    def _receive(self) -> dict[str, Any]:
        try:
            answer = self._channel.receive()
        except Ended:
            raise Verdict(Outcome.ENDED) from None
        except Malformed as error:
            raise Verdict(Outcome.FORGED, str(error)) from None
        if answer.get("nonce") != self._nonce:
            raise Verdict(Outcome.FORGED, "an answer to a question that was not asked")
        return answer

    def _over(self, value: object) -> Any:
        try:
            return encode(value, self._number)
        except NotPlain as error:
            raise self._unhandable(error) from None

    def _number(self, value: object) -> int:
        if type(value) is Remote and type(number := address(value)) is int:
            return number
        raise NotPlain(f"an object of type {type(value).__name__}, which cannot leave its process")

    def _back(self, message: Any) -> object:
        try:
            return decode(message, self._hold)
        except Malformed as error:
            raise Verdict(Outcome.FORGED, str(error)) from None

    def _hold(self, number: int, name: str) -> object:
        self.held_objects = True
        return Remote(self, number, name)

    @staticmethod
    def _apply(arguments: tuple[Any, ...], left: Any) -> None:
        """Do to the test's own lists, dicts and sets what the program did to its copies."""
        if type(left) is not list or len(left) != len(arguments):
            raise Verdict(Outcome.FORGED, "other arguments than it was handed")
        for mine, theirs in zip(arguments, left, strict=True):
            if type(mine) is list and type(theirs) is list:
                mine[:] = theirs
            elif type(mine) in (dict, set) and type(theirs) is type(mine):
                mine.clear()
                mine.update(theirs)


class Remote:
    """Stands for a name or an object of the program. Comparing it would mean asking the program; it ends the test."""

    __slots__ = ("_link", "_of", "_name")  # noqa: RUF023 - as _parts reads them

    def __init__(self, link: Link, of: str | int, name: str) -> None:
        for slot, value in (("_link", link), ("_of", of), ("_name", name)):
            object.__setattr__(self, slot, value)

    def __call__(self, *arguments: Any, **named: Any) -> object:
        link, of, _ = _parts(self)
        return link.call(of, arguments, named)

    def __bool__(self) -> bool:
        link, of, _ = _parts(self)
        return link.truth(of)

    def __getattr__(self, name: str) -> object:
        link, of, _ = _parts(self)
        return link.get(of, name)

    def __setattr__(self, name: str, value: object) -> None:
        link, of, _ = _parts(self)
        link.set(of, name, value)


def _refuse(remote: Remote, *_: object) -> NoReturn:
    link, _of, name = _parts(remote)
    link.held_objects = True
    raise Verdict(Outcome.NOT_PLAIN, f"an object of type {name}"[:200])


for _operation in _COMPARING.split():
    setattr(Remote, f"__{_operation}__", _refuse)


def _parts(remote: Remote) -> tuple[Link, str | int, str]:
    return tuple(object.__getattribute__(remote, slot) for slot in Remote.__slots__)


def address(remote: Remote) -> str | int:
    return _parts(remote)[1]


def examine(job: dict[str, Any], channel: Channel) -> dict[str, Any]:
    """Run a test against a program and say what came of it, as the fields of a verdict."""
    link = Link(channel, bool(job["mutates"]))
    try:
        link.load(job["program"])
        _run(job, link)
        link.await_loaded()
        outcome, detail = Outcome.PASSED, ""
    except Verdict as verdict:
        outcome, detail = verdict.outcome, verdict.detail
    except AssertionError as error:
        outcome, detail = (Outcome.RAISED if error is link.raised else Outcome.WRONG), _line(error)
    except MemoryError:
        outcome, detail = Outcome.NOT_PLAIN, "an answer too large to compare"
    except BaseException as error:  # noqa: BLE001 - the test failed, whatever by
        raised = error is link.raised
        outcome = Outcome.RAISED if raised else Outcome.WRONG
        detail = f"{type(error).__name__}: {error}"[:300] + ("" if raised else f" {_line(error)}")
    return {"outcome": outcome.value, "detail": detail, "held_objects": link.held_objects}


class _Names(dict[str, Any]):
    """The test's names; one that neither it nor Python knows is the program's, looked up when it is met.

    A module of the standard library is the test's own, never the program's: it may be what the test compares with.
    """

    def __init__(self, known: dict[str, Any], link: Link) -> None:
        super().__init__(known)
        self._link = link

    def __missing__(self, name: str) -> object:
        if name in _KNOWN:
            raise KeyError(name)
        found = importlib.import_module(name) if name in sys.stdlib_module_names else Remote(self._link, name, name)
        self[name] = found
        return found


def _run(job: dict[str, Any], link: Link) -> None:
    """The setup in names of its own, then the test, which sees those and the program's."""
    own: dict[str, Any] = {"__name__": "examiner", "__builtins__": builtins.__dict__}
    try:
        exec(compile(job["setup"], "<setup>", "exec"), own)
        code = compile(job["test"], "<test>", "exec")
    except SyntaxError as error:
        raise Verdict(Outcome.NO_VERDICT, f"the benchmark's own code does not compile: {error}") from None
    names = _Names(own, link)
    if entry := job["entry"]:
        names[entry] = names["candidate"] = Remote(link, entry, entry)
    exec(code, names)


def _as_exception(name: str, text: str) -> BaseException:
    found = getattr(builtins, name, None)
    if name in _QUIET or not (isinstance(found, type) and issubclass(found, Exception)):
        return CandidateError(f"{name}: {text}")
    try:
        return found(text)
    except TypeError:  # UnicodeDecodeError and its like take more than a text
        return CandidateError(f"{name}: {text}")


def _two_texts(pair: Any) -> tuple[str, str]:
    if type(pair) is list and len(pair) == 2 and all(type(part) is str for part in pair):
        return pair[0], pair[1]
    raise Verdict(Outcome.FORGED, "an exception without a name")


def _line(error: BaseException) -> str:
    """Where in the test it failed."""
    trace, line = error.__traceback__, 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<test>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"at line {line} of the test" if line else ""
