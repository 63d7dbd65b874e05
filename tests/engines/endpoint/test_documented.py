"""docs/models.md says what the code does: variables, limits, and a row for every profile."""

import re
from pathlib import Path

from parity.engines.endpoint import limits, transport
from parity.engines.endpoint.faults import LONGEST_WAIT_S
from parity.engines.endpoint.profiles import ANTHROPIC_VERSIONS, PROFILES, REASONING_TOKENS
from parity.engines.open import EngineOptions

PAGE = " ".join((Path(__file__).parents[3] / "docs" / "models.md").read_text().split())


def test_the_numbers_of_the_page_are_those_of_the_code():
    patience = transport.Patience()
    for text in (
        f"At most `--concurrency` ({EngineOptions().concurrency}), beginning with {limits.FIRST}",
        f"asked again, {patience.tries} times at most",
        f"({LONGEST_WAIT_S:.0f} s at most), else {patience.first_wait_s} s doubling to {patience.longest_wait_s:.0f} s",
        f"{transport._SILENT_IN_A_ROW} in a row end the run",
        f"{REASONING_TOKENS:,} for reasoning",
        f"version {ANTHROPIC_VERSIONS[0]} (the default)",
    ):
        assert text in PAGE, text


def test_every_variable_that_is_read_is_named():
    source = "".join(path.read_text() for path in Path(transport.__file__).parent.glob("*.py"))
    read = set(re.findall(r'"((?:OPENAI|ANTHROPIC|PARITY)_(?:[A-Z]+_?)+)"', source))
    assert {"OPENAI_API_KEY", "PARITY_ALLOW_HTTP", "ANTHROPIC_VERSION"} <= read
    assert all(name in PAGE for name in read)


def test_the_table_of_services_tells_the_profiles():
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in re.findall(r"\| (?:OpenAI|Anthropic|Gemini|other)[^\n]*", _table())
    ]
    assert len(rows) == len(PROFILES) - 1  # the two of Gemini share one
    profiles = [row for row in PROFILES if row.name != "Gemini, thinking"]
    wanted = sorted((row.decoding == "asked", row.seed, row.most_stops == 0) for row in profiles)
    told = sorted((cells[1].startswith("sent"), cells[2] != "no", cells[3] == "cut here") for cells in rows)
    assert told == wanted


def _table():
    text = (Path(__file__).parents[3] / "docs" / "models.md").read_text()
    return text[text.index("| service |") :]
