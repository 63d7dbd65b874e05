"""The ledger of verdicts: every look at a question in its order, kept for ever.

Knows what was looked at and when. Refuses to know how alpha is shared: whoever enters a look brings the rule.
"""

from collections.abc import Callable
from dataclasses import dataclass

from parity.store.schema import looks
from parity.store.workspace import Workspace


@dataclass(frozen=True, slots=True)
class LookRecord:
    """One reading of one look. `total` is the alpha of all looks at the question, `alpha` what this one may spend.

    `basis` is the digest of what was looked at; `anytime` says that it may be looked at while it goes on; `verdict` is
    None until there is one, `runs` names the candidate's and the incumbent's, where what was looked at is a run.
    """

    look_id: int
    question: str
    number: int
    basis: str
    candidate: str
    margin: float
    total: float
    alpha: float
    anytime: bool
    verdict: str | None
    runs: str | None
    at: float


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be looked at, before it is."""

    question: str
    basis: str
    candidate: str
    margin: float
    total: float
    anytime: bool = False


class Ledger:
    """The looks of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def enter(self, entry: Entry, share: Callable[[int], float]) -> LookRecord:
        """Enter a look, or find it where the same was looked at before; `share` of the total is what look k may spend.

        Two processes that enter at once get two numbers.
        """
        with self._workspace.writing() as connection:
            asked = looks.select().where(looks.c.question == entry.question)
            rows = [_record(row) for row in connection.execute(asked)]
            same = [row for row in rows if row.basis == entry.basis]
            for row in same:
                if (row.margin, row.total) == (entry.margin, entry.total):
                    return row
            number = same[0].number if same else 1 + max((row.number for row in rows), default=0)
            values = {name: getattr(entry, name) for name in Entry.__slots__}
            values |= {"number": number, "alpha": entry.total * share(number), "anytime": int(entry.anytime)}
            at = self._workspace.now()
            made = connection.execute(looks.insert().values(**values, verdict=None, at=at)).inserted_primary_key
            assert made is not None
            return _record(connection.execute(looks.select().where(looks.c.look_id == made[0])).one())

    def conclude(self, look_id: int, verdict: str, runs: tuple[str, str] | None = None) -> None:
        """Write what a look said, and which runs hold what it looked at."""
        said = {"verdict": verdict, **({"runs": " ".join(runs)} if runs else {})}
        with self._workspace.writing() as connection:
            connection.execute(looks.update().where(looks.c.look_id == look_id).values(**said))

    def looks(self) -> list[LookRecord]:
        """Every reading of every look, question by question, in their order."""
        query = looks.select().order_by(looks.c.question, looks.c.number, looks.c.look_id)
        with self._workspace.reading() as connection:
            return [_record(row) for row in connection.execute(query)]


def _record(row: object) -> LookRecord:
    fields = {name: getattr(row, name) for name in LookRecord.__slots__}
    return LookRecord(**{**fields, "anytime": bool(fields["anytime"])})
