"""Sends from 10,000 wallets at 8 clients, with and without somebody to tell, beside all yardsticks."""

import server
from measure import SEND_BY_MANY, WALLETS, Bench, accepted
from report import Bar, Row

CLIENTS = 8
PLAIN = f"\\set n random(1, {WALLETS})\nselect plain.send(:n, 100);\n"
TRANSFER = f"""\\set a random(1, {WALLETS})
\\set b 1 + (:a + random(0, {WALLETS - 2})) % {WALLETS}
select ledger.transfer('acc_' || lpad(:a::text, 26, '0'), 'acc_' || lpad(:b::text, 26, '0'), 1.00);
"""
TO_CUSTOMER = f"""\\set n random(1, {WALLETS})
\\set c random(1, 10)
\\set k random(1, 1000000000000)
select set_config('topup.api_key', 'ak_staging_000000000000000000000000000bench' || :n::text, false),
       {accepted("topup.send('claude', 100, 'c' || :c::text || '@example.com', :k::text)")};
"""


def run(bench: Bench) -> list[Row]:
    bare, told = bench.bare(), bench.told()
    plain = bench.wallets("plain", prepare=lambda name: server.script(name, "plain_send.sql"))

    def make_transfer() -> None:
        server.script(server.create("transfer"), "transfer.sql", wallets=WALLETS)

    transfer = bench.database("transfer", make_transfer)
    found = bench.interleave({
        "TPC-B": bench.tpcb(CLIENTS),
        "plain send": bench.rate(plain, PLAIN, CLIENTS),
        "send, told": bench.rate(told, SEND_BY_MANY, CLIENTS),
        "send, not told": bench.rate(bare, SEND_BY_MANY, CLIENTS),
        "send to a customer, keyed, told": bench.rate(told, TO_CUSTOMER, CLIENTS),
        "transfer": bench.rate(transfer, TRANSFER, CLIENTS),
    })
    tpcb, sends, bare_sends = found["TPC-B"], found["send, told"], found["send, not told"]
    return [
        Row("TPC-B, 8 clients", "tps", tpcb),
        Row("the plain function, 8 clients", "/s", found["plain send"]),
        Row("the ledger transfer, 8 clients", "/s", found["transfer"]),
        Row("`topup.send`, 10,000 wallets, an endpoint, 8 clients", "/s", sends,
            [Bar(least=1.0, against="TPC-B", others=tpcb),
             Bar(least=1.0, against="plain function", others=found["plain send"])]),
        # It may be no faster than that: being told must cost nothing.
        Row("the same with no endpoint", "/s", bare_sends, [Bar(most=1.05, against="with one", others=sends)]),
        Row("the same to a customer, under a key, with an endpoint", "/s", found["send to a customer, keyed, told"]),
    ]
