"""The only table of backends. Names are strings, so that listing engines imports none of them."""

from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import cast

from parity.core.prompts import RequestKind
from parity.core.refs import ModelRef, Scheme
from parity.engines.base import Engine
from parity.errors import EngineError


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How to run a model on this machine. `auto` picks CUDA and the weights' own type where there is a GPU, else fp32.

    Parameters
    ----------
    device
        Where local weights run: auto, cpu, cuda, or cuda:1 and the like.
    dtype
        Number type of local weights: auto, float32, bfloat16, float16.
    batch_size
        Prompts computed together when a local model writes; 0: as many as fit, up to 64 (256 on a GPU).
    pass_tokens
        Tokens computed together when a local model scores; 0 chooses by the device and the memory.
    memory
        GiB that a local model may use beside its weights, for what it computes and remembers; 0: half of what is free.
    deterministic
        The same bits whatever is asked beside it, in whatever order, batch or memory; several times slower.
    concurrency
        Most requests in flight at an endpoint.
    """

    device: str = "auto"
    dtype: str = "auto"
    batch_size: int = 0
    pass_tokens: int = 0
    memory: float = 0.0
    deterministic: bool = False
    concurrency: int = 64


@dataclass(frozen=True, slots=True)
class Backend:
    """Where an engine's class is, and which installed modules it needs (from which extra).

    `kinds` are what every model of this backend can be asked; None where only the opened engine knows.
    """

    target: str
    needs: tuple[str, ...] = ()
    extra: str = ""
    kinds: frozenset[RequestKind] | None = None


_TORCH = Backend(
    "parity.engines.torch:TorchEngine",
    ("torch", "transformers", "safetensors"),
    "local",
    frozenset({"generation", "loglikelihood"}),
)
_ENDPOINT = Backend("parity.engines.endpoint:EndpointEngine", ("httpx2",), "api")
_WRITES_ONLY = replace(_ENDPOINT, kinds=frozenset({"generation"}))
BACKENDS = {
    Scheme.DUMMY: Backend("parity.engines.dummy:DummyEngine"),
    Scheme.REPLAY: Backend("parity.engines.replay:ReplayEngine"),
    Scheme.FOLDER: _TORCH,
    Scheme.HUB: _TORCH,
    Scheme.OPENAI: _WRITES_ONLY,
    Scheme.ANTHROPIC: _WRITES_ONLY,
    Scheme.HTTP: _ENDPOINT,
}


class Engines:
    """Opens engines when they are first needed; with `keep` all stay open, else the one before is closed.

    One that had to be opened to know its kinds stays open until its turn has come: it is opened, and asked, once.
    """

    def __init__(self, options: EngineOptions, keep: bool) -> None:
        self._options, self._keep = options, keep
        self._open: dict[ModelRef, Engine] = {}
        self._asked: dict[ModelRef, Engine] = {}

    def kinds(self, ref: ModelRef) -> frozenset[RequestKind]:
        """What a model can be asked, known without loading weights.

        Raises:
            EngineError, ModelError, DataError: as `open_engine`, where the engine has to be opened to know.
        """
        backend = BACKENDS.get(ref.scheme)
        if backend is not None and backend.kinds is not None:
            return backend.kinds
        if ref not in self._asked:
            self._asked[ref] = open_engine(ref, self._options)
        return self._asked[ref].capabilities.kinds

    def of(self, ref: ModelRef) -> Engine:
        """The engine of a model.

        Raises:
            EngineError, ModelError: as `open_engine`.
        """
        if ref not in self._open:
            if not self._keep:
                _close(self._open)
            self._open[ref] = self._asked.pop(ref) if ref in self._asked else open_engine(ref, self._options)
        return self._open[ref]

    def close(self) -> None:
        """Close all that are open."""
        _close(self._open)
        _close(self._asked)


def _close(engines: dict[ModelRef, Engine]) -> None:
    while engines:
        engines.popitem()[1].close()


def open_engine(ref: ModelRef, options: EngineOptions | None = None) -> Engine:
    """An engine for a model. Other packages add schemes through the entry-point group `parity.engines`.

    Raises:
        EngineError: no engine runs this form yet, or its libraries are not installed.
        ModelError: the weights are missing or broken.
    """
    plugins = {entry.name: entry.value for entry in entry_points(group="parity.engines")}
    backend = BACKENDS.get(ref.scheme)
    if ref.scheme.value in plugins:
        backend = Backend(plugins[ref.scheme.value])
    if backend is None:
        known = ", ".join(sorted({scheme.value for scheme in BACKENDS} | set(plugins)))
        raise EngineError(
            f"{ref} is a well-formed name, but this version of Parity has no engine for {ref.scheme.value!r} models.",
            f"Engines here: {known}. Answers recorded elsewhere can be compared with `parity gap`, or replayed "
            "with replay:file.",
        )
    missing = [module for module in backend.needs if find_spec(module) is None]
    if missing:
        raise EngineError(
            f"Running {ref} needs {', '.join(missing)}, which is not installed.",
            f"Install it with: pip install 'parity-llm[{backend.extra}]'",
        )
    module, _, name = backend.target.partition(":")
    return cast(Engine, getattr(import_module(module), name)(ref, options or EngineOptions()))
