"""What a run took, what it cost and whom it talked to, as rows of tables: one a call of the command, one a run."""

import json
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from parity.core.money import Cost, decode_price, encode_price
from parity.core.runs import TokenWork
from parity.files.egress import Egress
from parity.store.schema import calls, costs, works


@dataclass(frozen=True, slots=True)
class RunAccount:
    """Of all calls that asked for a run. `cost` is None where no price is known, `hosts` where nobody looked.

    `offline`: every call forbade other hosts; `attempts` to reach one were refused. `work` is None where nothing was
    computed here.
    """

    cost: Cost | None = None
    hosts: tuple[str, ...] | None = None
    attempts: int = 0
    offline: bool = False
    work: TokenWork | None = None


def put_work(connection: sa.Connection, work_id: int | None, run_id: str, at: float, work: TokenWork) -> int:
    """Write what one call computed for a run, or what it has computed by now; returns the call's id among works."""
    if work_id is None:
        made = connection.execute(works.insert().values(run_id=run_id, at=at, **asdict(work)))
        assert made.inserted_primary_key is not None
        return int(made.inserted_primary_key[0])
    connection.execute(works.update().where(works.c.work_id == work_id).values(at=at, **asdict(work)))
    return work_id


def put_call(connection: sa.Connection, call_id: int | None, run_id: str, at: float, egress: Egress) -> int:
    """Write a call, or what is now known of it; returns its id."""
    values = {"offline": int(egress.offline), "attempts": egress.attempts, "hosts": json.dumps(egress.hosts)}
    if call_id is None:
        made = connection.execute(calls.insert().values(run_id=run_id, at=at, **values))
        assert made.inserted_primary_key is not None
        return int(made.inserted_primary_key[0])
    connection.execute(calls.update().where(calls.c.call_id == call_id).values(**values))
    return call_id


def put_cost(connection: sa.Connection, run_id: str, cost: Cost | None) -> None:
    """Write what a run cost, in place of what was written before."""
    connection.execute(costs.delete().where(costs.c.run_id == run_id))
    values = {"usd": cost.usd, "price": encode_price(cost.price)} if cost else {"usd": None, "price": None}
    connection.execute(costs.insert().values(run_id=run_id, **values))


def accounts(connection: sa.Connection, run_id: str | None = None) -> dict[str, RunAccount]:
    """The accounts of one run, or of all that have one."""
    called, paid = sa.select(calls).order_by(calls.c.call_id), sa.select(costs)
    worked = sa.select(works)
    if run_id is not None:
        called, paid = called.where(calls.c.run_id == run_id), paid.where(costs.c.run_id == run_id)
        worked = worked.where(works.c.run_id == run_id)
    work: dict[str, TokenWork] = {}
    for row in connection.execute(worked):
        done = TokenWork(**{name: getattr(row, name) for name in TokenWork.__slots__})
        work[row.run_id] = work.get(row.run_id, TokenWork()) + done
    prices = {
        row.run_id: Cost(row.usd, decode_price(row.price)) if row.price else None for row in connection.execute(paid)
    }
    by_run: dict[str, list[sa.Row[tuple[object, ...]]]] = {}
    for row in connection.execute(called):
        by_run.setdefault(row.run_id, []).append(row)
    found = {}
    for run in prices.keys() | by_run.keys() | work.keys():
        rows = by_run.get(run, [])
        hosts = tuple(sorted({host for row in rows for host in json.loads(row.hosts)})) if rows else None
        attempts, offline = sum(row.attempts for row in rows), bool(rows) and all(row.offline for row in rows)
        found[run] = RunAccount(prices.get(run), hosts, attempts, offline, work.get(run))
    return found
