"""A hub look-alike with one made-up model, and a cache of its own."""

import pytest

from models.lookalike import Repository, model_files, started


@pytest.fixture
def hub(tmp_path, monkeypatch):
    server = started({"org/name": Repository(model_files())})
    for name in ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN", "PARITY_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    yield server
    server.shutdown()
    server.server_close()
