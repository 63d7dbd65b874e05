"""`parity pull` and then `parity measure hf:...` from the shell, from a hub look-alike with a tiny real model."""

import json

import pytest

from models.lookalike import COMMIT, Repository, started
from parity.cli import main
from parity.testing.folders import random_llama_folder, trained_tokenizer

ROWS = [{"question": f"Is {n} even?", "options": ["yes", "no"], "answer": "AB"[n % 2]} for n in range(8)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder, tokenizer = tmp_path_factory.mktemp("model"), trained_tokenizer(["Is one even? yes no A B"] * 3, 300)
    sizes = {"hidden": 16, "layers": 1, "heads": 2, "kv_heads": 1, "ffn": 32, "context_tokens": 256}
    return random_llama_folder(folder, tokenizer, **sizes)


@pytest.fixture
def hub(model, tmp_path, monkeypatch):
    files = {path.name: path.read_bytes() for path in model.iterdir()}
    server = started({"org/tiny": Repository({**files, "README.md": b"tiny", "pytorch_model.bin": b"x"})})
    for name in ("HF_HUB_OFFLINE", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def said(tmp_path, capsys):
    def run(*arguments, code=0):
        capsys.readouterr()
        assert main([*map(str, arguments)]) == code
        out = capsys.readouterr()
        return out.out, out.err

    return run


def test_a_pulled_model_is_measured_as_its_folder_is(hub, model, said, tmp_path, monkeypatch):
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "even.toml").write_text('name = "even"\nitems = "items.jsonl"\nmark = "letter"\n')
    measure = ("measure", "-b", tmp_path / "even.toml", "--workspace", tmp_path / "w", "--json")
    assert "parity pull hf:org/tiny@main" in said(*measure, "hf:org/tiny@main", code=1)[1]
    found = json.loads(said("pull", "hf:org/tiny@main", "--json")[0])
    assert (found["model"], found["commit"]) == (f"hf:org/tiny@{COMMIT}", COMMIT)
    assert found["fetched_bytes"] == found["size_bytes"]
    assert not [entry for entry in found["files"] if entry["name"].endswith(".bin")]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    [pulled] = json.loads(said(*measure, "hf:org/tiny")[0])["models"]
    assert pulled["model"] == f"hf:org/tiny@{COMMIT}"
    [folder] = json.loads(said(*measure, model)[0])["models"]
    assert pulled["run"] == folder["run"]
    assert pulled["hosts"] == []


def test_the_page_names_what_to_use_from_now_on(hub, said):
    page, err = said("pull", "hf:org/tiny")
    assert page.startswith(f"hf:org/tiny@{COMMIT}")
    assert "model.safetensors" in page
    again, _ = said("pull", "hf:org/tiny")
    assert " 0 of them fetched now" in " ".join(again.split())
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["models/folder"], 2, "is not a hub model"),
        (["hf:tiny"], 2, "is not a hub repository"),
        (["hf:org/none"], 1, "There is no model org/none at 127.0.0.1"),
        (["hf:org/tiny", "--stall", "0"], 2, "--stall 0 is not"),
    ],
)
def test_errors_say_what_to_do(hub, said, arguments, code, message):
    assert message in said("pull", *arguments, code=code)[1]
