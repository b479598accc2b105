"""Reads, and what becomes of them and of sends when the ledger has grown."""

from collections.abc import Callable

import server
from measure import KEY, SEND_BY_MANY, Bench, accepted
from report import Bar, Row

CLIENTS = 8
SMALL_ENTRIES = 10_000
CUSTOMERS = 100

READS = {
    "balance": f"select {accepted('topup.balance()')};\n",
    "status": "\\set n random(1, 1000)\nselect "
    + accepted("topup.status((select id from bench.sent where n = :n))") + ";\n",
}
PAGES = {
    "history": f"select {accepted('topup.history()')};\n",
    "statement page": "select " + accepted("topup.statement(p.customer_id, p.account_id, p.at)") + " from bench.page p;\n",
    "delivery log": f"select {accepted('topup.delivery_list()')};\n",
}


def fill(database: str, entries: int) -> None:
    """One endpoint, one real send to each customer, and then rows as if there had been so many more."""
    server.script(database, "endpoints.sql", url="https://example.com/hook", wallets=1)
    send = "bench.accept(topup.send('claude', 100, 'c' || n || '@example.com'))"
    server.sql(database, f"select bench.be(1); select count({send}) from generate_series(1, {CUSTOMERS}) n")
    sends = entries // 2 // CUSTOMERS * CUSTOMERS
    server.script(database, "fill.sql", sends=sends)


def prove(database: str) -> None:
    """What was filled in bulk is what the ledger itself could have written."""
    faults = "select string_agg(invariant || ': ' || detail, '; ') from topup.check() where not holds"
    broken = server.sql(database, faults)
    if broken:
        raise server.Failed(f"the filled ledger does not hold: {broken}")


def run(bench: Bench) -> list[Row]:
    small = bench.wallets("small", prepare=lambda name: fill(name, SMALL_ENTRIES))
    large = bench.wallets("large", prepare=lambda name: fill(name, bench.entries))
    prove(small)
    variants = {"TPC-B": bench.tpcb(CLIENTS)}
    for name, statement in READS.items():
        variants[f"{name}, small"] = bench.rate(small, statement, CLIENTS, KEY)
        variants[f"{name}, large"] = bench.rate(large, statement, CLIENTS, KEY)
    for name, statement in PAGES.items():
        variants[f"{name}, small"] = latency(small, statement)
        variants[f"{name}, large"] = latency(large, statement)
    variants["sends, small"] = bench.rate(small, SEND_BY_MANY, CLIENTS)
    variants["sends, large"] = bench.rate(large, SEND_BY_MANY, CLIENTS)
    found = bench.interleave(variants)
    bars = [Bar(least=5.0, against="TPC-B", others=found["TPC-B"])]
    rows = [Row(f"{name}, 8 clients", "/s", found[f"{name}, small"], bars) for name in READS]
    in_large = f"{bench.entries:,} entries"
    flat = [(name, "/s", {"least": 1 / 1.2}) for name in READS] + [(name, "ms", {"most": 1.2}) for name in PAGES]
    for name, unit, limit in [*flat, ("sends", "/s", {"least": 0.9})]:
        bar = Bar(**limit, against=f"{SMALL_ENTRIES:,}", others=found[f"{name}, small"])
        rows.append(Row(f"{name} with {in_large}", unit, found[f"{name}, large"], [bar]))
    return rows


def latency(database: str, statement: str) -> Callable[[float], float]:
    """The median of one client, in milliseconds."""
    return lambda seconds: server.pgbench(database, statement, 1, seconds, KEY, latencies=True).median_ms
