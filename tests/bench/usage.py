"""Usage events in batches of 100, each batch of one of 1,000 customers."""

import server
from measure import Bench, KEY, accepted
from report import Bar, Row

CLIENTS = 8
BATCH = 100
CUSTOMERS = 1000


def run(bench: Bench) -> list[Row]:
    metered = bench.wallets("metered", prepare=lambda name: server.script(name, "usage.sql", customers=CUSTOMERS))
    batch = server.sql(metered, f"select bench.batch({BATCH}, '@-')")
    call = accepted(
        f"topup.record_usage((select id from bench.customer where n = :n), replace('{batch}', '@', :k::text)::jsonb)")
    record = f"\\set n random(1, {CUSTOMERS})\n\\set k random(1, 1000000000000000)\nselect {call};\n"
    found = bench.interleave({
        "TPC-B": bench.tpcb(CLIENTS),
        "usage": bench.rate(metered, record, CLIENTS, KEY, BATCH),
    })
    what = "usage events, batches of 100, 1,000 customers, 8 clients"
    return [Row(what, "events/s", found["usage"], [Bar(least=3.0, against="TPC-B", others=found["TPC-B"])])]
