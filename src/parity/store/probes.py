"""Whether models still answer as they did: every time one was asked again, kept for ever."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256

import sqlalchemy as sa

from parity.core.prompts import Request, fingerprint
from parity.store.schema import answers, marks, probes
from parity.store.workspace import Workspace

ASKING, STEADY, STALE = "asking", "steady", "stale"


@dataclass(frozen=True, slots=True)
class Found:
    """Of `asked` items, how many were answered otherwise at once (`floor_flips`), and than before (`flips`).

    `log_e` is the log of the largest wealth of the bets that the second are more than the first.
    """

    asked: int = 0
    floor_flips: int = 0
    flips: int = 0
    log_e: float = 0.0


@dataclass(frozen=True, slots=True)
class ProbeRecord:
    """One time a model was asked again; the `number`-th on this benchmark, at `alpha` of a false alarm."""

    probe_id: int
    identity: str
    model: str
    benchmark: str
    protocol: str
    number: int
    alpha: float
    status: str
    found: Found
    at: float


class Probes:
    """The probes of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def begin(
        self, identity: str, model: str, benchmark: str, protocol: str, total: float, share: Callable[[int], float]
    ) -> ProbeRecord:
        """A new probe, or the one that was begun and not ended."""
        known = self.of(identity, benchmark)
        if known and known[-1].status == ASKING:
            return known[-1]
        number = len(known) + 1
        values = {"identity": identity, "model": model, "benchmark": benchmark, "protocol": protocol, "number": number}
        values |= {"alpha": total * share(number), "status": ASKING, "at": self._workspace.now(), **asdict(Found())}
        with self._workspace.writing() as connection:
            connection.execute(probes.insert().values(**values))
        return self.of(identity, benchmark)[-1]

    def end(self, probe_id: int, status: str, found: Found) -> None:
        """Write what a probe found."""
        values = {"status": status, "at": self._workspace.now(), **asdict(found)}
        with self._workspace.writing() as connection:
            connection.execute(probes.update().where(probes.c.probe_id == probe_id).values(**values))

    def of(self, identity: str, benchmark: str) -> list[ProbeRecord]:
        """The probes of a model on a benchmark, oldest first."""
        same = (probes.c.identity == identity, probes.c.benchmark == benchmark)
        with self._workspace.reading() as connection:
            rows = connection.execute(probes.select().where(*same).order_by(probes.c.number)).all()
        return [_record(row) for row in rows]

    def first_asked(self, run_id: str, identity: str) -> float | None:
        """When the oldest answer of a finished run came, in seconds since 1970; None where none is left."""
        same = (answers.c.item == marks.c.item, answers.c.draw == marks.c.draw, answers.c.request == marks.c.request)
        query = sa.select(sa.func.min(answers.c.at)).select_from(answers.join(marks, sa.and_(*same)))
        with self._workspace.reading() as connection:
            found = connection.execute(query.where(marks.c.run_id == run_id, answers.c.identity == identity)).scalar()
        return None if found is None else float(found)

    def retire(self, identity: str, requests: Sequence[Request], after: int) -> int:
        """Put a model's answers aside, under an identity of their own, so that they are asked anew; returns how many.

        `after` is the number of the probe that they are put aside after.
        """
        aside = sha256(f"{identity} before probe {after}".encode()).hexdigest()
        count = 0
        with self._workspace.writing() as connection:
            for request in requests:
                same = (answers.c.identity == identity, answers.c.request == fingerprint(request))
                moved = connection.execute(
                    answers.update().where(*same, answers.c.item == request.id.item).values(identity=aside)
                )
                count += moved.rowcount
        return count


def _record(row: object) -> ProbeRecord:
    counted = Found(**{name: getattr(row, name) for name in Found.__slots__})
    fields = {name: getattr(row, name) for name in ProbeRecord.__slots__ if name != "found"}
    return ProbeRecord(**fields, found=counted)
