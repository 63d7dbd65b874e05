"""The catalog holds what it says, and every benchmark that the shared data hold passes the public checks."""

import pytest

from parity.benchmarks.catalog import catalog, loader, open_benchmark
from parity.errors import DataError, UsageError
from parity.measurement.accounting import run_forecast
from parity.testing.benchmark_checks import BENCHMARK_CHECKS, run_benchmark_checks
from shared import needs_shared

HERE = {
    "arc_challenge": "mc_benchmarks", "arc_easy": "mc_benchmarks", "winogrande": "mc_benchmarks",
    "piqa": "mc_benchmarks", "boolq": "mc_benchmarks", "openbookqa": "mc_benchmarks",
    "truthfulqa_mc1": "reasoning_benchmarks/truthfulqa", "truthfulqa_mc2": "reasoning_benchmarks/truthfulqa",
    "gsm8k": "reasoning_benchmarks/gsm8k", "bbh": "reasoning_benchmarks/bbh", "ifeval": "reasoning_benchmarks/ifeval",
    "medqa": "domain_medical", "medmcqa": "domain_medical", "pubmedqa": "domain_medical",
    "lawbench-3-3": "domain_legal/lawbench/data", "lawbench-2-3": "domain_legal/lawbench/data",
    "financebench": "domain_finance/financebench/data", "tatqa": "domain_finance/tatqa",
    "headlines": "domain_finance/headlines_frugalgpt", "banking77": "domain_intent/banking77",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", HERE)
def test_items_and_tokens_are_those_of_the_catalog(name):
    entry = catalog()[name]
    benchmark = loader(name)(needs_shared(*HERE[name].split("/")), ())
    forecast = run_forecast(benchmark.protocol(None), benchmark.items, None)
    assert (len(benchmark.items), benchmark.default_protocol) == (entry.items, entry.protocol)
    assert (forecast.prompt_tokens, forecast.completion_tokens) == (entry.prompt_tokens, entry.answer_tokens)
    run_benchmark_checks(benchmark)


def test_every_entry_leads_to_a_loader():
    for name, entry in catalog().items():
        assert callable(loader(name))
        if not entry.hub:
            with pytest.raises(DataError):
                open_benchmark(name)


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'arc_easy'"):
        open_benchmark("arc_esy")


def test_checks_find_what_is_wrong(tmp_path):
    from dataclasses import replace

    from parity.benchmarks.base import Benchmark, Protocol
    from parity.core.items import Item
    from parity.core.prompts import Sampling, TextPrompt
    from parity.core.scores import Score

    good = Protocol("p", "1", lambda item: TextPrompt(item.question), sampling=Sampling(1), read=lambda *_: Score(1.0))
    items = (Item("a", "one", ("A",), ("x", "y")), Item("b", "two", ("B",), ("x", "y")))
    whole = Benchmark("made up", "1", items, {"p": good}, "p")
    run_benchmark_checks(whole)
    forgetful = replace(good, prompt=lambda _: TextPrompt("the same"))
    broken = (
        replace(whole, items=()),
        replace(whole, items=(items[0], items[0])),
        replace(whole, items=(replace(items[0], targets=("C",)),)),
        replace(whole, default_protocol="q"),
        replace(whole, protocols={"p": replace(good, version="")}),
        replace(whole, protocols={"p": forgetful}),
        replace(whole, protocols={"p": replace(good, asks=lambda _: False)}),
    )
    for benchmark in broken:
        with pytest.raises(AssertionError):
            run_benchmark_checks(benchmark)
    assert len(BENCHMARK_CHECKS) == 8
