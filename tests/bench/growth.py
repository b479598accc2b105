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


def run(bench: Bench) -> list[Row]:
    rows = []
    for template, said in ((bench.bare(), "no endpoint"), (bench.told(), "an endpoint")):
        database = bench.wallets(f"grown_{template}", template)
        # Bytes do not depend on waiting for the disk, and many sends make a better average.
        server.sql(database, f"alter database {database} set synchronous_commit = off")
        # Every wallet has sent before: what the first update of a page costs is no share of the next send.
        server.pgbench(database, SEND_BY_MANY, CLIENTS, SECONDS)
        sent, wal, before = counts(database), server.sql(database, "select pg_current_wal_lsn()"), sizes(database)
        server.pgbench(database, SEND_BY_MANY, CLIENTS, SECONDS)
        after, sends = sizes(database), counts(database) - sent
        wal_bytes = float(server.sql(database, f"select pg_current_wal_lsn() - '{wal}'::pg_lsn"))
        grown = {key: (after[key] - before.get(key, 0)) / sends for key in after if after[key] > before.get(key, 0)}
        rows.append(Row(f"table and index of a send, {said}", "bytes", [sum(grown.values())]))
        rows.append(Row(f"WAL of a send, {said}", "bytes", [wal_bytes / sends]))
        shares = sorted(grown.items(), key=lambda share: -share[1])
        listed = ", ".join(f"{key} {size:.0f}" for key, size in shares)
        bench.note(f"Bytes of a send, {said} ({sends:,} sends): {listed}.")
    return rows


def counts(database: str) -> int:
    return int(server.sql(database, "select count(*) from topup.top_up"))
