"""Splits English text into sentences by rule: a mark, perhaps closing quotes, a space, and no abbreviation before.

A rule, no trained model: it agrees with NLTK's Punkt on ordinary prose and says so nowhere else.
"""

import re

_BREAK = re.compile(r"[.?!]+[\"')\]*”’]*(?=\s+\S)")
_ABBREVIATIONS = frozenset(
    (
        "mr", "mrs", "ms", "dr", "prof", "rev", "gen", "sen", "rep", "st", "sr", "jr", "vs", "etc", "inc", "ltd", "co",
        "corp", "dept", "univ", "vol", "fig", "al", "approx", "e.g", "i.e", "a.m", "p.m", "u.s", "u.k", "u.n", "jan",
        "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
    )
)  # fmt: skip


def sentences(text: str) -> list[str]:
    """The sentences of a text; one without a mark at its end is one as well.

    >>> sentences('Dr. Li left. "Why?" Nobody knew')
    ['Dr. Li left.', '"Why?"', 'Nobody knew']
    """
    found, begin = [], 0
    for match in _BREAK.finditer(text):
        if _goes_on(text, match):
            continue
        found.append(text[begin : match.end()].strip())
        begin = match.end()
    found.append(text[begin:].strip())
    return [sentence for sentence in found if sentence]


def _goes_on(text: str, match: re.Match[str]) -> bool:
    """Whether the sentence goes on behind a mark: after an abbreviation or an initial, or an ellipsis in it."""
    if match.group().startswith(".."):
        return text[match.end() :].lstrip()[:1].islower()
    if match.group() != ".":
        return False
    before = re.search(r"[\w.]*$", text[: match.start()])
    word = before.group() if before else ""
    return word.lower() in _ABBREVIATIONS or bool(re.fullmatch(r"[A-Z]", word))
