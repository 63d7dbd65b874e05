"""`parity pull` over a bad line: drops, stalls, wrong bytes, kills; the right bytes in the end, or none."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from models.lookalike import Repository, model_files, weights
from models.pulling import fetched, refusal
from parity.core.refs import ModelRef
from parity.models.cache import repository_folder
from parity.models.hub import pull
from parity.models.transfer import Patience

PULL = """
import sys
from parity.core.refs import ModelRef
from parity.models.hub import pull
pull(ModelRef.parse("hf:org/name"), on_progress=lambda what, done, total: print(done, total, flush=True))
"""


@pytest.mark.parametrize("times", [1, 3])
def test_dropped_connections_go_on_where_they_broke_off(hub, times):
    hub.faults["model.safetensors"] = [("cut", 1000)] * times
    found = fetched()
    assert found.retries == times
    assert hub.got("model.safetensors") == [None] + [f"bytes={1000 * at}-" for at in range(1, times + 1)]
    assert (found.folder / "model.safetensors").read_bytes() == weights()


def test_many_drops_are_survived_while_bytes_come_and_few_without(hub):
    hub.faults["model.safetensors"] = [("cut", 500)] * 7
    assert fetched().retries == 7
    hub.repositories["org/other"] = Repository(model_files(**{"model.safetensors": weights(seed=3)}))
    hub.faults["model.safetensors"] = [("cut", 0)] * 9
    message = refusal("hf:org/other")
    assert "received 0 bytes" in message
    assert "goes on where it stopped" in message
    assert hub.faults["model.safetensors"] == [("cut", 0)] * 5


def test_a_stall_is_noticed_and_begun_anew_from_there(hub):
    hub.faults["model.safetensors"] = [("stall", 1500)]
    began = time.monotonic()
    found = fetched()
    assert 1.5 < time.monotonic() - began < 20
    assert found.retries == 1
    assert hub.got("model.safetensors") == [None, "bytes=1500-"]


@pytest.mark.parametrize("fault", ["stalls", "fails"])
def test_xet_that_does_not_deliver_is_left_for_plain_http(hub, fault):
    hub.xet = fault
    found = fetched()
    assert found.retries == 1
    assert ("xet", None) in hub.asked
    assert hub.got("model.safetensors") == [None]
    assert (found.folder / "model.safetensors").read_bytes() == weights()


def test_a_slow_line_is_no_stall(hub):
    hub.pace_s = 0.5
    hub.repositories["org/name"].files["model.safetensors"] = weights(1600)
    began = time.monotonic()
    assert pull(ModelRef.parse("hf:org/name"), patience=Patience(stall_s=1.5, backoff_s=0.01)).retries == 0
    assert time.monotonic() - began > 3


def test_wrong_bytes_are_thrown_away_and_asked_for_once_more(hub):
    hub.faults["model.safetensors"] = [("wrong", 0)]
    found = fetched()
    assert found.retries == 1
    assert (found.folder / "model.safetensors").read_bytes() == weights()


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("kind", ["wrong", "long"])
def test_bytes_that_stay_wrong_are_refused_and_not_kept(hub, file, kind):
    hub.faults[file] = [(kind, 0)] * 9
    assert "cannot be trusted" in refusal()
    root = repository_folder("org/name")
    assert not list(root.glob(f"snapshots/*/{file}"))
    assert not list(root.glob("blobs/*incomplete"))


def test_a_listing_with_another_digest_is_refused(hub):
    hub.repositories["org/name"].lies = {"model.safetensors": "0" * 64}
    assert "the hub lists 000000000000" in refusal()


def test_a_server_without_ranges_starts_over(hub):
    hub.faults["model.safetensors"] = [("cut", 1000), ("ignores range", 0)]
    assert (fetched().folder / "model.safetensors").read_bytes() == weights()


@pytest.mark.parametrize("status", [429, 500, 503, 504])
def test_a_busy_hub_is_asked_again(hub, status):
    hub.list_faults = [status]
    hub.faults["model.safetensors"] = [(status, 0)]
    assert fetched().retries == 2


def test_killed_it_goes_on_where_it_was(hub):
    hub.repositories["org/name"].files["model.safetensors"] = weights(50_000)
    hub.pace_s = 0.01
    killed = subprocess.Popen([sys.executable, "-c", PULL], stdout=subprocess.PIPE, text=True)
    for line in killed.stdout:
        done, total = map(int, line.split())
        if total > 100_000 and done > 50_000:
            break
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    time.sleep(0.5)  # its helper process ends when it notices
    [rest] = repository_folder("org/name").glob("blobs/*.incomplete")
    size = rest.stat().st_size
    time.sleep(0.2)
    assert rest.stat().st_size == size >= 40_000
    hub.pace_s = 0.0
    found = fetched()
    assert hub.got("model.safetensors") == [None, f"bytes={size}-"]
    assert (found.folder / "model.safetensors").read_bytes() == weights(50_000)


@pytest.mark.slow
def test_killed_at_random_moments_over_a_bad_line_it_ends_with_the_right_bytes(hub):
    content, chance = weights(100_000), random.Random(5)
    hub.repositories["org/name"].files["model.safetensors"] = content
    hub.pace_s = 0.002
    kinds = ["cut", "cut", "cut", "wrong", 503, "ignores range"]
    hub.faults["model.safetensors"] = [(chance.choice(kinds), chance.randrange(1, 60_000)) for _ in range(12)]
    for _ in range(10):
        process = subprocess.Popen([sys.executable, "-c", PULL], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=chance.uniform(0.5, 2.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for path in repository_folder("org/name").glob("snapshots/*/model.safetensors"):
            assert path.read_bytes() == content
    hub.faults.clear()
    hub.pace_s = 0.0
    assert (fetched().folder / "model.safetensors").read_bytes() == content


def test_two_pulls_at_once_fetch_it_once(hub):
    hub.pace_s = 0.05
    both = [subprocess.Popen([sys.executable, "-c", PULL], stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert hub.got("model.safetensors") == [None]
