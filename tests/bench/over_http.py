"""Sends over HTTP: 64 connections with one key beside one wallet by SQL, and what one call costs more than in SQL."""

import outside
import server
from measure import KEY, SEND, Bench
from report import Bar, Row

CONNECTIONS = 64
SQL_CLIENTS = 20
PATH = "/api/public/v1/topup/send"
REQUEST = '{"platform":"claude","amount_cents":100}'
# The very call that the gateway makes, by the same role's rights.
CALL = (f"select 1 / (status = 200)::int from topup.call_many(array['{KEY}'], array['send'], array['{REQUEST}'], "
        "array[null], array['127.0.0.1']);\n")


def run(bench: Bench) -> list[Row]:
    bare = bench.bare()
    with outside.gateway(bare) as gateway:
        def http(connections: int):
            return lambda seconds: outside.wrk(gateway.url + PATH, KEY, connections, seconds, REQUEST)

        many, one = http(CONNECTIONS), http(1)
        found = bench.interleave({
            "one wallet by SQL": bench.rate(bare, SEND, SQL_CLIENTS, KEY),
            "HTTP, 64 connections": lambda seconds: many(seconds).per_s,
            "HTTP, 1 connection, ms": lambda seconds: one(seconds).median_ms,
            "SQL, 1 connection, ms": lambda seconds: server.pgbench(bare, CALL, 1, seconds, latencies=True).median_ms,
        })
    by_http, by_sql = found["HTTP, 1 connection, ms"], found["SQL, 1 connection, ms"]
    more = [http - sql for http, sql in zip(by_http, by_sql)]
    return [
        Row(f"HTTP sends, one key, {CONNECTIONS} connections", "/s", found["HTTP, 64 connections"],
            [Bar(least=3.0, against=f"`topup.send`, {SQL_CLIENTS} clients", others=found["one wallet by SQL"])]),
        Row("HTTP send, one connection, median", "ms", by_http),
        Row("the same call by pgbench, median", "ms", by_sql),
        Row("what HTTP adds", "ms", more, [Bar(most=0.4)]),
    ]
