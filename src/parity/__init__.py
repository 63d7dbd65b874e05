"""Parity: how far an open model is from the API you pay for, measured on the same items.

Public nouns and verbs, imported when they are first used, so that `import parity` costs nothing:

    benchmark = parity.open_benchmark("mmlu", Path("data/mmlu"))
    found = parity.measure(parity.MeasureSpec(...), benchmark, parity.Workspace(Path(".parity")))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.benchmarks.catalog import open_benchmark
    from parity.core.gaps import Gap, Verdict
    from parity.core.refs import ModelRef
    from parity.engines.open import EngineOptions, open_engine
    from parity.errors import ParityError
    from parity.measurement.asking import Asking
    from parity.measurement.comparison import compared
    from parity.measurement.measure import MeasureSpec, Stopping, measure
    from parity.measurement.records import read_record
    from parity.measurement.results import Measurement
    from parity.measurement.selecting import SelectSpec, select
    from parity.models.fit import FitSpec, fit
    from parity.models.hub import pull
    from parity.models.inspection import inspect
    from parity.pricing.own import open_book
    from parity.quantization.quantize import QuantizeSpec, quantize
    from parity.store import Workspace
    from parity.tuning.diff import diff
    from parity.tuning.merging import merge
    from parity.tuning.recipe import Plan, Recipe
    from parity.tuning.tune import tune
    from parity.workflows.sweeps import sweep

_HOMES = {
    "Asking": "parity.measurement.asking",
    "EngineOptions": "parity.engines.open",
    "FitSpec": "parity.models.fit",
    "Gap": "parity.core.gaps",
    "MeasureSpec": "parity.measurement.measure",
    "Measurement": "parity.measurement.results",
    "ModelRef": "parity.core.refs",
    "ParityError": "parity.errors",
    "Plan": "parity.tuning.recipe",
    "Recipe": "parity.tuning.recipe",
    "QuantizeSpec": "parity.quantization.quantize",
    "SelectSpec": "parity.measurement.selecting",
    "Stopping": "parity.measurement.measure",
    "Verdict": "parity.core.gaps",
    "Workspace": "parity.store",
    "compared": "parity.measurement.comparison",
    "diff": "parity.tuning.diff",
    "fit": "parity.models.fit",
    "inspect": "parity.models.inspection",
    "measure": "parity.measurement.measure",
    "merge": "parity.tuning.merging",
    "open_benchmark": "parity.benchmarks.catalog",
    "open_book": "parity.pricing.own",
    "open_engine": "parity.engines.open",
    "pull": "parity.models.hub",
    "quantize": "parity.quantization.quantize",
    "read_record": "parity.measurement.records",
    "select": "parity.measurement.selecting",
    "sweep": "parity.workflows.sweeps",
    "tune": "parity.tuning.tune",
}

__all__ = [
    "Asking",
    "EngineOptions",
    "FitSpec",
    "Gap",
    "MeasureSpec",
    "Measurement",
    "ModelRef",
    "ParityError",
    "Plan",
    "QuantizeSpec",
    "Recipe",
    "SelectSpec",
    "Stopping",
    "Verdict",
    "Workspace",
    "compared",
    "diff",
    "fit",
    "inspect",
    "measure",
    "merge",
    "open_benchmark",
    "open_book",
    "open_engine",
    "pull",
    "quantize",
    "read_record",
    "select",
    "sweep",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'parity' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
