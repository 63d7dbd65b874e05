"""One call for what most tests here do."""

from parity.core.refs import ModelRef
from parity.quantization.quantize import QuantizeSpec, quantize


def to_gguf(source, target, to, **options):
    return quantize(QuantizeSpec(ModelRef.parse(str(source)), to, target, **options))
