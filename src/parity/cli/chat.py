"""`parity chat`: talk to a model in the terminal, or have one question answered in a pipe."""

import sys
import time
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from parity.engines.open import EngineOptions
from parity.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from parity.core.prompts import Generate, Message
    from parity.engines.base import Engine

MAX_TOKENS = 512
_HELP = "/new forgets the conversation, /exit ends (so does Ctrl-D); Ctrl-C stops an answer."


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Chat:
    """Whom to talk to.

    Parameters
    ----------
    model
        gguf:FILE, a transformers folder, openai:MODEL, anthropic:MODEL or http://HOST/v1#MODEL.
    prompt
        Answer this and end. A text piped in is the prompt, or follows it.
    system
        What the model is told before everything else.
    max_tokens
        Most tokens of one answer; if not given 512, or half of a shorter context.
    temperature
        0 takes the likeliest token each time.
    top_p
        Draw from the likeliest tokens that have this share of the probability together.
    seed
        Another seed draws other answers.
    engine
        How local models run.
    """

    model: str
    prompt: str | None = None
    _: KW_ONLY
    system: str | None = None
    max_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    engine: Annotated[EngineOptions, Parameter(name="*")] = field(default_factory=EngineOptions)


def chat(spec: Chat) -> int:
    """Talk to a model: answers come as they are written, with their speed; the conversation is remembered.

    With a prompt, or one piped in, the answer alone goes to stdout.
    """
    from rich.console import Console

    from parity.core.refs import ModelRef
    from parity.engines.open import open_engine

    if (spec.max_tokens is not None and spec.max_tokens < 1) or spec.temperature < 0 or not 0 < spec.top_p <= 1:
        raise UsageError(
            "--max-tokens is at least 1, --temperature at least 0, --top-p above 0 and at most 1.", "See --help."
        )
    piped = "" if sys.stdin.isatty() else sys.stdin.read().strip()
    asked = "\n\n".join(filter(None, (spec.prompt, piped)))
    if not asked and not sys.stdin.isatty():
        raise UsageError("There is no prompt: the one piped in is empty.", "Write it behind the model's name.")
    notes = Console(stderr=True, highlight=False)
    engine = open_engine(ModelRef.parse(spec.model), spec.engine)
    try:
        if not engine.capabilities.chat:
            notes.print("This model has no chat template: it goes on with the text.", style="dim")
        conversation = _Conversation(engine, spec, notes)
        if asked:
            return 0 if conversation.say(asked) else 130
        notes.print(f"{engine.model.short}. {_HELP}", style="dim", markup=False)
        _talk(conversation, notes)
    finally:
        engine.close()
    return 0


def _talk(conversation: "_Conversation", notes: "Console") -> None:
    while True:
        try:
            text = notes.input("[bold cyan]> [/]").strip()
        except EOFError:
            return
        except KeyboardInterrupt:
            notes.print(f"\n{_HELP}", style="dim", markup=False)
            continue
        if text in ("/exit", "/quit"):
            return
        if text == "/new":
            conversation.forget()
        elif text.startswith("/"):
            notes.print(_HELP, style="dim", markup=False)
        elif text:
            conversation.say(text)


class _Conversation:
    """What was said so far with one engine."""

    def __init__(self, engine: "Engine", spec: Chat, notes: "Console") -> None:
        self._engine, self._spec, self._notes = engine, spec, notes
        self._turn = 0
        self._said: list[Message] = []
        self.forget()

    def forget(self) -> None:
        from parity.core.prompts import Message

        self._said = [Message("system", self._spec.system)] if self._spec.system else []

    def say(self, text: str) -> bool:
        """Print the answer as it comes; False where Ctrl-C stopped it. What was written is remembered either way."""
        from parity.core.prompts import Message
        from parity.errors import ContextExceeded

        self._said.append(Message("user", text))
        request = self._request()
        pieces: list[str] = []
        try:
            whole = self._write(request, pieces)
        except KeyboardInterrupt:
            self._engine.cancel(request.id)
            whole = False
            self._notes.print("\n(stopped)", style="dim")
        except ContextExceeded as error:
            if self._turn == 1:
                raise
            self._notes.print(f"{error.what} /new begins again.", style="yellow", markup=False)
            self._said.pop()
            return False
        self._said.append(Message("assistant", "".join(pieces)))
        return whole

    def _request(self) -> "Generate":
        from parity.core.prompts import ChatPrompt, Generate, RequestId, Sampling, TextPrompt

        spec, self._turn = self._spec, self._turn + 1
        chats = self._engine.capabilities.chat
        prompt = ChatPrompt(tuple(self._said)) if chats else TextPrompt("\n".join(turn.content for turn in self._said))
        most = spec.max_tokens or min(MAX_TOKENS, (self._engine.capabilities.context_tokens or 2 * MAX_TOKENS) // 2)
        sampling = Sampling(most, spec.temperature, spec.top_p, seed=spec.seed)
        return Generate(RequestId("chat", self._turn), prompt, sampling)

    def _write(self, request: "Generate", pieces: list[str]) -> bool:
        begun = first = time.perf_counter()
        tokens = 0
        for delta in self._engine.stream(request):
            if not pieces:
                first = time.perf_counter()
            pieces.append(delta.text)
            sys.stdout.write(delta.text)
            sys.stdout.flush()
            if delta.usage:
                tokens = delta.usage.completion_tokens
        sys.stdout.write("\n")
        sys.stdout.flush()
        if tokens and sys.stderr.isatty():
            seconds = time.perf_counter() - first
            rate = f"{(tokens - 1) / seconds:.1f} tokens/s" if tokens > 1 and seconds > 0 else "1 token"
            self._notes.print(f"{tokens} tokens, {rate}, first after {first - begun:.2f} s", style="dim")
        return True
