"""What can be said about a chat template without rendering it: its digest, how it differs, what it watches for.

A template is foreign code that can change a prompt when a certain text occurs in it, so the literals its conditions
compare with are listed for people to read.
"""

import difflib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

_MAX_CHARACTERS = 256 * 1024
_MAX_DIFFERENCES = 200
# Conditions on these are what every template is made of.
_ORDINARY = frozenset(
    {"system", "user", "assistant", "tool", "function", "developer", "role", "content", "text", "type"}
)


@dataclass(frozen=True, slots=True)
class TemplateFacts:
    """A chat template. `literals`: texts its conditions compare with, ordinary roles left out; None if unreadable."""

    sha256: str
    characters: int
    found_in: str
    literals: tuple[str, ...] | None
    text: str


def facts_of(template: str, found_in: str) -> TemplateFacts:
    """Digest (SHA-256 of its UTF-8 text), length, and the literals its conditions compare with."""
    digest = hashlib.sha256(template.encode("utf-8", "surrogatepass")).hexdigest()
    return TemplateFacts(digest, len(template), found_in, _literals(template), template)


def differences(base: str, other: str) -> tuple[str, ...]:
    """Lines of a unified diff from the base model's template; empty when they are equal."""
    lines = difflib.unified_diff(base.splitlines(), other.splitlines(), "base", "this model", lineterm="", n=1)
    found = [line for _, line in zip(range(_MAX_DIFFERENCES), lines, strict=False)]
    if not found and base != other:
        found = ["only line ends or white space at the end differ"]
    return tuple(found)


def _literals(template: str) -> tuple[str, ...] | None:
    from jinja2 import Environment, TemplateError, nodes
    from jinja2.ext import loopcontrols

    from parity.models.templates.sandbox import GenerationMarks

    if len(template) > _MAX_CHARACTERS:
        return None
    try:
        # Only parsed: nothing of it runs.
        tree = Environment(extensions=[loopcontrols, GenerationMarks]).parse(template)
    except (TemplateError, RecursionError, ValueError):
        return None
    found = (text for node in tree.find_all((nodes.If, nodes.CondExpr)) for text in _texts(node))
    return tuple(dict.fromkeys(text for text in found if text not in _ORDINARY))


def _texts(test: object) -> Iterator[str]:
    from jinja2 import nodes

    if isinstance(test, nodes.If | nodes.CondExpr):
        test = test.test
    if isinstance(test, nodes.Const) and isinstance(test.value, str):
        yield test.value
    elif isinstance(test, nodes.Getitem | nodes.Getattr):
        return  # message['role'] is access, not comparison
    elif isinstance(test, nodes.Node):
        for child in test.iter_child_nodes():
            yield from _texts(child)
