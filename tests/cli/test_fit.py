"""`parity fit` on the command line."""

import json

import pytest

from models.test_counts import LLAMA_3
from parity.cli.app import main


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_3))
    return str(tmp_path)


def test_json_adds_up(folder, capsys):
    assert main(["fit", folder, "--on", "RTX 3090", "--context", "8192", "--parallel", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["best"] == "BF16"
    for choice in found["choices"]:
        parts = [value for key, value in choice.items() if key.endswith("_bytes") and key != "total_bytes"]
        assert choice["total_bytes"] == sum(parts)
        assert choice["fits"] == (choice["total_bytes"] <= found["device"]["room_bytes"])
    assert found["choices"][0]["kv_bytes"] == 2 * 2**30


def test_training_and_this_machine(folder, capsys):
    assert main(["fit", folder, "--train", "qlora", "--on", "T4"]) == 0
    assert "It fits." in capsys.readouterr().out
    assert main(["fit", folder, "--context", "512"]) == 0
    assert "tokens/s" in capsys.readouterr().out


def test_a_wrong_name_is_usage(folder, capsys):
    assert main(["fit", folder, "--on", "RTX 4009"]) == 2
    assert "RTX 4090" in capsys.readouterr().err
