"""lm-evaluation-harness's IFEval verifiers over answers from a file. Run by `.venv-peers/bin/python`.

Two of its rules need NLTK's trained Punkt, which comes by download only: sentences are split by the untrained Punkt,
and words are taken without splitting sentences first. langdetect is seeded. All else is the harness's, untouched.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import langdetect
import nltk
from nltk.tokenize.punkt import PunktSentenceTokenizer

nltk.data.find = lambda *_: True  # the harness looks for the download at import
from lm_eval.tasks.ifeval import instructions_util, utils  # noqa: E402

langdetect.DetectorFactory.seed = 0
instructions_util.count_sentences = lambda text: len(PunktSentenceTokenizer().tokenize(text))
_words = nltk.word_tokenize
instructions_util.nltk.word_tokenize = lambda text: _words(text, preserve_line=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=Path, required=True, help="JSON lines: names, arguments, answer")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines: strict and loose, a truth an instruction")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = [json.loads(line) for line in arguments.answers.read_text("utf-8").split("\n") if line]
    with arguments.out.open("w", encoding="utf-8") as out:
        for row in rows:
            given = utils.InputExample(0, row["names"], "made up", row["arguments"])
            strict = utils.test_instruction_following_strict(given, row["answer"])
            loose = utils.test_instruction_following_loose(given, row["answer"])
            found = {"strict": strict.follow_instruction_list, "loose": loose.follow_instruction_list}
            out.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
