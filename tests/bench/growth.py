"""What a send leaves behind: bytes of each table and index, and of the journal that is written ahead (WAL)."""

import server
from measure import SEND_BY_MANY, Bench
from report import Row

CLIENTS = 8
SECONDS = 15
SIZES = """
    select c.relname, pg_relation_size(c.oid) from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'topup' and c.relkind in ('r', 'i')
    union all
    select 'toast', sum(pg_total_relation_size(c.reltoastrelid))::bigint
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'topup' and c.relkind = 'r' and c.reltoastrelid <> 0
"""


def sizes(database: str) -> dict[str, int]:
    return {name: int(size) for name, size in (line.split("|") for line in server.sql(database, SIZES).splitlines())}


def position(database: str) -> str:
    """Where the journal that is written ahead has come to."""
    return server.sql(database, "select pg_current_wal_lsn()")


def wal_since(database: str, start: str) -> float:
    return float(server.sql(database, f"select pg_current_wal_lsn() - '{start}'::pg_lsn"))


def fan_out(database: str) -> None:
    """As the worker's claims do, but for all that waits; each claims one."""
    while server.sql(database, "select exists (select from topup.outbox)") == "t":
        server.sql(database, "select count(*) from topup.claim_effects(1, 1, '{}', 30)")


def measured(bench: Bench, what: str, sends: int, before: dict[str, int], database: str, wal: float) -> list[Row]:
    after = sizes(database)
    grown = {key: (after[key] - before.get(key, 0)) / sends for key in after if after[key] > before.get(key, 0)}
    shares = sorted(grown.items(), key=lambda share: -share[1])
    listed = ", ".join(f"{key} {size:.0f}" for key, size in shares)
    bench.note(f"Bytes of {what} ({sends:,} sends): {listed}.")
    return [Row(f"table and index of {what}", "bytes", [sum(grown.values())]),
            Row(f"WAL of {what}", "bytes", [wal / sends])]


def run(bench: Bench) -> list[Row]:
    rows = []
    for template, said in ((bench.bare(), "no endpoint"), (bench.told(), "an endpoint")):
        database = bench.wallets(f"grown_{template}", template)
        # Bytes do not depend on waiting for the disk, and many sends make a better average.
        server.sql(database, f"alter database {database} set synchronous_commit = off")
        # What vacuum gives back in between would be missing.
        server.sql(database, "alter table topup.outbox set (autovacuum_enabled = off)")
        # Every wallet has sent before: what the first update of a page costs is no share of the next send.
        server.pgbench(database, SEND_BY_MANY, CLIENTS, SECONDS)
        fan_out(database)
        sent, start, before = counts(database), position(database), sizes(database)
        server.pgbench(database, SEND_BY_MANY, CLIENTS, SECONDS)
        sends = counts(database) - sent
        rows += measured(bench, f"a send, {said}", sends, before, database, wal_since(database, start))
        if template == bench.told():
            start, before = position(database), sizes(database)
            fan_out(database)
            what = "what the worker makes of a send"
            rows += measured(bench, what, sends, before, database, wal_since(database, start))
    return rows


def counts(database: str) -> int:
    return int(server.sql(database, "select count(*) from topup.top_up"))
