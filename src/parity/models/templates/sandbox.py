"""Renders one conversation by one chat template: jinja2 in its immutable sandbox, with what templates expect.

Templates arrive with weights, so they are foreign code. They see messages and special tokens, nothing else: no clock
(`strftime_now` always tells the same day, so that a prompt is the same tomorrow), no files, no Python. How long a
render may take, and how much memory, is the worker's business.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from parity.core.digests import Plain

MAX_TEMPLATE_CHARACTERS = 256 * 1024
# The day that Llama 3's own template falls back on.
TODAY = date(2024, 7, 26)


class Refused(Exception):
    """The template is no valid jinja, does what the sandbox forbids, or refuses these messages."""


class GenerationMarks(Extension):
    """Accepts the marks around what an assistant wrote, which training templates carry; they render as their body."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


def render(
    template: str,
    messages: Sequence[Mapping[str, Plain]],
    special_tokens: Mapping[str, str],
    tools: Sequence[Mapping[str, Plain]] = (),
    prompt: bool = True,
) -> str:
    """The text a model reads for a conversation of turns, in the form templates expect them.

    With `prompt` it ends where the model's answer begins, without it after the last turn.

    Raises:
        Refused: see there.
    """
    if len(template) > MAX_TEMPLATE_CHARACTERS:
        raise Refused(f"it has {len(template)} characters, more than {MAX_TEMPLATE_CHARACTERS}")
    offered = {"tools": tools} if tools else {}
    try:
        compiled = _compiled(template)
        return compiled.render(messages=messages, add_generation_prompt=prompt, **offered, **special_tokens)
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise Refused(f"{type(error).__name__}: {error}") from error
    except RecursionError as error:
        raise Refused("it calls itself without end") from error
    except MemoryError as error:
        raise Refused("it needs more memory than it is given") from error


@lru_cache(maxsize=8)
def _compiled(template: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, GenerationMarks]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = TODAY.strftime
    return environment.from_string(template)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    # jinja2's own filter escapes HTML, which would change what the model reads. The parameters are transformers'.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
