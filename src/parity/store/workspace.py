"""The workspace: a folder (`.parity/`) with a database, locks and reports. Safe for several processes at once.

SQLite in WAL mode: readers never block, writers wait for each other, and what was committed survives kill -9.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError

from parity.core.digests import canonical
from parity.core.money import Cost
from parity.core.outputs import Output, decode_output, encode_output
from parity.core.prompts import Request, RequestId, RequestKind, fingerprint
from parity.core.runs import Marked, Ran, RunKey, TokenWork
from parity.errors import DataError, StoreError
from parity.files import disk_error, locked
from parity.files.egress import Egress
from parity.store import accounts, schema
from parity.store.accounts import RunAccount
from parity.store.rows import mark_row, marked_of_row

BUSY_TIMEOUT_S = 60.0
_PUT_ANSWER = schema.answers.insert().prefix_with("OR REPLACE")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One row of the history. `status` is "asking" until the last mark is written, then "done".

    `ran` says how answers that are programs were run; None where none was.
    """

    run_id: str
    model: str
    benchmark: str
    protocol: str
    kind: RequestKind
    identity: str
    status: str
    items: int
    created: float
    finished: float | None
    key: dict[str, Any]
    ran: Ran | None = None


@contextmanager
def existing(folder: Path) -> Iterator["Workspace"]:
    """A workspace that is there already, for commands that only look.

    Raises:
        StoreError: there is none at the folder.
    """
    if not (folder / "parity.db").is_file():
        raise StoreError(
            f"There is no workspace at {folder}.", "parity measure makes one; name another with --workspace."
        )
    workspace = Workspace(folder)
    try:
        yield workspace
    finally:
        workspace.close()


