"""Egress: every socket is seen, and under --offline nothing but this machine is reached."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

SCRIPT = """
import asyncio, json, os, socket, sys
from parity.errors import ParityError
from parity.files import egress
mode, port = sys.argv[1], int(sys.argv[2])
egress.forbid() if mode == "offline" else egress.watch()
refused = []

def trying(name, act):
    try:
        act()
    except ParityError:
        refused.append(name)
    except OSError:
        pass

def udp(address, family=socket.AF_INET):
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        sock.sendto(b"x", address)

def tcp(address, family=socket.AF_INET):
    with socket.socket(family) as sock:
        sock.settimeout(1)
        sock.connect(address)

def connect_async():
    async def go():
        await asyncio.open_connection("192.0.2.1", 443)
    asyncio.run(go())

if mode == "offline":
    trying("tcp", lambda: tcp(("192.0.2.1", 443)))
    trying("connect_ex", lambda: socket.socket().connect_ex(("192.0.2.1", 443)))
    trying("udp", lambda: udp(("192.0.2.1", 53)))
    trying("sendmsg", lambda: socket.socket(type=socket.SOCK_DGRAM).sendmsg([b"x"], [], 0, ("192.0.2.1", 53)))
    trying("name", lambda: socket.getaddrinfo("example.invalid", 443))
    trying("byname", lambda: socket.gethostbyname("example.invalid"))
    trying("looks like localhost", lambda: socket.getaddrinfo("localhost.example.invalid", 1))
    trying("six", lambda: tcp(("2001:db8::1", 443), socket.AF_INET6))
    trying("mapped", lambda: tcp(("::ffff:192.0.2.1", 443), socket.AF_INET6))
    trying("asyncio", connect_async)
trying("here", lambda: tcp(("127.0.0.1", port)))
trying("here by name", lambda: socket.create_connection(("localhost", port), 1).close())
trying("pair", lambda: [end.close() for end in socket.socketpair()])
before = egress.seen()
trying("again", lambda: tcp(("127.0.0.1", port)))
seen = egress.seen()
found = {"refused": refused, "attempts": seen.attempts, "hosts": seen.hosts, "offline": seen.offline}
found["since"] = [[str(contact), contact.count] for contact in seen.since(before).contacts]
print(json.dumps({**found, "env": os.environ.get("HF_HUB_OFFLINE")}))
"""


class _Quiet(BaseHTTPRequestHandler):
    def log_message(self, *_):
        return


@pytest.fixture
def port():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def run(mode, port):
    command = [sys.executable, "-c", SCRIPT, mode, str(port)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_offline_refuses_every_way_out_and_counts_it(port):
    found = run("offline", port)
    ways = "tcp connect_ex udp sendmsg name byname,looks like localhost,six mapped asyncio"
    assert found["refused"] == [way for part in ways.split(",") for way in ([part] if "like" in part else part.split())]
    assert found["attempts"] == 10
    assert found["offline"] is True
    assert found["env"] == "1"
    assert not [host for host in found["hosts"] if "192.0.2" in host or "invalid" in host]
    assert f"127.0.0.1:{port}" in found["hosts"]


def test_watching_names_each_host_and_refuses_nothing(port):
    found = run("watch", port)
    assert (found["refused"], found["attempts"], found["offline"]) == ([], 0, False)
    assert {f"127.0.0.1:{port}", f"localhost:{port}"} <= set(found["hosts"])
    assert found["since"] == [[f"127.0.0.1:{port}", 1]]
    assert found["env"] is None
