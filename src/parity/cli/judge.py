"""`parity judge`: a judge's preference between two runs' answers, and what that judge is worth against people."""

import json
import sys
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from parity.cli.options import BENCHMARK, Json, Output, Repeated
from parity.cli.progress import showing
from parity.engines.open import EngineOptions
from parity.errors import UsageError, listed

if TYPE_CHECKING:
    from parity.benchmarks.base import Benchmark
    from parity.benchmarks.judge_styles import Style
    from parity.measurement.judging import JudgeSpec
    from parity.store import Workspace

StyleName = Literal["pairwise", "rubric", "mt-bench", "mt-bench-single", "alpaca-eval", "alpaca-eval-weighted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeAsking:
    """What the judge is asked.

    Parameters
    ----------
    style
        pairwise: a verdict between two answers. rubric: a grade of 1 to 10 for each. mt-bench, mt-bench-single:
        FastChat's prompts and reading. alpaca-eval: AlpacaEval's; alpaca-eval-weighted: by the likelihood of its two
        names.
    prompts
        What the judge is told. pairwise, rubric: a text of your own on what to judge by. mt-bench: FastChat's
        judge_prompts.jsonl. alpaca-eval: a template of an AlpacaEval annotator.
    reference
        Show the judge the right answer of each item.
    template
        chat: the prompt is a user's turn in the judge's chat template. none: the prompt as it is.
    max_pairs
        Judge only so many pairs, drawn at random; more can be judged later.
    """

    style: StyleName = "pairwise"
    prompts: Path | None = None
    reference: bool = False
    template: Literal["none", "chat"] = "chat"
    max_pairs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What the judge may take.

    Parameters
    ----------
    max_tokens
        Stop before the judge uses more tokens than this.
    max_usd
        Stop before this call of the command could cost more dollars.
    prices
        A TOML file of your own prices (see docs/price.md), in place of prices.toml in the workspace.
    """

    max_tokens: int | None = None
    max_usd: float | None = None
    prices: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claiming:
    """What is claimed, and how the verdict is kept.

    Parameters
    ----------
    margin
        How many more losses than wins you tolerate, as a share of all pairs. Without it there is no verdict.
    alpha
        One-sided chance of a false claim, over all looks at the question.
    question
        The question the verdict is entered under in the ledger (see docs/ledger.md).
    no_ledger
        Do not enter the verdict in the ledger: --alpha is then this look's alone, and the page says so.
    """

    margin: float | None = None
    alpha: float = 0.05
    question: str | None = None
    no_ledger: bool = False


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Judging:
    """What to judge.

    Parameters
    ----------
    candidate
        The run of the open model: its id, or @1 for the newest (parity runs lists them).
    baseline
        The run of the model it would replace, on the same items.
    judge
        The model that judges, such as openai:gpt-4o.
    benchmark
        What both runs answered; a TOML file must be named again, any other is known from the run.
    data
        Folder that holds the benchmark's files, as it was measured.
    only
        Only items with this tag, as it was measured. May be repeated.
    human
        A table of people's labels (pair, and label: candidate, baseline or tie) to hold the judge against.
    claim
        What is claimed.
    asking
        What the judge is asked.
    spending
        What the judge may take.
    engine
        How local models run.
    """

    candidate: str
    baseline: str
    _: KW_ONLY
    judge: str
    benchmark: Annotated[str | None, BENCHMARK] = None
    data: Path | None = None
    only: Repeated = ()
    human: Path | None = None
    claim: Annotated[Claiming, Parameter(name="*")] = field(default_factory=Claiming)
    asking: Annotated[JudgeAsking, Parameter(name="*")] = field(default_factory=JudgeAsking)
    spending: Annotated[Spending, Parameter(name="*")] = field(default_factory=Spending)
    engine: Annotated[EngineOptions, Parameter(name="*")] = field(default_factory=EngineOptions)


def judge(
    spec: Judging,
    *,
    workspace: Path = Path(".parity"),
    output: Output = None,
    json_: Json = False,
) -> int:
    """Have a judge prefer one of two runs' answers, item by item, in both orders; equal answers need none.

    The judge's answers are kept as they come: stop at any time and run the same command to go on. The exit code follows
    the judge's verdict, or that of people's labels where there are enough.

    Parameters
    ----------
    workspace
        The folder the runs are in, and where the judge's run goes.
    output
        Also write the page as Markdown to this file.
    json_
        Print one JSON object and nothing else; shares are fractions.
    """
    from parity.files import write_atomic
    from parity.measurement.judging import judge as run
    from parity.measurement.people import read_people
    from parity.reporting.accounts import say_forecast
    from parity.reporting.judgements import judgement_json, judgement_page
    from parity.reporting.markdown import write
    from parity.reporting.terminal import draw, screen
    from parity.store.workspace import existing

    _check(spec)
    people = read_people(spec.human) if spec.human else None
    with existing(workspace) as opened:
        plan = _plan(spec, workspace)
        benchmark = _benchmark(spec, opened)
        with showing(enabled=not json_) as progress:
            found = run(plan, benchmark, opened, people, progress, say_forecast)
    page = judgement_page(found)
    if output:
        write_atomic(output, write(page))
    if json_:
        sys.stdout.write(json.dumps(judgement_json(found), ensure_ascii=False) + "\n")
    else:
        console = screen()
        draw(page, console)
        if output:
            console.print(f"\nWritten to {output}")
    verdict = (found.people and found.people.verdict) or found.gap.verdict
    return verdict.exit_code if verdict else 0


def _plan(spec: Judging, workspace: Path) -> "JudgeSpec":
    """What the command line says, in the words of the verb."""
    from parity.core.refs import ModelRef
    from parity.measurement.asking import Asking
    from parity.measurement.judging import JudgeSpec
    from parity.pricing.own import open_book
    from parity.runs.runner import Budget

    budget = Budget(tokens=spec.spending.max_tokens, usd=spec.spending.max_usd)
    book = open_book(workspace, spec.spending.prices)
    return JudgeSpec(
        spec.candidate,
        spec.baseline,
        ModelRef.parse(spec.judge),
        _style(spec.asking),
        spec.asking.reference,
        spec.claim.margin,
        spec.claim.alpha,
        not spec.claim.no_ledger,
        spec.claim.question,
        Asking(template=spec.asking.template, max_items=spec.asking.max_pairs, budget=budget, book=book),
        spec.engine,
    )


def _style(asking: JudgeAsking) -> "Style":
    from parity.benchmarks.judge_styles import alpaca_eval_styles, fastchat_styles, pairwise_style, rubric_style
    from parity.errors import DataError
    from parity.files import read_text

    if asking.style in ("pairwise", "rubric"):
        own = {"pairwise": pairwise_style, "rubric": rubric_style}[asking.style]
        return own(read_text(asking.prompts, "text on what to judge by", DataError)) if asking.prompts else own()
    assert asking.prompts is not None
    read = fastchat_styles if asking.style.startswith("mt-bench") else alpaca_eval_styles
    return next(style for style in read(asking.prompts) if style.name == asking.style)


def _benchmark(spec: Judging, workspace: "Workspace") -> "Benchmark":
    """The benchmark that is named, or that the candidate's run says it answered."""
    from parity.benchmarks.catalog import catalog, open_benchmark, plugins
    from parity.core.items import Tag
    from parity.measurement.history import finished

    record = finished(workspace, spec.candidate)
    if spec.benchmark is None and record.benchmark not in (*catalog(), *plugins()):
        raise UsageError(
            f"Run {record.run_id} is of {record.benchmark}, a benchmark of your own.", "Name its TOML file with -b."
        )
    return open_benchmark(spec.benchmark or record.benchmark, spec.data, tuple(map(Tag.parse, spec.only)))


def _check(spec: Judging) -> None:
    """Everything that does not fit together, in one message."""
    asking, spending = spec.asking, spec.spending
    theirs = asking.style not in ("pairwise", "rubric")
    graded = asking.style in ("rubric", "mt-bench-single")
    rules = (
        (
            spec.claim.margin is not None and not 0 < spec.claim.margin < 1,
            f"--margin {spec.claim.margin or 0:g} is not a fraction between 0 and 1 (two points are 0.02)",
        ),
        (not 0 < spec.claim.alpha < 0.5, f"--alpha {spec.claim.alpha:g} is not between 0 and 0.5"),
        (asking.max_pairs is not None and asking.max_pairs < 1, f"--max-pairs {asking.max_pairs} is not at least 1"),
        (
            theirs and asking.prompts is None,
            f"--style {asking.style} needs its authors' prompts, which are not shipped: name the file with --prompts",
        ),
        (graded and spec.human is not None, "--human says which answer is better: it goes with a style that compares"),
        (spending.max_tokens is not None and spending.max_tokens < 1, "--max-tokens is not at least 1"),
        (spending.max_usd is not None and not spending.max_usd > 0, "--max-usd is not above 0"),
        *(("=" not in tag, f"--only {tag} is not KIND=VALUE, such as subject=anatomy") for tag in spec.only),
    )
    problems = [problem for broken, problem in rules if broken]
    if problems:
        raise UsageError("This cannot be judged:\n" + listed(problems), "See parity judge --help.")
