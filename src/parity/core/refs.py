"""ModelRef: the immutable name of weights or of an endpoint, parsed once, at the edge.

Knows how names are written. Does not know whether what they name exists.
"""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl, urlsplit

from parity.errors import UsageError, did_you_mean


class Scheme(StrEnum):
    """Where the weights are, or who answers."""

    FOLDER = "folder"
    HUB = "hf"
    GGUF = "gguf"
    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    HTTP = "http"
    MAGNET = "magnet"
    REPLAY = "replay"
    DUMMY = "dummy"


@dataclass(frozen=True, slots=True)
class ModelRef:
    """One model. `name` is a path, a repository, a URL or options, by scheme.

    `revision` pins a hub repository; `part` names a model behind a URL or a column of a recorded table.

    >>> ModelRef.parse("hf:Qwen/Qwen2.5-7B@9f8e7d").revision
    '9f8e7d'
    >>> str(ModelRef.parse("http://127.0.0.1:8000/v1#llama"))
    'http://127.0.0.1:8000/v1#llama'
    """

    scheme: Scheme
    name: str
    revision: str | None = None
    part: str | None = None

    @classmethod
    def parse(cls, text: str) -> "ModelRef":
        """Read any form a user may write.

        Raises:
            UsageError: the text is empty, has an unknown scheme, or lacks what its scheme needs.
        """
        text = text.strip()
        if not text:
            raise UsageError("The name of a model is empty.", _FORMS)
        head, colon, rest = text.partition(":")
        if head in ("http", "https"):
            return _with_part(Scheme.HTTP, text)
        if not colon or head.startswith((".", "/", "~")) or "/" in head:
            return cls(Scheme.FOLDER, text)
        known = {scheme.value: scheme for scheme in Scheme}
        if head not in known:
            raise UsageError(
                f"Unknown kind of model {head!r} in {text!r}.", did_you_mean(head, list(known)) + "\n" + _FORMS
            )
        scheme = known[head]
        if scheme is Scheme.HUB:
            return _hub(rest)
        if scheme in (Scheme.REPLAY, Scheme.GGUF):
            return _with_part(scheme, _required(scheme, rest))
        if scheme is Scheme.MAGNET:
            return cls(scheme, _magnet(rest))
        return cls(scheme, rest if scheme is Scheme.DUMMY else _required(scheme, rest))

    def __str__(self) -> str:
        text = self.name if self.scheme in (Scheme.FOLDER, Scheme.HTTP) else f"{self.scheme.value}:{self.name}"
        return text + (f"@{self.revision}" if self.revision else "") + (f"#{self.part}" if self.part else "")

    @property
    def short(self) -> str:
        """A name that fits a table: the last piece of a path, the part behind '#', or the whole."""
        if self.part:
            return self.part
        if self.scheme in (Scheme.FOLDER, Scheme.GGUF, Scheme.REPLAY):
            return self.name.rstrip("/").rsplit("/", 1)[-1] or self.name
        if self.scheme is Scheme.HUB and self.revision:
            return f"hf:{self.name}@{self.revision[:12]}"
        return str(self)


_FORMS = (
    "Write a folder, hf:org/name@revision, gguf:path, openai:model, anthropic:model, "
    "http://host/v1#model, magnet:?xt=..., replay:file, or dummy:."
)


def _required(scheme: Scheme, rest: str) -> str:
    if not rest:
        raise UsageError(f"'{scheme.value}:' needs a name after the colon.", _FORMS)
    return rest


def _with_part(scheme: Scheme, text: str) -> ModelRef:
    name, _, part = text.partition("#")
    if scheme is Scheme.HTTP:
        _check_url(name)
    return ModelRef(scheme, name, part=part or None)


def _check_url(url: str) -> None:
    """Refuse a URL without a host, and one that may hold a secret; what is refused here is printed nowhere."""
    try:
        parts = urlsplit(url)
        unknown = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)} - {"api"}
    except ValueError as error:
        raise UsageError("The URL of an endpoint cannot be read.", _FORMS) from error
    if "@" in parts.netloc:
        raise UsageError(
            "The URL of an endpoint holds a user or a password.",
            "Put the key into the environment (PARITY_API_KEY), or into a file that PARITY_API_KEY_FILE names.",
        )
    if not parts.netloc:
        raise UsageError(f"{url!r} has no host.", _FORMS)
    if unknown or (parts.query and "api=" not in parts.query):
        raise UsageError(
            "The URL of an endpoint has parameters other than api.",
            "Write http://host/v1?api=completions#model, or nothing behind '?'; keys belong in the environment.",
        )


def _hub(rest: str) -> ModelRef:
    name, _, revision = rest.partition("@")
    if name.count("/") != 1 or not all(name.split("/")):
        raise UsageError(f"'hf:{rest}' is not a hub repository.", "Write hf:org/name or hf:org/name@revision.")
    return ModelRef(Scheme.HUB, name, revision=revision or None)


def _magnet(rest: str) -> str:
    if not rest.startswith("?xt="):
        raise UsageError(
            f"'magnet:{rest}' is not a magnet link.", "A magnet link begins with magnet:?xt=urn:btih: or urn:btmh:."
        )
    return rest
