"""What tests of `parity pull` share: a quick pull from the look-alike, and its refusal."""

import pytest

from parity.core.refs import ModelRef
from parity.errors import ModelError
from parity.models.hub import pull
from parity.models.transfer import Patience

QUICK = Patience(stall_s=2.0, failures=3, backoff_s=0.01)


def fetched(text="hf:org/name", **options):
    return pull(ModelRef.parse(text), patience=QUICK, **options)


def refusal(text="hf:org/name", **options):
    with pytest.raises(ModelError) as caught:
        fetched(text, **options)
    return str(caught.value)
