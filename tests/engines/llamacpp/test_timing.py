"""How fast a model runs: every token counted once, by whatever clock."""

from pathlib import Path

import numpy as np
import pytest

from parity.core.refs import ModelRef
from parity.engines.llamacpp import LlamaCppEngine
from parity.engines.llamacpp.model import Context, Model, Settings
from parity.engines.llamacpp.timing import timed
from parity.engines.open import EngineOptions
from parity.errors import EngineError


def test_speed_counts_every_token_that_was_computed(stories_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a clock that ticks once for every token: whatever is read or written then runs at one token a tick."""
    ticks, decode = [0], Context.decode

    def counted(self, ids_T, *rest):
        ticks[0] += len(ids_T)
        return decode(self, ids_T, *rest)

    monkeypatch.setattr(Context, "decode", counted)
    monkeypatch.setattr("parity.engines.llamacpp.timing.time.perf_counter", lambda: float(ticks[0]))
    model = Model([stories_gguf], None, Settings(1))
    assert timed(model, 24, 6, 3) == (1.0, 1.0, 1.0)
    with pytest.raises(EngineError, match="too short"):
        timed(model, 500, 30, 1)


def test_the_engine_tells_its_speed(stories_gguf: Path) -> None:
    engine = LlamaCppEngine(ModelRef.parse(f"gguf:{stories_gguf}"), EngineOptions(threads=1))
    found = engine.speed(32, 8, 4)
    engine.close()
    assert found.parallel == 4
    assert min(found.prompt, found.written, found.written_parallel) > 0
    assert np.isfinite([found.prompt, found.written, found.written_parallel]).all()