class Workspace:
    """Opens or makes the workspace at a folder.

    Raises:
        StoreError: the folder cannot be written, the database is broken or from a newer Parity.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self.database = folder / "parity.db"
        self._clock = clock
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, folder) from error
        # No transactions of the driver's own: `_begin` opens them.
        self._engine = sa.create_engine(
            f"sqlite:///{self.database}", connect_args={"timeout": BUSY_TIMEOUT_S, "isolation_level": None}
        )
        sa.event.listen(self._engine, "connect", _pragmas)
        sa.event.listen(self._engine, "begin", _begin)
        with self.lock("migrations"), self.writing() as connection:
            found = schema.migrate(connection, self._clock())
        if found > len(schema.MIGRATIONS):
            raise StoreError(f"{self.database} was written by a newer Parity (version {found}).", "Upgrade Parity.")

    def close(self) -> None:
        self._engine.dispose()

    def now(self) -> float:
        """Seconds since 1970 by the workspace's clock."""
        return self._clock()

    def lock(self, name: str, on_wait: Callable[[], None] | None = None) -> AbstractContextManager[None]:
        """A lock between processes; freed when its holder dies."""
        return locked(self.folder / "locks" / f"{name}.lock", on_wait)

    def put_answer(self, identity: str, request: Request, output: Output) -> None:
        """Write one answer, for good before this returns. An answer asked again replaces its failure."""
        row = {
            "identity": identity,
            "item": request.id.item,
            "draw": request.id.draw,
            "request": fingerprint(request),
        }
        with self.writing() as connection:
            connection.execute(_PUT_ANSWER, {**row, "output": encode_output(output), "at": self._clock()})

    def answers(self, identity: str, requests: Iterable[Request]) -> dict[RequestId, Output]:
        """The stored answers to these requests; nothing for those never answered."""
        wanted = {(request.id.item, request.id.draw, fingerprint(request)): request.id for request in requests}
        table = schema.answers
        found = {}
        with self.reading() as connection:
            for row in connection.execute(table.select().where(table.c.identity == identity)):
                request_id = wanted.get((row.item, row.draw, row.request))
                if request_id is not None:
                    found[request_id] = decode_output(row.output)
        return found

    def begin_run(self, key: RunKey, items: int) -> None:
        """Record that a run is being asked; a run known already is left as it is."""
        table = schema.runs
        with self.writing() as connection:
            known = connection.execute(table.select().where(table.c.run_id == key.run_id)).first()
            if known is not None:
                if known.digest != key.digest:
                    raise StoreError(f"Two different runs share the id {key.run_id}.", "Use another workspace.")
                return
            connection.execute(
                table.insert().values(
                    run_id=key.run_id,
                    digest=key.digest,
                    model=key.identity.model,
                    benchmark=key.benchmark,
                    protocol=key.protocol,
                    kind=key.kind,
                    identity=key.identity.digest,
                    key=canonical(key),
                    status="asking",
                    items=items,
                    created=self._clock(),
                )
            )

    def finish_run(self, run_id: str, marked: Iterable[tuple[Marked, str]], ran: Ran | None = None) -> None:
        """Write the marks of a run, each with the fingerprint of what was asked, and call it done: all or nothing.

        `ran` says how answers that are programs were run.
        """
        rows = [
            {"run_id": run_id, "position": position, "request": request, **mark_row(entry)}
            for position, (entry, request) in enumerate(marked)
        ]
        with self.writing() as connection:
            connection.execute(schema.marks.delete().where(schema.marks.c.run_id == run_id))
            if rows:
                connection.execute(schema.marks.insert(), rows)
            done = schema.runs.update().where(schema.runs.c.run_id == run_id)
            how = {"isolation": None, "held_objects": None} if ran is None else asdict(ran)
            connection.execute(done.values(status="done", finished=self._clock(), **how))

    def put_call(self, call_id: int | None, run_id: str, egress: Egress) -> int:
        """Write whom one call of a command talked to for a run; None is a new call. Returns the call's id."""
        with self.writing() as connection:
            return accounts.put_call(connection, call_id, run_id, self._clock(), egress)

    def put_cost(self, run_id: str, cost: Cost | None) -> None:
        """Write what the answers of a run cost; None where no price is known."""
        with self.writing() as connection:
            accounts.put_cost(connection, run_id, cost)

    def put_work(self, work_id: int | None, run_id: str, work: TokenWork) -> int:
        """Write what one call of a command has computed for a run by now; None is a new call. Returns its id."""
        with self.writing() as connection:
            return accounts.put_work(connection, work_id, run_id, self._clock(), work)

    def account(self, run_id: str) -> RunAccount:
        """What a run took and cost, and whom it talked to."""
        with self.reading() as connection:
            return accounts.accounts(connection, run_id).get(run_id, RunAccount())

    def accounts(self) -> dict[str, RunAccount]:
        """The account of every run that has one, by run id."""
        with self.reading() as connection:
            return accounts.accounts(connection)

    def runs(self) -> list[RunRecord]:
        """Every run, oldest first."""
        with self.reading() as connection:
            return [_record(row) for row in connection.execute(schema.runs.select().order_by(schema.runs.c.created))]

    def run(self, prefix: str) -> RunRecord:
        """The one run whose id begins with `prefix`; or, for `@1`, `@2` ..., the newest, the one before it ...

        Raises:
            DataError: none, or several.
        """
        runs = self.runs()
        if prefix.startswith("@") and prefix[1:].isdigit():
            at = int(prefix[1:])
            found = [runs[-at]] if 1 <= at <= len(runs) else []
        else:
            found = [record for record in runs if record.run_id.startswith(prefix)]
        if len(found) != 1:
            what = "No run" if not found else f"{len(found)} runs"
            raise DataError(f"{what} in {self.folder} with id {prefix!r}.", "List them with: parity runs")
        return found[0]

    def marks(self, run_id: str) -> list[Marked]:
        """The marks of a finished run, in its order."""
        table = schema.marks
        with self.reading() as connection:
            rows = connection.execute(table.select().where(table.c.run_id == run_id).order_by(table.c.position))
            return [marked_of_row(row) for row in rows]

    def requests(self, run_id: str) -> dict[RequestId, str]:
        """Fingerprint of what was asked, by item and draw, of a finished run."""
        table = schema.marks
        with self.reading() as connection:
            columns = sa.select(table.c.item, table.c.draw, table.c.request)
            rows = connection.execute(columns.where(table.c.run_id == run_id))
            return {RequestId(row.item, row.draw): row.request for row in rows}

    def outputs(self, run_id: str) -> list[tuple[RequestId, str, Output]]:
        """What was answered in a finished run: request id, fingerprint, output, in its order."""
        identity = self.run(run_id).identity
        table, marks = schema.answers, schema.marks
        same = (table.c[key] == marks.c[key] for key in ("item", "draw", "request"))
        joined = table.join(marks, sa.and_(*same))
        query = sa.select(table).select_from(joined).where(marks.c.run_id == run_id, table.c.identity == identity)
        with self.reading() as connection:
            rows = connection.execute(query.order_by(marks.c.position)).all()
        return [(RequestId(row.item, row.draw), row.request, decode_output(row.output)) for row in rows]

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that alone may write: all or nothing."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except DatabaseError as error:
            raise _store_error(error, self.database) from error

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A view of the database that no writer changes."""
        try:
            with self._engine.connect().execution_options(reading=True) as connection:
                yield connection
        except DatabaseError as error:
            raise _store_error(error, self.database) from error


def _begin(connection: sa.Connection) -> None:
    # IMMEDIATE takes the write lock up front, so that two writers wait for each other instead of failing half-way.
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    # A killed process loses nothing; only a power cut can lose the last answers, never the file.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


def _store_error(error: DatabaseError, path: Path) -> StoreError:
    text = str(error.orig)
    todo = "Check the folder and run the same command again."
    if "full" in text:
        todo = "Free some space and run the same command again: what was answered is kept."
    elif "locked" in text:
        todo = "Another process is writing; wait for it or use another --workspace."
    elif "malformed" in text or "not a database" in text:
        todo = "The file is damaged: move it away to begin anew, or restore a copy."
    return StoreError(f"{path}: {text}.", todo)


def _record(row: Any) -> RunRecord:
    fields = {name: getattr(row, name) for name in RunRecord.__slots__ if name not in ("key", "ran")}
    ran = Ran(row.isolation, row.held_objects) if row.isolation else None
    return RunRecord(**fields, key=json.loads(row.key), ran=ran)
