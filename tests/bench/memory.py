"""The gateway's memory: with nothing to do, and with 1,000 connections that all ask."""

import resource
import time

import outside
from measure import KEY, Bench
from report import Bar, Row

CONNECTIONS = 1000
SETTLE_S = 3
PATH = "/api/public/v1/topup/balance"


def run(bench: Bench) -> list[Row]:
    _, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))
    idle, busy = [], []
    for _ in range(bench.rounds):
        with outside.gateway(bench.bare()) as gateway:
            time.sleep(SETTLE_S)
            idle.append(gateway.rss_mb())
            outside.wrk(gateway.url + PATH, KEY, CONNECTIONS, bench.seconds)
            busy.append(gateway.rss_mb("VmHWM"))
    return [
        Row("gateway memory, idle", "MB", idle, [Bar(most=40)]),
        Row(f"gateway memory, {CONNECTIONS:,} connections calling", "MB", busy, [Bar(most=100)]),
    ]
