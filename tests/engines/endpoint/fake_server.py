"""An endpoint on 127.0.0.1 that answers as a DummyEngine does, over OpenAI's and Anthropic's wires, with faults.

`Fault`s are taken from `script` one by one, or drawn for a share of requests; `requests` keeps what arrived, `answered`
the prompts that were answered in full. Words count as tokens. Knows nothing of the engine that is tested.
"""

import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from parity.core.outputs import Failure, Generation
from parity.core.prompts import ChatPrompt, Generate, Message, RequestId, Sampling, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.dummy import DummyEngine


@dataclass(frozen=True)
class Fault:
    """One way to go wrong: `cut` breaks a body or a stream off in the middle, `slow_s` waits first."""

    status: int = 200
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    cut: bool = False
    slow_s: float = 0.0
    events: tuple[str, ...] = ()


def error(message="no", kind="server_error", code=None, param=None):
    return {"error": {"message": message, "type": kind, "code": code, "param": param}}


@dataclass
class Arrived:
    path: str
    headers: dict[str, str]
    body: dict
    at_s: float


class FakeEndpoint:
    """The server's state; `url` once it runs."""

    def __init__(self, engine="dummy:", key=None, echo=True):
        self.engine = DummyEngine(ModelRef.parse(engine))
        self.key, self.echo = key, echo
        self.script: list[Fault] = []
        self.random_faults: Callable[[], Fault | None] = lambda: None
        self.requests: list[Arrived] = []
        self.answered: Counter[str] = Counter()
        self.in_flight = self.most_in_flight = 0
        self.usage = True
        self.delay_s = 0.0
        self.lock = threading.Lock()
        self.root = ""

    @property
    def url(self):
        return f"{self.root}/v1"

    def fault(self):
        with self.lock:
            return self.script.pop(0) if self.script else self.random_faults()

    def fail_randomly(self, share, faults, seed=0):
        draws = random.Random(seed)
        self.random_faults = lambda: draws.choice(faults) if draws.random() < share else None


