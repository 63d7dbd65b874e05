"""Refusals are told from answers by their first words."""

from parity.marking.refusals import is_refusal


def test_refusals_are_seen():
    refused = ("I'm sorry, but no.", "I cannot help with that.", "As an AI, I do not", "I can\u2019t do that")
    assert all(map(is_refusal, refused))
    assert not any(map(is_refusal, ("You can't miss it.", "Sorry for the delay. It is 7.", "The sum is 7.")))
