"""Where an endpoint is and which key opens it. Knows names and the environment; sends nothing.

A key is read from the service's own variable (OPENAI_API_KEY, ANTHROPIC_API_KEY, PARITY_API_KEY for a URL), else from
the file that the same variable with _FILE names, else from the file that PARITY_API_KEY_FILE names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from parity.core.refs import ModelRef, Scheme
from parity.errors import EngineError, UsageError

Service: TypeAlias = Literal["openai", "anthropic", "gemini", "compatible"]
Api: TypeAlias = Literal["chat", "completions", "messages"]

_OPENAI, _ANTHROPIC, _GEMINI = "api.openai.com", "api.anthropic.com", "generativelanguage.googleapis.com"
_KEYS = {Scheme.OPENAI: "OPENAI_API_KEY", Scheme.ANTHROPIC: "ANTHROPIC_API_KEY", Scheme.HTTP: "PARITY_API_KEY"}


class Key:
    """A secret that neither prints nor compares; only the request that needs it reveals it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def redact(self, text: str) -> str:
        """The text without the secret."""
        return text.replace(self._value, "[key]")

    def __repr__(self) -> str:
        return "Key([key])"

    def __reduce__(self) -> str:
        raise TypeError("a key is not written down")


@dataclass(frozen=True, slots=True)
class Address:
    """One model behind one base URL. `local` is true where the host is this machine."""

    service: Service
    base_url: str
    host: str
    model: str
    api: Api
    local: bool
    key: Key | None = field(default=None, repr=False, compare=False)

    def hide(self, text: str) -> str:
        """The text without the key, should the endpoint have repeated it."""
        return self.key.redact(text) if self.key is not None else text


def find_address(ref: ModelRef, environment: Mapping[str, str]) -> Address:
    """The address that a name and the environment mean.

    Raises:
        UsageError: the URL cannot be meant, would send prompts unencrypted to another machine, or names no model.
        EngineError: the service needs a key and there is none.
    """
    if ref.scheme is Scheme.OPENAI:
        url, api, model = environment.get("OPENAI_BASE_URL") or f"https://{_OPENAI}/v1", "chat", ref.name
    elif ref.scheme is Scheme.ANTHROPIC:
        url, api, model = environment.get("ANTHROPIC_BASE_URL") or f"https://{_ANTHROPIC}", "messages", ref.name
    else:
        url, api, model = ref.name, _api(ref), ref.part or ""
    base_url, host, local = _checked(url, environment)
    if not model:
        raise UsageError(
            f"{ref} does not say which model to ask.",
            f"Write {ref}#MODEL. What the server offers: curl {base_url}/models",
        )
    service = _service(ref.scheme, host)
    key = _key(ref.scheme, environment)
    if key is None and host in (_OPENAI, _ANTHROPIC, _GEMINI):
        name = _KEYS[ref.scheme]
        raise EngineError(f"{host} needs a key, and {name} is not set.", f"Set {name}, or {name}_FILE to a file.")
    return Address(service, base_url, host, model, api, local, key)  # type: ignore[arg-type]


def _api(ref: ModelRef) -> str:
    asked = parse_qsl(urlsplit(ref.name).query, keep_blank_values=True)
    values = [value for _, value in asked]
    if not values:
        return "chat"
    if len(values) > 1 or values[0] not in ("chat", "completions"):
        raise UsageError(
            f"{ref}: api={','.join(values)} is none of chat and completions.",
            "Write ?api=completions for a base model that continues text; a chat model needs nothing.",
        )
    return values[0]


def _checked(url: str, environment: Mapping[str, str]) -> tuple[str, str, bool]:
    """The base URL without its query, its host (and port, where one is given), and whether it is this machine.

    Nothing of a URL that may hold a secret is repeated.
    """
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise UsageError("A base URL holds a user or a password.", "Keys belong in the environment, never in a URL.")
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UsageError("The port of a base URL is not a number up to 65535.", "Write http://host:8000/v1.") from error
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError("A base URL does not begin with http:// or https:// and a host.", "Write https://host/v1.")
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    if base.endswith(("/completions", "/messages", "/models")):
        raise UsageError(f"{base} is one route of an endpoint.", "Write the base URL only, such as https://host/v1.")
    if parts.scheme == "http" and not _is_local(host) and environment.get("PARITY_ALLOW_HTTP") != "1":
        raise UsageError(
            f"{base} is another machine, reached without encryption: prompts and key could be read on the way.",
            "Use https://, or set PARITY_ALLOW_HTTP=1 where the network is yours.",
        )
    return base, host if port is None else f"{host}:{port}", _is_local(host)


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _service(scheme: Scheme, host: str) -> Service:
    if scheme is Scheme.ANTHROPIC:
        return "anthropic"
    if scheme is Scheme.OPENAI or host == _OPENAI:
        return "openai"
    return "gemini" if host == _GEMINI else "compatible"


def _key(scheme: Scheme, environment: Mapping[str, str]) -> Key | None:
    name = _KEYS[scheme]
    if value := environment.get(name, "").strip():
        return Key(_printable(value, name))
    for source in dict.fromkeys((f"{name}_FILE", "PARITY_API_KEY_FILE")):
        if path := environment.get(source):
            try:
                value = Path(path).expanduser().read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not text"
                raise UsageError(f"The file that {source} names cannot be read: {reason}.", "Check it.") from None
            if not value:
                raise UsageError(f"The file that {source} names is empty.", "Write the key into it, on one line.")
            return Key(_printable(value, f"the file that {source} names"))
    return None


def _printable(value: str, source: str) -> str:
    if not value.isascii() or not value.isprintable() or " " in value:
        raise UsageError(f"What {source} holds is no key: it has spaces, several lines or odd characters.", "Check it.")
    return value
