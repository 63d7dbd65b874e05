"""Labels against an oracle that shares no code with them; the whole matrix is benchmarks_perf/tune_data.py."""

from dataclasses import replace
from pathlib import Path

import pytest

from curation import mask_oracle as oracle
from parity.curation.labels import Labeller, Span
from parity.testing.folders import trained_tokenizer

pytest.importorskip("trl", reason="needs the tune extra")


def shipped():
    import trl

    return Path(trl.__file__).parent / "chat_templates"


def opened(template):
    tokenizer = oracle.special_tokenizer(trained_tokenizer(["hello there, how are you today?"] * 3), template)
    return tokenizer, Labeller(tokenizer, template)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen3", "gptoss", "gemma3", "phi3_5", "glm4moe", "deepseekv3", "lfm2_v2", "smolvlm"])
def test_labels_are_those_of_the_training_twin(name):
    twin = oracle.twins(shipped())[name]
    tokenizer, labeller = opened(oracle.unmarked(twin))
    found = [oracle.by_marks(labeller, tokenizer, name, twin, one) for one in oracle.shapes(12)]
    labeller.close()
    assert sum(one.compared for one in found) > 1000
    assert sum(one.mis_masked for one in found) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama3_1", "gemma4_v5", "lfm2_2_5"])
def test_labels_are_those_marked_by_hand(name):
    tokenizer, labeller = opened(oracle.alone(shipped())[name])
    found = [oracle.by_hand(labeller, tokenizer, name, one) for one in oracle.shapes(12)]
    labeller.close()
    assert sum(one.compared for one in found) > 1000
    assert sum(one.mis_masked for one in found) == 0


class Shifted:
    """A labeller whose spans are off by one token."""

    def __init__(self, labeller):
        self._labeller = labeller
        self._reader = labeller._reader

    def label(self, row):
        found = self._labeller.label(row)
        return [replace(one, trained=tuple(Span(a + 1, b) for a, b in one.trained)) for one in found]


def test_the_oracle_sees_a_single_wrong_token():
    twin = oracle.twins(shipped())["qwen2_5"]
    tokenizer, labeller = opened(oracle.unmarked(twin))
    (shape,) = oracle.shapes(1)
    wrong = oracle.by_marks(Shifted(labeller), tokenizer, "qwen2_5", twin, shape)
    labeller.close()
    assert wrong.mis_masked == 1
