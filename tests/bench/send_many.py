"""Batches of 100 sends from one wallet; and batches that name the same recipients in another order each."""

import json

import server
from measure import KEY, Bench
from report import Bar, Row

BATCH = 100
RECIPIENTS = 200
OVERLAP_CLIENTS = 20

# count(*) over the replies, and an error where one of them is a refusal.
COUNT = f"select 1 / (count(*) filter (where r ->> 'success' = 'true') = {BATCH})::int from topup.send_many"
REQUESTS = json.dumps([{"platform": "claude", "amount_cents": 100}] * BATCH)
VOUCHERS = f"{COUNT}('{REQUESTS}') r;\n"
OVERLAPPING = f"""{COUNT}((
    select jsonb_agg(jsonb_build_object('platform', 'claude', 'amount_cents', 100, 'recipient_email',
                                        'r' || floor(random() * {RECIPIENTS})::int || '@example.com') order by random())
      from generate_series(1, {BATCH}))) r;
"""


def deadlocks(database: str) -> int:
    return int(server.sql(database, f"select deadlocks from pg_stat_database where datname = '{database}'"))


def run(bench: Bench) -> list[Row]:
    bare, told = bench.bare(), bench.told()
    before, lost = deadlocks(bare), 0

    def overlapping(seconds: float) -> float:
        nonlocal lost
        found = server.pgbench(bare, OVERLAPPING, OVERLAP_CLIENTS, seconds, KEY)
        lost += found.failed
        return found.per_s * BATCH

    found = bench.interleave({
        "TPC-B": bench.tpcb(8),
        "1 client": bench.rate(bare, VOUCHERS, 1, KEY, BATCH),
        "4 clients": bench.rate(bare, VOUCHERS, 4, KEY, BATCH),
        "1 client, told": bench.rate(told, VOUCHERS, 1, KEY, BATCH),
        "overlapping": overlapping,
    })
    bars = [Bar(least=4.0, against="TPC-B, 8 clients", others=found["TPC-B"])]
    return [
        Row("`topup.send_many`, 100 a call, one wallet, 1 client", "sends/s", found["1 client"], bars),
        Row("the same at 4 clients", "sends/s", found["4 clients"], bars),
        Row("the same with an endpoint, 1 client", "sends/s", found["1 client, told"]),
        Row(f"batches to {RECIPIENTS} customers in any order, {OVERLAP_CLIENTS} clients", "sends/s",
            found["overlapping"]),
        Row("deadlocks among them", "", [float(deadlocks(bare) - before + lost)], [Bar(most=0)]),
    ]
