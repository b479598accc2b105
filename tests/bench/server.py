"""The private Postgres that scripts/bench started (libpq finds it by its environment): statements, databases, pgbench."""

import os
import re
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PG_BIN = Path(os.environ.get("PG_BIN", ""))
STATEMENT_S_MAX = 3600
RUN_S_EXTRA = 120


class Failed(Exception):
    """A run that measured nothing."""


def run(command: list, limit_s: float, **options) -> str:
    """Runs a command to its end and returns what it printed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=limit_s, **options)
    if done.returncode != 0:
        raise Failed(f"{command[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def sql(database: str, statement: str) -> str:
    """Runs statements as the superuser; the last result as text, columns parted by |."""
    psql = [PG_BIN / "psql", "--no-psqlrc", "--quiet", "-At", "--set=ON_ERROR_STOP=1", "-d", database, "-c", statement]
    return run(psql, STATEMENT_S_MAX).strip()


def script(database: str, name: str, **variables) -> None:
    """Runs one of the SQL files beside this one."""
    psql = [PG_BIN / "psql", "--no-psqlrc", "--quiet", "-At", "--set=ON_ERROR_STOP=1", "-d", database]
    psql += [f"--set={key}={value}" for key, value in variables.items()]
    run([*psql, "-f", HERE / name], STATEMENT_S_MAX)


def create(database: str, template: str = "template0") -> str:
    """Makes a database anew, and gives its name."""
    sql("postgres", f"drop database if exists {database} with (force)")
    sql("postgres", f"create database {database} template {template}")
    return database


@dataclass
class Run:
    """What pgbench found."""

    per_s: float
    median_ms: float
    failed: int


def pgbench(
    database: str, statements: str | None, clients: int, seconds: float, api_key: str = "", *, latencies: bool = False
) -> Run:
    """Runs statements again and again, prepared, or the built-in TPC-B where there are none."""
    with tempfile.TemporaryDirectory() as folder:
        command = [PG_BIN / "pgbench", "-n", "-M", "prepared", "-c", clients, "-j", min(clients, 2)]
        command += ["-T", round(seconds)]
        if statements is None:
            command += ["-b", "tpcb-like"]
        else:
            (Path(folder) / "script.sql").write_text(statements)
            command += ["-f", "script.sql"]
        if latencies:
            command += ["-l"]
        environment = os.environ | ({"PGOPTIONS": f"-c topup.api_key={api_key}"} if api_key else {})
        printed = run([*command, database], seconds + RUN_S_EXTRA, cwd=folder, env=environment)
        logs = [line.split() for log in Path(folder).glob("pgbench_log.*") for line in log.read_text().splitlines()]
    per_s = float(re.search(r"^tps = ([\d.]+)", printed, re.M)[1])
    failed = int(re.search(r"failed transactions: (\d+)", printed)[1])
    median_ms = statistics.median(int(fields[2]) for fields in logs) / 1000 if logs else 0.0
    return Run(per_s, median_ms, failed)


def settings() -> dict[str, str]:
    """What of the server's settings decides how fast a commit can be."""
    names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "wal_level",
             "shared_buffers", "max_wal_size", "checkpoint_timeout", "max_connections", "autovacuum")
    return {name: sql("postgres", f"show {name}") for name in names}


def fsync_per_s() -> str:
    """pg_test_fsync's figure for one 8 kB write and the method that the server uses, where the journal lies."""
    file = Path(os.environ["BENCH_DATA"]) / "pg_wal" / "fsync_test"
    try:
        printed = run([PG_BIN / "pg_test_fsync", "-s", 1, "-f", file], 60)
    finally:
        file.unlink(missing_ok=True)
    return re.search(r"^\s*fdatasync\s+(.*)$", printed, re.M)[1].strip()
