"""`parity chat` in a pipe: the answer alone on stdout; Ctrl-C stops an answer, not the program."""

import io
import sys

import pytest

from parity.cli.app import main
from parity.cli.chat import Chat, _Conversation, _talk
from parity.core.refs import ModelRef
from parity.engines.open import open_engine


class Piped(io.StringIO):
    def isatty(self) -> bool:
        return False


@pytest.fixture
def piped(monkeypatch):
    def feed(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", Piped(text))

    return feed


def test_a_prompt_is_answered_on_stdout_alone(piped, capsys):
    piped("")
    assert main(["chat", "dummy:", "Hello"]) == 0
    first = capsys.readouterr()
    assert first.out.strip()
    assert "tokens/s" not in first.out
    piped("Hello\n")
    assert main(["chat", "dummy:"]) == 0
    assert capsys.readouterr().out == first.out


def test_nothing_asked_is_an_error(piped, capsys):
    piped("  \n")
    assert main(["chat", "dummy:"]) == 2
    assert "no prompt" in capsys.readouterr().err


def test_wrong_sampling_is_refused_before_a_model_is_opened(piped, capsys):
    piped("x")
    assert main(["chat", "nowhere", "--temperature", "-1"]) == 2


class Scripted:
    """A console that types for us; an exception in place of a line is raised."""

    def __init__(self, *lines):
        self.lines, self.printed = list(lines), []

    def input(self, _):
        line = self.lines.pop(0) if self.lines else EOFError()
        if isinstance(line, BaseException):
            raise line
        return line

    def print(self, *texts, **_):
        self.printed += map(str, texts)


class Interrupted:
    """An engine whose second answer is interrupted by Ctrl-C."""

    def __init__(self, engine):
        self.engine, self.asked, self.cancelled = engine, [], []
        self.capabilities, self.model = engine.capabilities, engine.model

    def stream(self, request):
        self.asked.append(request)
        for at, delta in enumerate(self.engine.stream(request)):
            if len(self.asked) == 2 and at == 1:
                raise KeyboardInterrupt
            yield delta

    def cancel(self, request_id):
        self.cancelled.append(request_id)


def test_ctrl_c_stops_the_answer_and_the_conversation_goes_on(capsys):
    engine = Interrupted(open_engine(ModelRef.parse("dummy:")))
    notes = Scripted("one", "two", KeyboardInterrupt(), "three", "/new", "four", "/exit")
    _talk(_Conversation(engine, Chat("dummy:", system="Be brief."), notes), notes)
    said = [[message.content for message in request.prompt.messages] for request in engine.asked]
    assert [turns[-1] for turns in said] == ["one", "two", "three", "four"]
    # The conversation is remembered, what was written of the stopped answer included, until it is begun anew.
    assert said[2][:2] == ["Be brief.", "one"]
    assert len(said[2]) == 6
    assert said[3] == ["Be brief.", "four"]
    assert engine.cancelled == [engine.asked[1].id]
