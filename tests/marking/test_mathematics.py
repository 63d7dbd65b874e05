"""Mathematics is marked in bounded time from any thread, and goes on after an answer that never ends."""

import threading
import time

import pytest

from parity.core.scores import Score, Unscored
from parity.marking import mathematics
from parity.marking.mathematics import equivalent

pytest.importorskip("math_verify")

HALF = r"so it is $\boxed{\frac{1}{2}}$"


def test_equivalence_from_any_thread():
    found = []
    threads = [threading.Thread(target=lambda: found.append(equivalent(HALF, ("0.5",)))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [mark.value for mark in found] == [1.0] * 3
    assert equivalent(HALF, ("0.25",)).value == 0
    assert equivalent("I do not know.", ("7",)).outside
    assert isinstance(equivalent(HALF, ("",)), Unscored)


def test_a_process_that_never_answers_is_ended_and_the_next_answer_is_marked(monkeypatch):
    """Whatever keeps the process from answering: here it is stopped by a signal, which no alarm in it can help."""
    import signal

    assert equivalent(HALF, ("0.5",)).value == 1
    child = mathematics._process._running
    child.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    found = []
    thread = threading.Thread(target=lambda: found.append(equivalent(HALF, ("0.5",), patience_s=0.5)))
    thread.start()
    thread.join(timeout=30)
    assert found == [Score(0.0, HALF[-80:], outside=True)]
    assert time.monotonic() - begun < 25
    assert child.poll() is not None, "it is not left behind"
    assert equivalent(HALF, ("0.5",)).value == 1


@pytest.mark.parametrize(
    "answer", [r"$\boxed{9^{9^{9^{9}}}}$", r"$\boxed{" + "(" * 400 + "1" + ")" * 400 + "}$", r"$\boxed{10^{10^{8}}!}$"]
)
def test_answers_that_ask_for_too_much_are_wrong_in_time(answer):
    mark = equivalent(answer, ("2",), patience_s=3)
    assert isinstance(mark, Score)
    assert mark.value == 0
    assert equivalent(HALF, ("0.5",)).value == 1
