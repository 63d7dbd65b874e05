"""Documents that cannot lie: every console block is run, and what it prints is what the document shows.

In a block, a line beginning with `$ ` is a command, the lines after it its output; a line `...` stands for any lines,
and `...` in a line for any text.
`PARITY_UPDATE_DOCS=1 pytest tests/docs` writes today's output into the documents instead (keeping `...` blocks).
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
UPDATE = bool(os.environ.get("PARITY_UPDATE_DOCS"))


def steps_of(block):
    """(command, expected lines) of a block."""
    steps = []
    for line in block.rstrip("\n").split("\n"):
        if line.startswith("$ "):
            steps.append((line[2:], []))
        else:
            steps[-1][1].append(line)
    return steps


def run(command, folder):
    command = "parity demo" if command == "make demo" else command
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "NO_COLOR": "1"}
    environment.pop("COLUMNS", None)
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False, env=environment, timeout=300
    )
    return [line.rstrip() for line in done.stdout.splitlines()], done.stderr


def matches(expected, printed):
    """Whether printed lines are the expected ones, `...` standing for any."""
    if not expected:
        return not printed
    if expected[0] == "...":
        return any(matches(expected[1:], printed[at:]) for at in range(len(printed) + 1))
    pattern = ".*".join(map(re.escape, expected[0].split("...")))
    return bool(printed) and bool(re.fullmatch(pattern, printed[0])) and matches(expected[1:], printed[1:])


def shown(command, expected, printed):
    kept = expected if matches(expected, printed) else printed  # what `...` stands for stays short
    return "\n".join([f"$ {command}", *kept])


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_print_what_the_document_shows(document, tmp_path):
    shutil.copytree(ROOT / "examples", tmp_path, dirs_exist_ok=True)
    text = document.read_text()
    blocks = BLOCK.findall(text)
    for block in blocks:
        again = []
        for command, expected in steps_of(block):
            printed, problems = run(command, tmp_path)
            again.append(shown(command, expected, printed))
            if not UPDATE:
                assert matches(expected, printed), f"$ {command}\n" + "\n".join(printed) + problems
        if UPDATE:
            text = text.replace(block, "\n".join(again) + "\n")
    if UPDATE:
        document.write_text(text)


def test_every_verb_has_its_page():
    from parity.cli.app import VERBS

    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert {verb for verbs in VERBS.values() for verb in verbs} <= pages


def test_every_verb_has_its_line_in_the_help(capsys):
    from parity.cli import main
    from parity.cli.app import VERBS

    main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    for verb in (verb for verbs in VERBS.values() for verb in verbs):
        assert any(re.match(rf"│ {verb} +\w+\W+\w+", line) for line in lines), verb


def test_links_between_documents_lead_somewhere():
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_make_targets_named_in_the_documents_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for document in DOCUMENTS:
        named = set(
            re.findall(r"\bmake ([a-z-]+)\b", " ".join(re.findall(r"`[^`]+`|^\$ .*$", document.read_text(), re.M)))
        )
        assert named <= targets, f"{document.name}: {named - targets}"


def test_the_picture_is_the_one_the_demo_draws():
    from parity.reporting.demo import subject_svg
    from parity.workflows.demo import recorded_gaps

    drawn = subject_svg(recorded_gaps()[1])
    path = ROOT / "docs" / "images" / "llama-3-70b-against-gpt-4.svg"
    if UPDATE:
        path.write_text(drawn)
    assert path.read_text() == drawn


def test_examples_run(tmp_path):
    for example in sorted((ROOT / "examples").glob("*.py")):
        assert len(example.read_text().splitlines()) <= 40
        done = subprocess.run([sys.executable, example], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
