"""Tiny models of every family with rows of 256, and their GGUF files."""

from pathlib import Path

import pytest

from parity.testing.families import WIDE, family_folder
from parity.testing.folders import trained_tokenizer
from quantization.making import to_gguf

TEXTS = ["the cat sat on the mat and the dog ran over the hill", "one two three four five six seven", "A B C D answer"]


@pytest.fixture(scope="session")
def tokenizer():
    return trained_tokenizer(TEXTS * 4, vocabulary=320)


@pytest.fixture(scope="session")
def family(tokenizer, tmp_path_factory):
    """A function from a family's name to its folder, written once."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            # A bias of zero could be lost unseen; a window would only be ignored.
            others = {"attention_bias": True} if name == "codellama" else {}
            sizes = {**WIDE, **({"sliding_window": None} if name == "mistral" else {})}
            made[name] = family_folder(name, tmp_path_factory.mktemp(name) / "model", tokenizer, sizes=sizes, **others)
        return made[name]

    return folder


@pytest.fixture(scope="session")
def f32(family, tmp_path_factory):
    """A function from a family's name to its F32 file, written once."""
    made: dict[str, Path] = {}

    def file(name: str) -> Path:
        if name not in made:
            made[name] = to_gguf(family(name), tmp_path_factory.mktemp("f32") / f"{name}.gguf", "F32").files[0]
        return made[name]

    return file
