"""`parity inspect` on the command line: JSON for machines, a page for people, exit codes."""

import json

import pytest

from models.test_counts import LLAMA_3
from parity.cli.app import main
from parity.testing.hostile_files import hostile_files


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_3))
    (tmp_path / "LICENSE").write_text("META LLAMA 3 COMMUNITY\nLICENSE AGREEMENT")
    return tmp_path


def test_json_has_the_counts_and_nothing_else_is_printed(folder, capsys):
    assert main(["inspect", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["parameters_total"], found["parameters_active"]) == (8_030_261_248, 8_030_261_248)
    assert (found["layers"], found["heads"], found["kv_heads"], found["head_dim"]) == (32, 32, 8, 128)
    assert found["licence"] == {"name": "llama3", "found_in": "LICENSE", "base_model": None}
    assert found["chat_template"] is None


def test_the_page_says_what_it_is(folder, capsys):
    assert main(["inspect", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "8.03 B (8,030,261,248, from the configuration)" in out
    assert "32 query, 8 key-value, of size 128" in out


@pytest.mark.parametrize("name", ["2^63 tensors", "data missing"])
def test_a_broken_file_is_exit_1_and_says_where(name, tmp_path, capsys):
    file = next(file for file in hostile_files() if file.name == name)
    path = tmp_path / f"a.{file.format}"
    path.write_bytes(file.content)
    assert main(["inspect", str(path), "--json"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "byte" in printed.err


def test_an_endpoint_cannot_be_inspected(capsys):
    assert main(["inspect", "openai:gpt-4"]) == 2
    assert "not weights" in capsys.readouterr().err
