"""The worked examples that stand in lm-evaluation-harness's task files and in no data set, as rows in a folder.

Writes `cot_shots.jsonl` (gsm8k_cot) and `minerva_shots.jsonl` (minerva_math). Run by `.venv-peers/bin/python`; knows
nothing of Parity.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import lm_eval
from lm_eval.tasks._yaml_loader import load_yaml

TASKS = Path(lm_eval.__file__).parent / "tasks"
_MARKERS = ("antlr4", "math_verify", "sympy", "sympy.parsing", "sympy.parsing.latex")


def without_markers() -> None:
    """Let minerva_math's module load where what it marks with is not installed: prompts need none of it."""
    known = importlib.metadata.version

    def version(name: str) -> str:
        return "4.11" if name == "antlr4-python3-runtime" else known(name)

    importlib.metadata.version = version
    for name in _MARKERS:
        if name not in sys.modules and importlib.util.find_spec(name.partition(".")[0]) is None:
            sys.modules[name] = ModuleType(name)
    if "math_verify" in sys.modules and not hasattr(sys.modules["math_verify"], "parse"):
        sys.modules["math_verify"].parse = sys.modules["math_verify"].verify = None  # type: ignore[attr-defined]


def cot() -> list[dict[str, Any]]:
    return list(load_yaml(TASKS / "gsm8k" / "gsm8k-cot.yaml")["fewshot_config"]["samples"])


def minerva() -> list[dict[str, Any]]:
    without_markers()
    spec = importlib.util.spec_from_file_location("minerva", TASKS / "minerva_math" / "utils.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.list_fewshot_samples())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder")
    folder = parser.parse_args().out
    for name, rows in (("cot_shots", cot()), ("minerva_shots", minerva())):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


if __name__ == "__main__":
    main()
