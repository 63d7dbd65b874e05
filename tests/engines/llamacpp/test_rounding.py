"""What is asked beside a request: with --deterministic not a bit of it moves, without it the report says what may."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from parity.core.outputs import Generation, Loglikelihoods, Output
from parity.core.prompts import Generate, Loglikelihood, Request, RequestId, Sampling, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.llamacpp import LlamaCppEngine
from parity.engines.open import EngineOptions
from parity.measurement.notes import notes_of
from parity.quantization.quantize import QuantizeSpec, quantize
from parity.testing.engine_checks import ENGINE_CHECKS, tolerance_of

HEADS = (
    "Once upon a time there was a little girl who had a red ball and a small brown dog. ",
    "One day, a boy named Tim saw a big tree in the park, and he wanted to climb it with his friends. ",
)
ENDS = ("She", "The dog was", "Tim said that the", "They", "It was a very big", "His mom came and")


@pytest.fixture(scope="module")
def files(stories_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("types")
    source = ModelRef.parse(str(stories_folder))
    return {
        kind: quantize(QuantizeSpec(source, kind, folder / f"{kind}.gguf", threads=1)).files[0]
        for kind in ("F32", "Q8_0", "Q4_0")
    }


def open_engine(file: Path, **options: object) -> LlamaCppEngine:
    return LlamaCppEngine(ModelRef.parse(f"gguf:{file}"), EngineOptions(threads=1, **options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def exact(files: dict[str, Path]) -> Iterator[LlamaCppEngine]:
    engine = open_engine(files["Q8_0"], deterministic=True)
    yield engine
    engine.close()


def requests() -> list[Request]:
    texts = [head + end for head in HEADS for end in ENDS]
    scored = [
        Loglikelihood(RequestId(f"scored {text}"), TextPrompt(text), (" the", " was happy.", " x")) for text in texts
    ]
    written = [Generate(RequestId(f"written {text}"), TextPrompt(text), Sampling(max_tokens=12)) for text in texts[::4]]
    drawn = [
        Generate(RequestId(f"drawn {text}"), TextPrompt(text), Sampling(12, temperature=0.8)) for text in texts[1::5]
    ]
    return [*scored, *written, *drawn]


def said(output: Output) -> object:
    assert isinstance(output, Loglikelihoods | Generation), output
    return output.values if isinstance(output, Loglikelihoods) else output.text


def answers(engine: LlamaCppEngine, blocks: list[list[Request]]) -> dict[RequestId, object]:
    return {key: said(output) for block in blocks for key, output in engine.answer(block)}


@pytest.mark.parametrize(
    ("kind", "cache"), [("F32", "float32"), ("Q8_0", "float32"), ("Q8_0", "float16"), ("Q4_0", "float32")]
)
def test_not_a_bit_moves_with_what_is_asked_beside(kind: str, cache: str, files: dict[str, Path]) -> None:
    asked = requests()
    shuffled = random.Random(3).sample(asked, len(asked))
    engine = open_engine(files[kind], deterministic=True, cache=cache)
    whole = answers(engine, [asked])
    assert answers(engine, [[one] for one in shuffled]) == whole
    engine.close()
    other = open_engine(files[kind], deterministic=True, cache=cache, batch_size=4, pass_tokens=48)
    assert answers(other, [shuffled[:5], shuffled[5:9], shuffled[9:]]) == whole
    assert other.identity.digest == engine.identity.digest
    other.close()


def test_prefixes_are_shared_all_the_same(files: dict[str, Path]) -> None:
    """Exactness is paid for with the tokens of one tile a row, not with every beginning computed again."""
    engine = open_engine(files["Q8_0"], deterministic=True)
    asked = [one for one in requests() if isinstance(one, Loglikelihood)]
    answers(engine, [asked])
    work = engine.token_work
    engine.close()
    assert work is not None
    assert work.distinct < work.computed < 0.7 * work.requested


@pytest.mark.parametrize("check", ENGINE_CHECKS, ids=lambda check: check.__name__)
def test_a_deterministic_engine_of_rounded_weights_conforms(check, exact: LlamaCppEngine) -> None:
    assert tolerance_of(exact) == 0
    check(exact)


def test_what_may_move_is_said_with_the_run(files: dict[str, Path], exact: LlamaCppEngine) -> None:
    notes = {}
    for kind in ("F32", "Q8_0"):
        engine = open_engine(files[kind])
        notes[kind] = " ".join(notes_of(engine.identity.settings))
        assert tolerance_of(engine) > 0
        assert engine.identity.digest != exact.identity.digest
        engine.close()
    assert notes["F32"] == ""
    assert "--deterministic" in notes["Q8_0"]
    assert "same bits" in " ".join(notes_of(exact.identity.settings))


def test_usual_numbers_lie_within_what_is_said(files: dict[str, Path]) -> None:
    asked = [one for one in requests() if isinstance(one, Loglikelihood)]
    engine = open_engine(files["Q8_0"])
    whole, alone = answers(engine, [asked]), answers(engine, [[one] for one in asked])
    limit = tolerance_of(engine)
    engine.close()
    for key, values in whole.items():
        assert alone[key] == pytest.approx(values, abs=limit)
