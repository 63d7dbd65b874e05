"""Tiny bases and rows that every test of this room trains on."""

import json
import random

import pytest

from parity.testing.families import family_folder
from parity.testing.folders import trained_tokenizer
from parity.tuning.recipe import Plan, Recipe

WORDS = "zero one two three four five six seven eight nine ten plus is the sum of"


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sums(count=48, seed=0):
    random.seed(seed)
    pairs = [(random.randint(0, 4), random.randint(0, 4)) for _ in range(count)]
    return [
        {"id": f"sum-{at}", "prompt": f"{a} plus {b} is ", "completion": f"{a + b}"} for at, (a, b) in enumerate(pairs)
    ]


@pytest.fixture(scope="session")
def tokenizer():
    return trained_tokenizer([WORDS, "0 1 2 3 4 5 6 7 8 9 plus is "] * 4, 300)


@pytest.fixture(scope="session")
def base(tokenizer, tmp_path_factory):
    folder = family_folder("llama-2", tmp_path_factory.mktemp("base") / "model", tokenizer)
    # Its chat template ends turns with <|im_end|>, where it must also stop.
    stops = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": stops}))
    return folder


@pytest.fixture(scope="session")
def rows(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("rows") / "train.jsonl", sums())


@pytest.fixture
def planned(base, rows, tmp_path):
    """A plan of a second's work; keywords change the recipe, `plan` the rest."""

    def make(out="out", plan=None, **recipe):
        fields = {"rank": 4, "learning_rate": 5e-3, "epochs": 2, "batch_tokens": 120, **recipe}
        rest = {"base": str(base), "data": rows, "precision": "float32", "looks": 4, **(plan or {})}
        return Plan(out=tmp_path / out, recipe=Recipe(**fields), **rest)

    return make
