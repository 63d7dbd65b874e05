"""Chat templates: rendered as transformers does, within limits, and what a user writes stays text."""

import json
import time

import pytest

from parity.core.prompts import Message
from parity.errors import ModelError
from parity.models.templates import Renderer, find_template

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TURNS = (Message("system", "Be <b>brief</b>."), Message("user", "Grüß Gott"))


@pytest.fixture
def rendered():
    opened = []

    def render(template, messages=TURNS, limit_s=2.0, **tokens):
        renderer = Renderer(template, tokens, limit_s)
        opened.append(renderer)
        return renderer.render(messages)

    yield render
    for renderer in opened:
        renderer.close()


def test_a_conversation_is_rendered(rendered):
    expected = "<|im_start|>system\nBe <b>brief</b>.<|im_end|>\n<|im_start|>user\nGrüß Gott<|im_end|>\n"
    assert rendered(CHATML) == expected + "<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ bos_token }}{{ messages[1].content | tojson }}", '<s>"Grüß Gott"'),
        ("{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.role }}{% endfor %}", "user"),
        ("{% generation %}{{ messages[0].role }}{% endgeneration %}", "system"),
        ("{{ strftime_now('%d %b %Y') }}", "26 Jul 2024"),
        ("{% if tools is defined %}tools{% endif %}{{ messages | length }}", "2"),
    ],
)
def test_what_templates_use_is_there(rendered, template, expected):
    assert rendered(template, bos_token="<s>") == expected


HOSTILE = {
    "attributes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "format": "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}",
    "builtins": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "range": "{% for i in range(10**9) %}x{% endfor %}",
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "memory": "{{ 'a' * 10**11 }}",
    "padding": "{{ '%99999999999d' % 1 }}",
    "numbers": "{{ 9 ** 999999999 }}",
    "output": "{% for a in range(99999) %}{{ 'x' * 1000 }}{% endfor %}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "changes": "{{ messages.append(1) }}",
    "raises": "{{ raise_exception('roles must alternate') }}",
    "syntax": "{% if %}",
    "files": "{% include '/etc/passwd' %}",
    "length": "x" * 300_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_refused_in_time(rendered, name):
    begun = time.monotonic()
    with pytest.raises(ModelError, match="cannot be rendered") as caught:
        rendered(HOSTILE[name])
    assert "--template none" in str(caught.value)
    assert time.monotonic() - begun < 30


def test_after_a_refusal_the_next_conversation_is_rendered():
    endless = HOSTILE["loops"]
    hungry = f"{{% if messages | length > 2 %}}{endless}{{% endif %}}ok"
    renderer = Renderer(hungry, {}, 1.0)
    try:
        with pytest.raises(ModelError, match="longer than 1 seconds"):
            renderer.render((*TURNS, Message("user", "more")))
        assert renderer.render(TURNS) == "ok"
    finally:
        renderer.close()


def test_nothing_of_our_environment_reaches_a_template(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    renderer = Renderer("ok", {})
    try:
        renderer.render(TURNS)
        with open(f"/proc/{renderer._worker._running.pid}/environ", "rb") as environment:
            assert b"canary" not in environment.read()
    finally:
        renderer.close()


def test_templates_are_found_in_both_places(tmp_path):
    assert find_template(tmp_path) is None
    config = tmp_path / "tokenizer_config.json"
    config.write_text(
        json.dumps({"chat_template": [{"name": "tool", "template": "t"}, {"name": "default", "template": "d"}]})
    )
    assert find_template(tmp_path) == "d"
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": "newer"}))
    assert find_template(tmp_path) == "newer"
    (tmp_path / "chat_template.jinja").write_text("j")
    assert find_template(tmp_path) == "j"
    (tmp_path / "chat_template.jinja").unlink()
    (tmp_path / "chat_template.json").unlink()
    config.write_text("[1]")
    with pytest.raises(ModelError, match="JSON object"):
        find_template(tmp_path)
