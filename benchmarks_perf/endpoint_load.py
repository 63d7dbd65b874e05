"""Short requests to a fast fake endpoint in another process: our engine against the `openai` async client, interleaved.

    .venv/bin/python benchmarks_perf/endpoint_load.py [--quick]

Ends with one JSON object. `endpoint_throughput_vs_openai` is the median over rounds of ours / theirs in requests per
second; `endpoint_memory_growth_mb` what our process gained while it asked ten times as many again. Needs `openai`.
"""

import asyncio
import json
import multiprocessing
import re
import resource
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from parity.core.outputs import Generation
from parity.core.prompts import Generate, RequestId, Sampling, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.endpoint import EndpointEngine
from parity.engines.open import EngineOptions

PARALLEL = 64
LENGTH = re.compile(rb"content-length: *(\d+)", re.I)


class _Fast(asyncio.Protocol):
    """Reads requests one after the other on a connection, and answers each with the same completion."""

    def __init__(self) -> None:
        self._read = b""
        reply = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "B"},
                    "finish_reason": "stop",
                    "logprobs": None,
                }
            ],
            "usage": {"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 13},
        }
        body = json.dumps(reply).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self._reply = head.encode() + body

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            found = LENGTH.search(self._read[:end])
            whole = end + 4 + (int(found.group(1)) if found else 0)
            if len(self._read) < whole:
                return
            self._read = self._read[whole:]
            self._transport.write(self._reply)  # type: ignore[attr-defined]


def _serve(port: "multiprocessing.connection.Connection") -> None:
    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(_Fast, "127.0.0.1", 0, backlog=1024)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(forever())


@dataclass(frozen=True, slots=True)
class Load:
    """What was measured: requests per second of both, by round, and megabytes our process grew."""

    ours_per_s: tuple[float, ...]
    theirs_per_s: tuple[float, ...]
    growth_mb: float

    @property
    def ratio(self) -> float:
        return statistics.median(a / b for a, b in zip(self.ours_per_s, self.theirs_per_s, strict=True))


def endpoint_load(requests: int = 2_000, rounds: int = 5) -> Load:
    """Ask the same questions with both clients, `rounds` times in turn, PARALLEL at once."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{mine.recv()}/v1"
    engine = EndpointEngine(ModelRef.parse(f"{url}#m"), EngineOptions(concurrency=PARALLEL), environment={})
    try:
        _ours(engine, 500), asyncio.run(_openai(url, 500))
        speeds = [(_ours(engine, requests), asyncio.run(_openai(url, requests))) for _ in range(rounds)]
        before = _resident_mb()
        _ours(engine, 10 * requests)
        growth = _resident_mb() - before
    finally:
        engine.close()
        server.terminate()
        server.join()
    ours, others = zip(*speeds, strict=True)
    return Load(ours, others, growth)


def _questions(count: int):  # type: ignore[no-untyped-def]
    for at in range(count):
        yield Generate(RequestId(f"q{at}"), TextPrompt(f"Question {at}: which letter? Answer:"), Sampling(4))


def _ours(engine: EndpointEngine, count: int) -> float:
    begun = time.perf_counter()
    answered = sum(isinstance(output, Generation) for _, output in engine.answer(_questions(count)))
    assert answered == count
    return count / (time.perf_counter() - begun)


async def _openai(url: str, count: int) -> float:
    import openai

    places = asyncio.Semaphore(PARALLEL)

    async def ask(client: "openai.AsyncOpenAI", request: Generate) -> str:
        async with places:
            reply = await client.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": request.prompt.text}],
                max_tokens=4,
                temperature=0.0,
                top_p=1.0,
                seed=0,
            )
            return reply.choices[0].message.content or ""

    async with openai.AsyncOpenAI(api_key="k", base_url=url) as client:
        begun = time.perf_counter()
        texts = await asyncio.gather(*(ask(client, request) for request in _questions(count)))
        seconds = time.perf_counter() - begun
    assert texts == ["B"] * count
    return count / seconds


def _resident_mb() -> float:
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return int(re.search(r"VmRSS:\s+(\d+)", status.read_text()).group(1)) / 1024  # type: ignore[union-attr]


def main(arguments: list[str]) -> int:
    load = endpoint_load(*((500, 3) if "--quick" in arguments else ()))
    for ours, theirs in zip(load.ours_per_s, load.theirs_per_s, strict=True):
        print(f"ours {ours:6.0f}/s   openai {theirs:6.0f}/s   ratio {ours / theirs:.2f}", file=sys.stderr)
    found = {
        "endpoint_throughput_vs_openai": round(load.ratio, 3),
        "endpoint_memory_growth_mb": round(load.growth_mb, 2),
    }
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
