"""The worker: how fast it empties a queue, with one endpoint dead too, and how soon it tries when it was idle."""

import json
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import outside
import server
from measure import KEY, SEND, Bench
from report import Bar, Row

ENDPOINTS = 100
DELIVERIES = 20_000
DRAIN_S_MAX = 120
# A commit now and then, at random: while it is awake, drowsy, and asleep.
IDLE_PER_S = 1.5
IDLE_SECONDS = 80

REQUESTS = json.dumps([{"platform": "claude", "amount_cents": 100}] * (DELIVERIES // ENDPOINTS))
# By the statistics: to count rows again and again would cost more than to deliver.
ATTEMPTS = "select coalesce(sum(n_tup_ins), 0) from pg_stat_user_tables where relid = 'topup.attempt'::regclass"
ALIVE_LEFT = """
    select (select count(*) from topup.outbox)
         + (select count(*) from topup.effect e join topup.webhook_endpoint w on w.endpoint_id = e.lane
             where w.url not like '%dead')
"""
FIRST_ATTEMPTS = """
    select extract(epoch from min(started_at)) * 1000 from topup.attempt group by delivery_id order by delivery_id
"""
TABLES = "topup.attempt, topup.delivery, topup.event, topup.effect, topup.outbox"
EMPTY = f"truncate {TABLES}"
# From the first attempt to the end of the last, of those that answered.
PACE = """
    select count(*) / extract(epoch from max(started_at + duration_ms * interval '1 ms') - min(started_at))
      from topup.attempt where http_status = 204
"""


def queue(database: str) -> None:
    """Sends for every endpoint, while no gateway runs."""
    server.sql(database, EMPTY)
    server.sql(database, f"""
        do $$ begin
            for n in 1 .. {ENDPOINTS} loop
                perform bench.be(n);
                perform bench.accept(r) from topup.send_many('{REQUESTS}') r;
            end loop;
        end $$""")
    # As a ledger in use has them: the planner knows its tables.
    server.sql(database, f"analyze {TABLES}")
    server.sql("postgres", "checkpoint")


def drain(database: str, dead: bool) -> Callable[[float], float]:
    """Deliveries a second to those that answer."""
    def measure(_: float) -> float:
        path = "replace(url, '/dead', '') || '/dead'" if dead else "replace(url, '/dead', '')"
        first = "select min(endpoint_id::text)::uuid from topup.webhook_endpoint"
        server.sql(database, f"update topup.webhook_endpoint set url = {path} where endpoint_id = ({first})")
        queue(database)
        end = int(server.sql(database, ATTEMPTS)) + DELIVERIES - (DELIVERIES // ENDPOINTS if dead else 0)
        with outside.gateway(database):
            outside.wait_for("the attempts", DRAIN_S_MAX, lambda: int(server.sql(database, ATTEMPTS)) >= end)
            outside.wait_for("the queue to empty", DRAIN_S_MAX, lambda: server.sql(database, ALIVE_LEFT) == "0")
        return float(server.sql(database, PACE))

    return measure


def idle_ms(database: str) -> list[float]:
    """From each commit, as its client saw it, to the attempt; one client, so both are in one order."""
    server.sql(database, EMPTY)
    with outside.gateway(database), tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "send.sql").write_text(SEND)
        pgbench = [server.PG_BIN / "pgbench", "-n", "-M", "prepared", "-c", 1, "-l", "-R", IDLE_PER_S]
        environment = os.environ | {"PGOPTIONS": f"-c topup.api_key={KEY}"}
        server.run([*pgbench, "-T", IDLE_SECONDS, "-f", "send.sql", database], IDLE_SECONDS + server.RUN_S_EXTRA,
                   cwd=folder, env=environment)
        logs = [line.split() for log in Path(folder).glob("pgbench_log.*") for line in log.read_text().splitlines()]
        outside.wait_for("the last attempt", DRAIN_S_MAX, lambda: server.sql(database, ALIVE_LEFT) == "0")
    committed = [int(fields[4]) * 1000 + int(fields[5]) / 1000 for fields in logs]
    started = server.sql(database, FIRST_ATTEMPTS).splitlines()
    if len(started) != len(committed):
        raise server.Failed(f"{len(committed)} commits and {len(started)} attempts")
    return sorted(float(at) - commit for at, commit in zip(started, committed))


def run(bench: Bench) -> list[Row]:
    with outside.receiver() as url:
        def prepare(name: str) -> None:
            server.script(name, "endpoints.sql", url=url, wallets=ENDPOINTS)

        delivering = bench.wallets("delivering", prepare=prepare)
        variants = {"all well": drain(delivering, False), "one dead": drain(delivering, True)}
        found = bench.interleave(variants, warm=False)
        server.sql(delivering, "update topup.webhook_endpoint set url = replace(url, '/dead', '')")
        late = idle_ms(delivering)
    p99 = late[math.ceil(len(late) * 0.99) - 1]
    bench.note(f"Idle, from commit to attempt: {len(late)} commits at random, {IDLE_PER_S} a second; "
               f"{late[0]:.1f} to {late[-1]:.1f} ms, median {late[len(late) // 2]:.1f} ms.")
    return [
        Row(f"deliveries to a receiver on the same machine, {ENDPOINTS} endpoints", "/s", found["all well"],
            [Bar(least=2000)]),
        Row("the same to the 99 others when one never answers", "/s", found["one dead"],
            [Bar(least=0.95, against="all well", others=found["all well"])]),
        Row("idle: from commit to attempt, p99", "ms", [p99], [Bar(most=50)]),
    ]
