"""The only place where a chat template is rendered: jinja2 in its immutable sandbox, with what templates expect.

Templates arrive with weights, so they are foreign code; they see messages and special tokens, nothing else.
"""

import json
from pathlib import Path
from typing import Any, NoReturn

from parity.core.prompts import Message
from parity.errors import ModelError

MAX_TEMPLATE_CHARACTERS = 256 * 1024


def find_template(folder: Path) -> str | None:
    """The chat template of a model folder, from `chat_template.jinja` or the older key of `tokenizer_config.json`."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    config = folder / "tokenizer_config.json"
    found = json.loads(config.read_text(encoding="utf-8")).get("chat_template") if config.is_file() else None
    if isinstance(found, list):
        found = next((entry["template"] for entry in found if entry.get("name") == "default"), None)
    return found if isinstance(found, str) else None


def render(template: str, messages: tuple[Message, ...], special_tokens: dict[str, str]) -> str:
    """The text a model reads for a conversation, ending where its answer begins.

    Raises:
        ModelError: the template is too long, is not valid jinja, or refuses these messages.
    """
    from jinja2 import TemplateError
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    if len(template) > MAX_TEMPLATE_CHARACTERS:
        raise ModelError(f"The chat template has {len(template)} characters.", "Use the model's original template.")
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        return environment.from_string(template).render(messages=turns, add_generation_prompt=True, **special_tokens)
    except TemplateError as error:
        raise ModelError(
            f"The model's chat template refuses this conversation: {error}.", "Use --template none."
        ) from error


def _to_json(value: Any, indent: int | None = None) -> str:
    # jinja2's own filter escapes HTML, which would change what the model reads.
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    from jinja2 import TemplateError

    raise TemplateError(message)
