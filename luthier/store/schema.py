"""The tables of the ledger and of the traces, and the guards that make the ledger append-only.

Bodies are kept as the very text that was hashed. Whether a guard still stands is for the audit to ask (`changed`).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Dialect,
    Engine,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    create_engine,
    inspect,
    select,
    text,
)
from sqlalchemy.types import TypeEngine

from luthier.errors import BadConfig, Tampered
from luthier.store.database import name, reading, writing

SCHEMA = 1
"""Version of the tables below. A change of theirs raises it, and brings the step from the one before."""


class Words(TypeDecorator[str]):
    """Text that sorts by its bytes, so that prefixes are ranges. What is none when it is read is damage."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        return dialect.type_descriptor(Text(collation="C") if dialect.name == "postgresql" else Text())

    def process_result_value(self, value: str | None, dialect: Dialect) -> str:
        if not isinstance(value, str):
            raise Tampered("a row holds something else than the text that was recorded", "restore it from a backup")
        return value


LEDGER = MetaData()
TRACES = MetaData()
NUMBER = BigInteger().with_variant(Integer(), "sqlite")
TEXT = Words()


def table(into: MetaData, called: str, *columns: Column[int] | Column[str]) -> Table:
    """A table whose columns are all filled and, in SQLite, strictly typed."""
    for column in columns:
        column.nullable = False
    return Table(called, into, *columns, sqlite_strict=True)


EVENT = table(
    LEDGER,
    "event",
    Column("seq", NUMBER, primary_key=True, autoincrement=False),
    *(Column(called, TEXT) for called in ("subject", "verb", "body", "at", "by", "leaf")),
)
Index("event_subject", EVENT.c.subject, EVENT.c.seq)
Index("event_verb", EVENT.c.verb, EVENT.c.seq)

RECORD = table(
    LEDGER,
    "record",
    Column("id", TEXT, primary_key=True),
    Column("kind", TEXT),
    Column("body", TEXT),
    Column("seq", NUMBER, ForeignKey("event.seq"), unique=True),  # the event that says when, by whom, and its digest
)
Index("record_kind", RECORD.c.kind, RECORD.c.seq)

EDGE = table(
    LEDGER,
    "edge",
    Column("child", TEXT, ForeignKey("record.id"), primary_key=True),
    Column("role", TEXT, primary_key=True),
    Column("parent", TEXT, ForeignKey("record.id"), primary_key=True, index=True),
)

CHECKPOINT = table(
    LEDGER,
    "checkpoint",
    Column("size", NUMBER, primary_key=True, autoincrement=False),
    *(Column(called, TEXT) for called in ("root", "at", "key", "signature")),
)

TRACE = table(
    TRACES,
    "trace",
    Column("id", TEXT, primary_key=True),
    *(Column(called, TEXT) for called in ("model", "ending", "body", "digest")),
)

ABOUT = {
    into: table(into, "luthier", Column("name", TEXT, primary_key=True), Column("value", TEXT))
    for into in (LEDGER, TRACES)
}

REFUSAL = "the ledger only grows: nothing in it is changed or deleted"
ONCE = {
    "event": "NEW.seq IS NOT (SELECT COALESCE(MAX(seq), 0) + 1 FROM event)",
    "record": "EXISTS (SELECT 1 FROM record WHERE id = NEW.id OR seq = NEW.seq)",
    "checkpoint": "EXISTS (SELECT 1 FROM checkpoint WHERE size = NEW.size)",
}
"""What a new row may not be: INSERT OR REPLACE would otherwise delete the old one without firing its guard."""


