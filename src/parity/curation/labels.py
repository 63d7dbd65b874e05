"""From a training row to token ids and which of them are trained: the only place where labels are made.

A token is trained when the model must emit it: the assistant's own words of every turn and the token that ends the
turn. Headers, prompts, tool results and what follows an end are read, never trained. Each row is checked: trained
tokens cover exactly the answers' characters. What cannot be proved is refused with a reason, never guessed.
Special tokens in what people wrote stay plain text, as in the engines. Loads no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from parity.core.examples import Example, Passage, PreferencePair, RatedAnswer, Turn
from parity.curation.dialects import find_dialect
from parity.curation.readings import Answer, Fault, Reader, Reading, Refused
from parity.curation.strings import mapped, strings_of
from parity.errors import ModelError
from parity.files import read_object
from parity.models.special_text import Encoded, SpecialText, StandIns
from parity.models.templates import Refusal, Renderer, find_template

IGNORED = -100  # what torch's cross entropy leaves out


class Span(NamedTuple):
    """Tokens from `start` up to `end`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Labelled:
    """A sequence to train on: its token ids, the spans of them that are trained, and what is doubtful about it.

    `turns` says for every span which turn of the row it is, counted from 0.
    """

    row_id: str
    ids: tuple[int, ...]
    trained: tuple[Span, ...]
    turns: tuple[int, ...] = (0,)
    faults: tuple[Fault, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def trained_tokens(self) -> int:
        return sum(span.end - span.start for span in self.trained)

    @property
    def labels(self) -> list[int]:
        """The ids where they are trained, -100 where not; not shifted (models shift by themselves)."""
        labels = [IGNORED] * len(self.ids)
        for start, end in self.trained:
            labels[start:end] = self.ids[start:end]
        return labels


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """The two endings of a preference pair; each begins with the same `prompt_tokens` ids, which are not trained."""

    chosen: Labelled
    rejected: Labelled
    prompt_tokens: int


Sequences: TypeAlias = tuple[Labelled, ...]


class Labeller:
    """Labels rows for one tokenizer and one chat template (None: passages only).

    `stop_ids` are the tokens at which the served model stops; an answer that ends with none of them is EOS-less. Empty
    means unknown: then the end is whatever special tokens the template writes after an answer.
    """

    def __init__(self, tokenizer: Any, template: str | None, stop_ids: Sequence[int] = ()) -> None:
        self._tokenizer, self._template = tokenizer, template
        self._special = SpecialText(tokenizer)
        self._stops = frozenset(filter(None, (tokenizer.convert_ids_to_tokens(stop) for stop in stop_ids)))
        tokens = {name: str(value) for name, value in tokenizer.special_tokens_map.items() if isinstance(value, str)}
        self._renderer = Renderer(template, tokens) if template is not None else None

    @classmethod
    def of_folder(cls, folder: Path, tokenizer: Any) -> "Labeller":
        """The labeller of a model folder: its template, and the tokens its generation configuration stops at.

        Raises:
            ModelError: a file of the folder is broken.
        """
        stops = {tokenizer.eos_token_id}
        configuration = folder / "generation_config.json"
        if configuration.is_file():
            found = read_object(configuration, "generation configuration", ModelError, "Download the model again.")
            eos = found.get("eos_token_id")
            stops |= set(eos) if isinstance(eos, list) else {eos}
        return cls(tokenizer, find_template(folder), sorted(stop for stop in stops if isinstance(stop, int)))

    def close(self) -> None:
        if self._renderer is not None:
            self._renderer.close()

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, special tokens included."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def label(self, row: Example | RatedAnswer | Passage) -> Sequences | Refused:
        """The sequences of a row: usually one, more where the template rewrites earlier turns.

        Of a rated answer only the completion is trained, and it is always one sequence.

        Raises:
            ModelError: the template renders not even a plain question and answer, or the tokenizer is a slow one.
        """
        if isinstance(row, Passage):
            return self._passage(row)
        if isinstance(row, Example):
            return self._conversation(row, row.id, first_turn=0)
        return self._ending(row.whole(), row.id, len(row.prompt))

    def pair(self, row: PreferencePair) -> LabelledPair | Refused:
        """Both endings of a preference pair, only what follows the prompt trained.

        Raises:
            ModelError: as `label`.
        """
        endings = [self._ending(ending, row.id, len(row.prompt)) for ending in row.endings()]
        chosen, rejected = endings
        if isinstance(chosen, Refused):
            return chosen
        if isinstance(rejected, Refused):
            return rejected
        first, second = chosen[0], rejected[0]
        prompt = first.trained[0].start
        if first.ids[:prompt] != second.ids[:prompt] or second.trained[0].start != prompt:
            return Refused(Fault.UNALIGNED, "the two endings do not begin with the same tokens")
        return LabelledPair(first, second, prompt)

    def prompt_ids(self, turns: Sequence[Turn], tools: Sequence[str] = ()) -> tuple[int, ...] | Refused:
        """Ids of a prompt as the served model is given it, for rollouts and generation."""
        written, guarded = self._guarded(turns)
        job = self._reader.dialect.job(guarded, tools, True)
        (text,) = self._reader.renderer.render_all([job])
        if isinstance(text, Refusal):
            return Refused(Fault.TEMPLATE, f"the template refuses it ({text.reason})")
        return self._encoded(text, written, ()).ids

    @cached_property
    def _reader(self) -> Reader:
        if self._renderer is None:
            raise ModelError(
                "This model has no chat template, so conversations cannot be trained on.",
                "Use passages of text, or put a chat_template.jinja into the model's folder.",
            )
        dialect = find_dialect(self._renderer, self._special.run, self._stops)
        if isinstance(dialect, Refusal):
            raise ModelError(
                f"The model's chat template renders no plain question and answer: {dialect.reason}.",
                "Use the model's original template.",
            )
        return Reader(self._renderer, dialect, self._special.pattern, self._special.run, self._stops)

    def _guarded(self, turns: Sequence[Turn]) -> tuple[StandIns, tuple[Turn, ...]]:
        written = self._special.stand_ins(text for turn in turns for text in strings_of(turn))
        return written, tuple(mapped(turn, written.guard, keys=True) for turn in turns)

    def _ending(self, example: Example, row_id: str, first_turn: int) -> Sequences | Refused:
        """The one sequence of a conversation whose turns from `first_turn` on are trained."""
        found = self._conversation(example, row_id, first_turn)
        if isinstance(found, Refused) or len(found) == 1:
            return found
        return Refused(Fault.TEMPLATE, "the template rewrites earlier turns, so its ending is no single text")

    def _conversation(self, example: Example, row_id: str, first_turn: int) -> Sequences | Refused:
        written, guarded = self._guarded(example.messages)
        readings = self._reader.readings(replace(example, messages=guarded), first_turn)
        if isinstance(readings, Refused):
            return readings
        found = []
        for reading in readings:
            labelled = self._labelled(reading, written, row_id)
            if isinstance(labelled, Refused):
                return labelled
            found.append(labelled)
        return tuple(found)

    def _labelled(self, reading: Reading, written: StandIns, row_id: str) -> Labelled | Refused:
        text, answers = reading.text, reading.answers
        encoded = self._encoded(text, written, ())
        if any(self._straddles(text, encoded, answer.start) for answer in answers):
            # The engine encodes the prompt alone, so that the model begins an answer with a token of its own.
            encoded = self._encoded(text, written, tuple(answer.start for answer in answers))
            if written.restore(text) != self._tokenizer.backend_tokenizer.decode(
                encoded.ids, skip_special_tokens=False
            ):
                return Refused(Fault.UNALIGNED, "a token reaches from the prompt into the answer and cannot be split")
        spans = tuple(_span(encoded, answer) for answer in answers)
        for span, answer in zip(spans, answers, strict=True):
            if not _covers(encoded, span, text, answer):
                return Refused(Fault.UNALIGNED, f"turn {answer.turn + 1}: its tokens are not those of its text")
        faults = dict.fromkeys(fault for answer in answers for fault in answer.faults)
        bos = self._tokenizer.bos_token_id
        if bos is not None and encoded.ids[:2] == (bos, bos):
            faults[Fault.DOUBLE_BOS] = None
        return Labelled(row_id, encoded.ids, spans, tuple(answer.turn for answer in answers), tuple(faults))

    def _straddles(self, text: str, encoded: Encoded, at: int) -> bool:
        """Whether a token reaches over a position; a special one may, which takes the spaces after it too."""
        reaching = (start for start, end in zip(encoded.starts, encoded.ends, strict=True) if start < at < end)
        return any(self._special.pattern.match(text, start) is None for start in reaching)

    def _encoded(self, text: str, written: StandIns, cuts: Sequence[int]) -> Encoded:
        return self._special.encode_between(text, written, cuts) if written or cuts else self._special.encode(text)

    def _passage(self, row: Passage) -> Sequences | Refused:
        """The text between the beginning the tokenizer adds and an end."""
        if not row.text.strip():
            return Refused(Fault.EMPTY_MASK, "no text")
        written = self._special.stand_ins([row.text])
        ids = self._encoded(written.guard(row.text), written, ()).ids
        bos, eos = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        begins = bos is not None and self._tokenizer("a")["input_ids"][0] == bos
        whole = ((bos,) if begins else ()) + ids + ((eos,) if eos is not None else ())
        faults = () if eos is not None else (Fault.NO_EOS,)
        return (Labelled(row.id, whole, (Span(int(begins), len(whole)),), faults=faults),)


def _span(encoded: Encoded, answer: Answer) -> Span:
    inside = [at for at, start in enumerate(encoded.starts) if answer.start <= start < answer.end]
    return Span(inside[0], inside[-1] + 1) if inside else Span(0, 0)


def _covers(encoded: Encoded, span: Span, text: str, answer: Answer) -> bool:
    """Whether the span's tokens are one stretch that covers the answer's characters, spaces aside, and no others."""
    if span.start == span.end or encoded.ends[span.end - 1] > answer.end:
        return False
    covered = answer.start
    for at in range(span.start, span.end):
        start, end = encoded.starts[at], encoded.ends[at]
        if not answer.start <= start <= answer.end or (start > covered and text[covered:start].strip()):
            return False
        covered = max(covered, end)
    return not text[covered : answer.end].strip()


def open_labeller(folder: Path) -> Labeller:
    """The labeller of a model folder, with the folder's own tokenizer; no weights are loaded, nothing is fetched.

    Raises:
        ModelError: the folder holds no tokenizer that can be used, or transformers is not installed.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise ModelError("Labels need transformers.", 'Install it: pip install "parity-llm[local]".') from None
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError) as error:
        todo = "Check the path."
        if (folder / "tokenizer.model").is_file() and not (folder / "tokenizer.json").is_file():
            todo = "It has a tokenizer.model only: get its tokenizer.json too, which says what each token covers."
        raise ModelError(f"{folder} holds no usable tokenizer: {str(error)[:200]}.", todo) from error
    return Labeller.of_folder(folder, tokenizer)
