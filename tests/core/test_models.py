"""What a model is made of is one value: equal when equal, and never changed."""

from dataclasses import FrozenInstanceError

import pytest

from parity.core.digests import digest
from parity.core.models import Experts, ModelShape, ParameterCount, SlidingWindow

SHAPE = ModelShape(
    "llama", layers=2, hidden=8, heads=4, kv_heads=2, head_dim=2, ffn=16, vocabulary=32,
    window=SlidingWindow(4, (0,)), experts=Experts(4, 2, 16, (1,)),
)  # fmt: skip


def test_a_shape_is_frozen_and_has_a_digest():
    with pytest.raises(FrozenInstanceError):
        SHAPE.layers = 3
    assert digest(SHAPE) == digest(ModelShape(**{name: getattr(SHAPE, name) for name in SHAPE.__slots__}))
    assert ParameterCount(3, 2, 1) != ParameterCount(3, 1, 2)
