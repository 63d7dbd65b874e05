"""Values keep the invariants that would be silently false elsewhere."""

import pytest

from parity.core.digests import digest
from parity.core.outputs import Failure, FailureKind, Generation, Loglikelihoods, Usage, decode_output, encode_output
from parity.core.prompts import Fit, Generate, Loglikelihood, RequestId, Sampling, TextPrompt, fingerprint
from parity.core.runs import Identity
from parity.core.scores import Score


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_score_lies_in_the_unit_interval(value):
    with pytest.raises(ValueError, match="score lies in"):
        Score(value)


@pytest.mark.parametrize(
    "output",
    [
        Generation("B\n", "stop", Usage(5, 1, 2, 1), 0.25),
        Loglikelihoods((-1.5, float("-inf")), (1, 3), Usage(4, 4), 0.1),
        Loglikelihoods((-0.5, -0.9), (1, 1), relative=True),
        Failure(FailureKind.CONTEXT_EXCEEDED, "too long"),
    ],
)
def test_outputs_survive_being_written_down(output):
    assert decode_output(encode_output(output)) == output


def test_a_nan_survives_too():
    values = decode_output(encode_output(Loglikelihoods((float("nan"),), (1,)))).values
    assert values[0] != values[0]


def test_log_likelihoods_kept_before_there_were_relative_ones_are_whole():
    kept = '{"type": "Loglikelihoods", "values": [-1.5], "tokens": [1], "usage": {}, "latency_s": 0.0}'
    assert decode_output(kept) == Loglikelihoods((-1.5,), (1,), relative=False)


def test_a_broken_output_is_refused():
    with pytest.raises(ValueError, match="not an encoded output"):
        decode_output('{"type": "Generation"}')


def test_everything_that_changes_an_answer_changes_the_fingerprint():
    request = Loglikelihood(RequestId("a"), TextPrompt("Q"), (" A", " B"))
    other = [
        Loglikelihood(RequestId("a", 1), TextPrompt("Q"), (" A", " B")),
        Loglikelihood(RequestId("a"), TextPrompt("R"), (" A", " B")),
        Loglikelihood(RequestId("a"), TextPrompt("Q"), (" B", " A")),
        Loglikelihood(RequestId("a"), TextPrompt("Q"), (" A", " B"), Fit("truncate")),
        Loglikelihood(RequestId("a"), TextPrompt("Q"), (" A", " B"), contexts=(" c", " d")),
        Loglikelihood(RequestId("a"), TextPrompt("Q"), (" A", " B"), compared=True),
        Generate(RequestId("a"), TextPrompt("Q"), Sampling(5)),
        Generate(RequestId("a"), TextPrompt("Q"), Sampling(5, stop=("\n",))),
    ]
    assert len({fingerprint(r) for r in (request, *other)}) == 1 + len(other)
    assert fingerprint(Loglikelihood(RequestId("b"), TextPrompt("Q"), (" A", " B"))) == fingerprint(request)


def test_the_same_weights_elsewhere_are_the_same_identity():
    assert Identity("a", "w", "torch").digest == Identity("b", "w", "torch").digest
    assert Identity("a", "w", "torch").digest != Identity("a", "x", "torch").digest
    assert (
        Identity("a", "w", "torch", (("torch", "1"),)).digest != Identity("a", "w", "torch", (("torch", "2"),)).digest
    )


def test_what_has_no_canonical_form_is_refused():
    with pytest.raises(TypeError, match="canonical"):
        digest({1, 2})