def guards(dialect: str) -> list[str]:
    """The statements that raise the guards, in the SQL of `dialect`."""
    tables = [kept.name for kept in LEDGER.sorted_tables]
    if dialect == "sqlite":
        refuse = f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
        changes = [(kept, verb) for kept in tables for verb in ("update", "delete")]
        return [
            *(f"CREATE TRIGGER {kept}_no_{verb} BEFORE {verb} ON {kept} {refuse}" for kept, verb in changes),
            *(f"CREATE TRIGGER {kept}_once BEFORE INSERT ON {kept} WHEN {why} {refuse}" for kept, why in ONCE.items()),
        ]
    body = f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$"
    call = "EXECUTE FUNCTION luthier_refuse()"
    return [
        f"CREATE FUNCTION luthier_refuse() RETURNS trigger LANGUAGE plpgsql AS {body}",
        *(f"CREATE TRIGGER {kept}_no_change BEFORE UPDATE OR DELETE ON {kept} FOR EACH ROW {call}" for kept in tables),
        *(f"CREATE TRIGGER {kept}_no_truncate BEFORE TRUNCATE ON {kept} FOR EACH STATEMENT {call}" for kept in tables),
    ]


def prepare(engine: Engine, tables: MetaData, *, create: bool) -> None:
    """Make sure that `engine` holds `tables` in our version; with `create`, make them where there are none.

    Raises BadConfig where the database is somebody else's, not yet ours, or of another version.
    """
    with reading(engine) as connection:
        found = version(connection, tables)
    if found is None and create:
        with writing(engine) as connection:
            found = version(connection, tables)  # another process may have been faster
            if found is None:
                build(connection, tables)
                found = str(SCHEMA)
    where = name(engine)
    if found is None:
        raise BadConfig(f"{where} is not a Luthier database", "create the workspace with: luthier init")
    if found != str(SCHEMA):
        mend = "install the newer Luthier" if found.isdigit() and int(found) > SCHEMA else "restore it from a backup"
        raise BadConfig(f"{where} has schema {found!r}, and this Luthier reads schema {SCHEMA}", mend)


def version(connection: Connection, tables: MetaData) -> str | None:
    """The schema version that the database says it has; None where it is empty."""
    there = set(inspect(connection).get_table_names())
    about = ABOUT[tables]
    if about.name in there:
        found = connection.execute(select(about.c.value).where(about.c.name == "schema")).scalar()
        return str(found) if found is not None else "unknown"
    if taken := there & set(tables.tables):
        listed = ", ".join(sorted(taken))
        raise BadConfig(
            f"the database already has tables of another program: {listed}", "give Luthier a database of its own"
        )
    return None


def build(connection: Connection, tables: MetaData) -> None:
    """Create tables and guards in the open transaction."""
    tables.create_all(connection)
    connection.execute(ABOUT[tables].insert().values(name="schema", value=str(SCHEMA)))
    if tables is LEDGER:
        for statement in guards(connection.dialect.name):
            connection.execute(text(statement))


def changed(connection: Connection) -> list[str]:
    """How the ledger's tables and guards differ from those that we build, one sentence each."""
    if connection.dialect.name == "sqlite":
        plain = create_engine("sqlite://")
        with plain.begin() as fresh:
            build(fresh, LEDGER)
            ours = parts(fresh)
        plain.dispose()
    else:
        function, *triggers = guards("postgresql")
        ours = {f"trigger {statement.split()[2]}": "O" for statement in triggers}
        ours["function luthier_refuse"] = function.split("$$")[1]
    theirs = parts(connection)
    lost = sorted(part for part in ours if theirs.get(part) != ours[part])
    more = sorted(part for part in theirs.keys() - ours.keys() if part.startswith("trigger "))
    return [f"the database's {part} was changed or removed" for part in lost] + [
        f"the database was given a {part}" for part in more
    ]


def parts(connection: Connection) -> dict[str, str]:
    """The named parts of the ledger's database that an attacker would have to change, and how each is made."""
    if connection.dialect.name == "sqlite":
        asked = "SELECT type || ' ' || name, COALESCE(sql, '') FROM sqlite_master"
    else:
        kept = ", ".join(f"'{kept.name}'" for kept in LEDGER.sorted_tables)
        asked = (
            "SELECT 'trigger ' || tgname, tgenabled::text FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
            f" WHERE NOT tgisinternal AND relname IN ({kept})"
            " UNION ALL SELECT 'function ' || proname, prosrc FROM pg_proc WHERE proname = 'luthier_refuse'"
        )
    return {part: made for part, made in connection.execute(text(asked))}
