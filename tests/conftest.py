"""No test reaches the network: the hub is offline, and a socket to anywhere but this machine is an error."""

import os
import socket
import tempfile
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
_connect = socket.socket.connect


def _only_this_machine(sock, address):
    host = address[0] if isinstance(address, tuple) else ""
    if host and not host.startswith("127.") and host not in ("::1", "localhost"):
        raise AssertionError(f"a test reached for {host}")
    return _connect(sock, address)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", _only_this_machine)


@pytest.fixture
def open_folder():
    """A temporary folder that may be entered by users other than root, which pytest's own may not."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)
