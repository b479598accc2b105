"""Sends from one wallet, for which all of them wait, at 20 clients."""

from measure import KEY, SEND, Bench
from report import Bar, Row

CLIENTS = 20


def run(bench: Bench) -> list[Row]:
    found = bench.interleave({
        "TPC-B": bench.tpcb(CLIENTS),
        "told": bench.rate(bench.told(), SEND, CLIENTS, KEY),
        "not told": bench.rate(bench.bare(), SEND, CLIENTS, KEY),
    })
    bars = [Bar(least=0.5, against="TPC-B, 20 clients", others=found["TPC-B"])]
    return [
        Row("`topup.send`, one wallet, an endpoint, 20 clients", "/s", found["told"], bars),
        Row("the same with no endpoint", "/s", found["not told"], bars),
    ]
