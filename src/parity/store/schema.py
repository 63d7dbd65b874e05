"""Tables, and the numbered migrations that make them. A migration that has been released is never edited."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Column, Connection, Float, Integer, MetaData, String, Table, Text, UniqueConstraint, inspect
from sqlalchemy.schema import CreateColumn

metadata = MetaData()

migrations = Table("migrations", metadata, Column("number", Integer, primary_key=True), Column("at", Float))

# One answer of one model to one request. `request` is its fingerprint; equal work is found here, whichever run did it.
answers = Table(
    "answers",
    metadata,
    Column("identity", String(64), primary_key=True),
    Column("item", Text, primary_key=True),
    Column("draw", Integer, primary_key=True),
    Column("request", String(64), primary_key=True),
    Column("output", Text, nullable=False),
    Column("at", Float, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", String(12), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("model", Text, nullable=False),
    Column("benchmark", Text, nullable=False),
    Column("protocol", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("identity", String(64), nullable=False),
    Column("key", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("items", Integer, nullable=False),
    Column("created", Float, nullable=False),
    Column("finished", Float),
    Column("isolation", Text),
    Column("held_objects", Integer),
)

# What a finished run says of each draw of each item, in the run's order; `score` is null for an unscored one.
marks = Table(
    "marks",
    metadata,
    Column("run_id", String(12), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("item", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("request", String(64), nullable=False),
    Column("score", Float),
    Column("answer", Text, nullable=False),
    Column("outside", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("draw", Integer, nullable=False, server_default="0"),
)


# One call of a command that asked for a run. `hosts` is a JSON list of host:port; `attempts` were refused.
calls = Table(
    "calls",
    metadata,
    Column("call_id", Integer, primary_key=True),
    Column("run_id", String(12), nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("offline", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("hosts", Text, nullable=False),
)

# What all answers of a finished run cost, at which price. Both are null where no price is known.
costs = Table(
    "costs",
    metadata,
    Column("run_id", String(12), primary_key=True),
    Column("usd", Float),
    Column("price", Text),
)


# What one call of a command computed for a run, in tokens, operations and seconds (core.runs.TokenWork).
works = Table(
    "works",
    metadata,
    Column("work_id", Integer, primary_key=True),
    Column("run_id", String(12), nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("requested", Integer, nullable=False),
    Column("computed", Integer, nullable=False),
    Column("distinct", Integer, nullable=False),
    Column("flops", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("matrix_s", Float, nullable=False),
)


# One look at a question that a verdict was asked of, and what was read from it; one look read at several margins has
# several rows. `basis` is the digest of what was looked at: the same again is the same look.
looks = Table(
    "looks",
    metadata,
    Column("look_id", Integer, primary_key=True),
    Column("question", Text, nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("basis", String(64), nullable=False),
    Column("candidate", Text, nullable=False),
    Column("margin", Float, nullable=False),
    Column("total", Float, nullable=False),
    Column("alpha", Float, nullable=False),
    Column("anytime", Integer, nullable=False),
    Column("verdict", String(16)),
    Column("runs", Text),
    Column("at", Float, nullable=False),
    UniqueConstraint("question", "basis", "margin", "total"),
)

# One time that a model was asked again what it had answered before (measurement.drift); its answers are among the
# others, under an identity of their own. `alpha` is what it may spend of a false alarm; of `asked` items `floor_flips`
# were answered otherwise when asked twice at once, `flips` since the first time.
probes = Table(
    "probes",
    metadata,
    Column("probe_id", Integer, primary_key=True),
    Column("identity", String(64), nullable=False, index=True),
    Column("model", Text, nullable=False),
    Column("benchmark", Text, nullable=False),
    Column("protocol", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("alpha", Float, nullable=False),
    Column("status", String(16), nullable=False),
    Column("asked", Integer, nullable=False),
    Column("floor_flips", Integer, nullable=False),
    Column("flips", Integer, nullable=False),
    Column("log_e", Float, nullable=False),
    Column("at", Float, nullable=False),
)


def _first(connection: Connection) -> None:
    metadata.create_all(connection, tables=[answers, runs, marks])


def _accounts(connection: Connection) -> None:
    metadata.create_all(connection, tables=[calls, costs])


def _draws(connection: Connection) -> None:
    for column in (runs.c.isolation, runs.c.held_objects, marks.c.draw):
        _add(connection, column)


def _add(connection: Connection, column: "Column[Any]") -> None:
    """Add a column to a table that was made before there was one."""
    if column.name not in {known["name"] for known in inspect(connection).get_columns(column.table.name)}:
        definition = CreateColumn(column).compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {column.table.name} ADD COLUMN {definition}")


def _works(connection: Connection) -> None:
    metadata.create_all(connection, tables=[works])


def _looks(connection: Connection) -> None:
    metadata.create_all(connection, tables=[looks, probes])


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (_first, _accounts, _draws, _works, _looks)


def migrate(connection: Connection, now: float) -> int:
    """Bring a database up to date inside the caller's transaction; returns the version found.

    A version above `len(MIGRATIONS)` was written by a newer Parity and is left alone.
    """
    if not inspect(connection).has_table("migrations"):
        metadata.create_all(connection, tables=[migrations])
    done = {row.number for row in connection.execute(migrations.select())}
    found = max(done, default=0)
    for number, step in enumerate(MIGRATIONS, start=1):
        if number not in done:
            step(connection)
            connection.execute(migrations.insert().values(number=number, at=now))
    return found
