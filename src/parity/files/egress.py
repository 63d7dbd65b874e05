"""Which hosts this process talked to, seen by an audit hook of Python; and, when forbidden, that it talked to none.

Sees every socket that Python opens, in any thread and library. Does not see sockets that compiled code opens itself
(hf_xet's are such, so they are switched off when offline), nor those of other programs.
"""

import os
import socket
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from parity.errors import ParityError

VARIABLE = "PARITY_OFFLINE"
# What libraries beneath us understand, so that they do not even try.
_QUIET = {
    VARIABLE: "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
_HERE = tuple(getattr(socket, name) for name in ("AF_UNIX", "AF_NETLINK") if hasattr(socket, name))
_LOOKUPS = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
_SENDS = ("socket.connect", "socket.sendto", "socket.sendmsg")


class Offline(ParityError):
    """Something tried to reach another host although --offline forbids it."""


@dataclass(frozen=True, slots=True)
class Contact:
    """A host by name or address, its port (0: none was named), how often it was looked up or connected to."""

    host: str
    port: int
    count: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host


@dataclass(frozen=True, slots=True)
class Egress:
    """What was talked to, sorted; and how many attempts to reach another host were refused, when `offline`."""

    contacts: tuple[Contact, ...] = ()
    attempts: int = 0
    offline: bool = False

    def since(self, before: "Egress") -> "Egress":
        """What happened after `before` was seen."""
        counts = Counter({(contact.host, contact.port): contact.count for contact in self.contacts})
        counts.subtract({(contact.host, contact.port): contact.count for contact in before.contacts})
        return Egress(_contacts(counts), self.attempts - before.attempts, self.offline)

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(map(str, self.contacts))


def watch() -> None:
    """Begin to see; once for the whole process, and it cannot be undone."""
    _STATE.install()


def forbid() -> None:
    """Refuse every host but this machine from now on, here and in the parity commands begun from here."""
    os.environ.update(_QUIET)
    _STATE.offline = True
    _STATE.install()


def forbidden() -> bool:
    """Whether other hosts are out of bounds, by `forbid` or by the environment."""
    return _STATE.offline or os.environ.get(VARIABLE, "") not in ("", "0")


def seen() -> Egress:
    """Everything since `watch` or `forbid`."""
    return _STATE.seen()


class _State:
    def __init__(self) -> None:
        # Re-entrant: a signal or a collected object may open a socket while the lock is held.
        self._lock = threading.RLock()
        self._counts: Counter[tuple[str, int]] = Counter()
        self._attempts = 0
        self._installed = False
        self.offline = False

    def install(self) -> None:
        with self._lock:
            if not self._installed:
                sys.addaudithook(self._hook)
                self._installed = True

    def seen(self) -> Egress:
        with self._lock:
            return Egress(_contacts(self._counts), self._attempts, self.offline)

    def _hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if not event.startswith("socket."):
            return
        target = _target(event, arguments)
        if target is None:
            return
        with self._lock:
            if self.offline and not _this_machine(target[0]):
                self._attempts += 1
                raise Offline(
                    f"An attempt to reach {Contact(*target, 1)} was refused: --offline allows this machine only.",
                    "Drop --offline, or use models and data that are on this machine.",
                )
            self._counts[target] += 1


_STATE = _State()


def _target(event: str, arguments: tuple[object, ...]) -> tuple[str, int] | None:
    """The host and port an event is about; None when it stays inside this machine's own kernel."""
    if event in _LOOKUPS:
        host = arguments[0]
        if not host:
            return None
        port = arguments[1] if event == "socket.getaddrinfo" and len(arguments) > 1 else None
        return _text(host), int(port) if isinstance(port, int | str) and str(port).isdigit() else 0
    if event in _SENDS:
        opened, address = arguments[0], arguments[1]
        family = getattr(opened, "family", None)
        if address is None or family in _HERE:
            return None
        if isinstance(address, tuple) and address:
            port = address[1] if len(address) > 1 and isinstance(address[1], int) else 0
            return _text(address[0]), port
        return f"{family}", 0
    return None


def _this_machine(host: str) -> bool:
    if host.lower() in ("localhost", "localhost.localdomain", "ip6-localhost"):
        return True
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    # The unspecified address reaches this machine too; servers print it as their own.
    return mapped.is_loopback or mapped.is_unspecified


def _text(host: object) -> str:
    text = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else str(host)
    return text.rstrip(".").lower()


def _contacts(counts: Mapping[tuple[str, int], int]) -> tuple[Contact, ...]:
    return tuple(Contact(host, port, count) for (host, port), count in sorted(counts.items()) if count > 0)