@contextmanager
def serving(**options) -> Iterator[FakeEndpoint]:
    state = FakeEndpoint(**options)

    class Bound(_Handler):
        fake = state

    server = _Server(("127.0.0.1", 0), Bound)
    state.root = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    fake: FakeEndpoint

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        fake = self.fake
        with fake.lock:
            fake.requests.append(Arrived(self.path, dict(self.headers.items()), body, time.monotonic()))
            fake.in_flight += 1
            fake.most_in_flight = max(fake.most_in_flight, fake.in_flight)
        try:
            time.sleep(fake.delay_s)
            self._reply(body)
        finally:
            with fake.lock:
                fake.in_flight -= 1

    def _reply(self, body):
        fault = self.fake.fault()
        if fault is not None and self._faulty(fault, body):
            return
        if self._key_is_wrong():
            return self._send(401, error(f"Incorrect API key provided: {self._given_key()}", "auth", "invalid_api_key"))
        route = {
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._completions,
            "/v1/messages": self._messages,
        }.get(self.path)
        if route is None:
            return self._send(404, error(f"no {self.path}", "not_found"))
        return route(body, cut=fault.cut if fault else False)

    def _faulty(self, fault, body):
        """Do what the fault says; false where the answer still follows."""
        time.sleep(fault.slow_s)
        if fault.events:
            self._events([(None, event) for event in fault.events], not fault.cut)
        elif fault.raw is not None:
            self._bytes(fault.status, fault.raw, fault.headers, cut=fault.cut)
        elif fault.status != 200 or fault.body is not None:
            self._send(fault.status, fault.body if fault.body is not None else error(), fault.headers)
        else:
            return False
        return True

    def _given_key(self):
        return self.headers.get("x-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")

    def _key_is_wrong(self):
        return self.fake.key is not None and self._given_key() != self.fake.key

    def _chat(self, body, cut):
        turns = tuple(Message(turn["role"], turn["content"]) for turn in body["messages"])
        answer = self._answer(ChatPrompt(turns), body, body.get("stop"))
        if answer is None:
            return
        usage = {
            "prompt_tokens": answer.usage.prompt_tokens,
            "completion_tokens": answer.usage.completion_tokens,
            "total_tokens": answer.usage.total_tokens,
            "prompt_tokens_details": {"cached_tokens": 1},
        }
        head = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
        if body.get("stream"):
            events = [{"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}]
            events += [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in _pieces(answer.text)]
            events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": answer.finish}]})
            if body.get("stream_options", {}).get("include_usage"):
                events.append({"choices": [], "usage": usage})
            lines = [
                json.dumps({**head, "object": "chat.completion.chunk", **event})
                for event in (events[: len(events) // 2] if cut else events)
            ]
            return self._events([(None, line) for line in [*lines, *([] if cut else ["[DONE]"])]], not cut)
        message = {"role": "assistant", "content": answer.text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": answer.finish, "logprobs": None}
        reply = {**head, "object": "chat.completion", "choices": [choice]}
        self._send(200, reply | ({"usage": usage} if self.fake.usage else {}), cut=cut, answered=turns[-1].content)

    def _completions(self, body, cut):
        if body.get("echo") and self.fake.echo:
            return self._echoed(body)
        answer = self._answer(TextPrompt(body["prompt"]), body, body.get("stop"))
        if answer is None:
            return None
        usage = {"prompt_tokens": answer.usage.prompt_tokens, "completion_tokens": answer.usage.completion_tokens}
        head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": body["model"]}
        if body.get("stream"):
            events = [{"choices": [{"index": 0, "text": piece}]} for piece in _pieces(answer.text)]
            events.append({"choices": [{"index": 0, "text": "", "finish_reason": answer.finish}]})
            events.append({"choices": [], "usage": usage})
            lines = [json.dumps({**head, **event}) for event in events]
            return self._events([(None, line) for line in [*lines, "[DONE]"]])
        choice = {"index": 0, "text": answer.text, "finish_reason": answer.finish, "logprobs": None}
        return self._send(200, {**head, "choices": [choice], "usage": usage}, answered=body["prompt"])

    def _echoed(self, body):
        tokens = _tokens(body["prompt"])
        values = [None, *(_logprob("".join(tokens[:at]), tokens[at]) for at in range(1, len(tokens)))]
        choice = {
            "index": 0,
            "text": body["prompt"] + " A",
            "finish_reason": "length",
            "logprobs": {"tokens": [*tokens, " A"], "token_logprobs": [*values, -0.5]},
        }
        usage = {"prompt_tokens": len(tokens), "completion_tokens": 1}
        self._send(200, {"id": "cmpl-1", "model": body["model"], "choices": [choice], "usage": usage})

    def _messages(self, body, cut):
        new = self.headers.get("anthropic-version") == "2026-10-21"
        refused = [
            name for name in ("temperature", "top_p", "top_k", "seed") if name in body and (new or name == "seed")
        ]
        if refused:
            said = {"type": "invalid_request_error", "message": f"{refused[0]}: Extra inputs are not permitted"}
            return self._send(400, {"type": "error", "error": said})
        turns = tuple(Message(turn["role"], turn["content"]) for turn in body["messages"])
        system = (Message("system", body["system"]),) if "system" in body else ()
        answer = self._answer(ChatPrompt(system + turns), body, body.get("stop_sequences"))
        if answer is None:
            return None
        reason = {"stop": "end_turn", "length": "max_tokens"}[answer.finish]
        counts = {"input_tokens": answer.usage.prompt_tokens, "output_tokens": answer.usage.completion_tokens}
        if body.get("stream"):
            start = {"type": "message", "role": "assistant", "content": [], "usage": counts | {"output_tokens": 0}}
            events = [
                {"type": "message_start", "message": start},
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                {"type": "ping"},
                *(
                    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
                    for piece in _pieces(answer.text)
                ),
                {"type": "content_block_stop", "index": 0},
                {
                    "type": "message_delta",
                    "delta": {"stop_reason": reason},
                    "usage": {"output_tokens": counts["output_tokens"]},
                },
                {"type": "message_stop"},
            ]
            return self._events([(event["type"], json.dumps(event)) for event in events[: -1 if cut else None]])
        block = {"type": "text", "text": answer.text}
        reply = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": [block],
                 "stop_reason": reason, "stop_sequence": None, "usage": counts}  # fmt: skip
        return self._send(200, reply, cut=cut, answered=turns[-1].content)

    def _answer(self, prompt, body, stop):
        most = body.get("max_completion_tokens") or body["max_tokens"]
        sampling = Sampling(
            most, body.get("temperature", 0.0), body.get("top_p", 1.0), tuple(stop or ()), body.get("seed", 0)
        )
        ((_, output),) = self.fake.engine.answer([Generate(RequestId("fake"), prompt, sampling)])
        if isinstance(output, Failure):
            message = f"This model's maximum context length is exceeded: {output.message}"
            self._send(400, error(message, "invalid_request_error", "context_length_exceeded"))
            return None
        assert isinstance(output, Generation)
        return output

    def _send(self, status, body, headers=None, cut=False, answered=None):
        self._bytes(status, json.dumps(body).encode(), headers or {}, cut)
        if answered is not None and not cut:
            with self.fake.lock:
                self.fake.answered[answered] += 1

    def _bytes(self, status, content, headers, cut=False):
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = self.close_connection or cut

    def _events(self, events, whole=True):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(b": hello\r\n\r\n")
        for name, data in events:
            lines = ([f"event: {name}"] if name else []) + [f"data: {line}" for line in data.split("\n")]
            self.wfile.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.close_connection = True


def _pieces(text):
    return re.findall(r".{1,3}", text, re.S)


def _tokens(text):
    return re.findall(r"\s*\S+|\s+$", text)


def _logprob(before, token):
    return -5.0 * int.from_bytes(sha256(f"{before}\0{token}".encode()).digest()[:6]) / 2**48 - 0.01
