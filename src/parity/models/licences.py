"""Under which licence a model says it is: from its card's front matter, or from the text of its licence file."""

import re
from dataclasses import dataclass

from parity.errors import ModelError
from parity.models.model_files import ModelFiles

_CARD = re.compile(r"README\.md", re.I)
_FILE = re.compile(r"(LICEN[CS]E|COPYING)([._-].*)?", re.I)
_FRONT_MATTER = re.compile(r"\A---\r?\n(.*?)^---\s*$", re.M | re.S)
_LINE = re.compile(r"^(license|license_name|base_model):[ \t]*(?:\[\s*)?[\"']?([^\"'\r\n\]#,]+)", re.M)
_FIRST_BYTES = 64 * 1024
_PHRASES = (
    ("LLAMA 2 COMMUNITY LICENSE", "llama2"),
    ("META LLAMA 3 COMMUNITY LICENSE", "llama3"),
    ("LLAMA 3.1 COMMUNITY LICENSE", "llama3.1"),
    ("LLAMA 3.2 COMMUNITY LICENSE", "llama3.2"),
    ("LLAMA 3.3 COMMUNITY LICENSE", "llama3.3"),
    ("APACHE LICENSE", "apache-2.0"),
    ("DEEPSEEK LICENSE", "deepseek"),
    ("TONGYI QIANWEN LICENSE", "tongyi-qianwen"),
    ("QWEN RESEARCH LICENSE", "qwen-research"),
    ("YI SERIES MODELS", "yi-license"),
    ("GEMMA TERMS OF USE", "gemma"),
    ("MISTRAL AI RESEARCH LICENSE", "mrl"),
    ("MIT LICENSE", "mit"),
    ("PERMISSION IS HEREBY GRANTED, FREE OF CHARGE", "mit"),
    ("CREATIVE COMMONS ATTRIBUTION-NONCOMMERCIAL 4.0", "cc-by-nc-4.0"),
)


@dataclass(frozen=True, slots=True)
class Licence:
    """What the model says. `name` is the hub's identifier where it is known; `base_model` as its card names it."""

    name: str | None
    found_in: str | None
    base_model: str | None = None


def find_licence(files: ModelFiles) -> Licence:
    """The licence a folder or repository states; nothing is concluded from silence."""
    names = [entry.name for entry in files.listing()]
    card = next((name for name in names if _CARD.fullmatch(name)), None)
    stated: dict[str, str] = {}
    if card and (matter := _FRONT_MATTER.match(_beginning(files, card))):
        for key, value in _LINE.findall(matter[1]):
            stated.setdefault(key, value.strip())
    base, name = stated.get("base_model"), stated.get("license")
    if name == "other":
        name = stated.get("license_name", name)
    if name:
        return Licence(name, card, base)
    for candidate in names:
        if _FILE.fullmatch(candidate):
            text = " ".join(_beginning(files, candidate).upper().split())
            known = next((label for phrase, label in _PHRASES if phrase in text), None)
            return Licence(known, candidate, base)
    return Licence(None, None, base)


def _beginning(files: ModelFiles, name: str) -> str:
    try:
        return files.open(name).read(0, _FIRST_BYTES).decode("utf-8-sig", "replace")
    except ModelError:
        return ""
