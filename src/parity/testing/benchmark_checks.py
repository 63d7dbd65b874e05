"""What every benchmark must keep: run it on yours before you publish it as an entry point.

    from parity.testing.benchmark_checks import BENCHMARK_CHECKS, run_benchmark_checks

Each check takes a loaded benchmark and raises AssertionError naming what is wrong. No model is asked.
"""

from collections import Counter
from collections.abc import Callable

from parity.benchmarks.base import Benchmark
from parity.core.items import Item
from parity.core.outputs import Failure, FailureKind, Generation, Loglikelihoods, Output
from parity.core.prompts import Loglikelihood, fingerprint
from parity.core.scores import Score, Unscored

Check = Callable[[Benchmark], None]
# Items looked at by checks that render and mark; the first and the last ones.
LOOKED_AT = 20


def check_items_have_ids_of_their_own(benchmark: Benchmark) -> None:
    """There are items, none without an id or a target, no id twice."""
    _expect(bool(benchmark.items), "there are no items")
    twice = [name for name, count in Counter(item.id for item in benchmark.items).items() if count > 1]
    _expect(not twice, f"ids twice: {twice[:3]}")
    marked = any(not protocol.unmarked for protocol in benchmark.protocols.values())
    empty = [item.id for item in benchmark.items if not item.id or (marked and not item.targets)]
    _expect(not empty, f"items without id or target: {empty[:3]}")


def check_targets_are_among_the_options(benchmark: Benchmark) -> None:
    """Where there are options, targets are letters of them."""
    odd = [item.id for item in benchmark.items if item.options and not set(item.targets) <= set(item.letters)]
    _expect(not odd, f"targets that are no option: {odd[:3]}")


def check_protocols_are_named_and_one_is_the_default(benchmark: Benchmark) -> None:
    """Protocols know their names and versions; the default is one of them."""
    _expect(benchmark.default_protocol in benchmark.protocols, f"no protocol {benchmark.default_protocol!r}")
    for name, protocol in benchmark.protocols.items():
        _expect(protocol.name == name, f"{name!r} calls itself {protocol.name!r}")
        _expect(bool(protocol.version), f"{name!r} has no version")


def check_every_protocol_asks_something(benchmark: Benchmark) -> None:
    """A protocol may leave out items, not all of them."""
    for name, protocol in benchmark.protocols.items():
        _expect(bool(benchmark.items_of(protocol)), f"{name!r} asks no item")


def check_requests_are_the_same_every_time(benchmark: Benchmark) -> None:
    """A request is decided by its item: equal when asked again, with options for every target."""
    for item in _some(benchmark):
        for name, protocol in benchmark.protocols.items():
            one, again = protocol.request(item), protocol.request(item)
            _expect(fingerprint(one) == fingerprint(again), f"{item.id} by {name!r} differs from call to call")
            if isinstance(one, Loglikelihood):
                _expect(len(one.continuations) > 1, f"{item.id} by {name!r} has {len(one.continuations)} continuations")


def check_different_items_ask_different_things(benchmark: Benchmark) -> None:
    """Not every item asks the same: a prompt that forgets its item is easy to write and hard to see."""
    items = _some(benchmark)
    for name, protocol in benchmark.protocols.items():
        asked = {fingerprint(protocol.request(item)) for item in items}
        _expect(len(asked) > 1 or len(items) < 2, f"{name!r} asks the same of every item")


def check_failures_are_never_scores(benchmark: Benchmark) -> None:
    """A technical failure is unscored by every protocol."""
    failure = Failure(FailureKind.ENGINE, "made up")
    for name, protocol in benchmark.protocols.items():
        mark = protocol.mark(benchmark.items[0], failure)
        _expect(isinstance(mark, Unscored), f"{name!r} gives a failure {mark}")


def check_marks_are_marks(benchmark: Benchmark) -> None:
    """Whatever is answered, the mark is a score in [0, 1] or says why there is none; the same twice."""
    for item in _some(benchmark)[:4]:
        for name, protocol in benchmark.protocols.items():
            request = protocol.request(item)
            outputs: list[Output] = [Generation(text, "stop") for text in ("", "A", "no idea", "7" * 400)]
            if isinstance(request, Loglikelihood):
                count = len(request.continuations)
                outputs = [Loglikelihoods(tuple(-1.0 - at for at in range(count)), (1,) * count)]
            for output in outputs:
                one, again = protocol.mark(item, output), protocol.mark(item, output)
                _expect(isinstance(one, Score | Unscored), f"{item.id} by {name!r}: {one!r} is no mark")
                _expect(one == again, f"{item.id} by {name!r}: {one} then {again}")


BENCHMARK_CHECKS: tuple[Check, ...] = (
    check_items_have_ids_of_their_own,
    check_targets_are_among_the_options,
    check_protocols_are_named_and_one_is_the_default,
    check_every_protocol_asks_something,
    check_requests_are_the_same_every_time,
    check_different_items_ask_different_things,
    check_failures_are_never_scores,
    check_marks_are_marks,
)


def run_benchmark_checks(benchmark: Benchmark) -> None:
    """All checks; the first that fails raises AssertionError."""
    for check in BENCHMARK_CHECKS:
        check(benchmark)


def _some(benchmark: Benchmark) -> list[Item]:
    return [*benchmark.items[: LOOKED_AT // 2], *benchmark.items[LOOKED_AT // 2 :][-LOOKED_AT // 2 :]]


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)
