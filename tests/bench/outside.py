"""What stands outside the database: the gateway, a receiver of webhooks, and wrk, which plays the clients."""

import os
import re
import subprocess
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import server

START_S_MAX = 30
END_S_MAX = 40
POLL_S = 0.1
GATEWAY_ROLE = "gateway"
GATEWAY_PASSWORD = "bench"
UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def wait_for(what: str, limit_s: float, found):
    """What `found` returns as soon as that is something."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if result := found():
            return result
        time.sleep(POLL_S)
    raise server.Failed(f"waited {limit_s:.0f} s for {what}")


@dataclass
class Gateway:
    """A running gateway."""

    url: str
    pid: int

    def rss_mb(self, line: str = "VmRSS") -> float:
        """Its memory; VmHWM is the most that it ever was."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{line}:\s+(\d+) kB", status, re.M)[1]) / 1024


@contextmanager
def gateway(database: str):
    """A gateway that serves a database, without a limit on how often a key may call."""
    server.sql(database, f"""
        do $$ begin
            if not exists (select from pg_roles where rolname = '{GATEWAY_ROLE}') then
                create role {GATEWAY_ROLE} login;
            end if;
        end $$;
        alter role {GATEWAY_ROLE} password '{GATEWAY_PASSWORD}';
        grant topup_gateway to {GATEWAY_ROLE}""")
    log = Path(os.environ["BENCH_DIR"]) / "gateway.log"
    host, port = os.environ["PGHOST"], os.environ["PGPORT"]
    address = f"postgres://{GATEWAY_ROLE}:{GATEWAY_PASSWORD}@{host}:{port}/{database}"
    command = [os.environ["GATEWAY_BIN"], "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0",
               "--rate-limit", "0", "--allow-private-webhooks", "--log-format", "text", "--log-level", "warn"]
    environment = os.environ | {"DATABASE_URL": address}
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output, env=environment) as process:
        try:
            def listening():
                if process.poll() is not None:
                    raise server.Failed(f"the gateway ended: {log.read_text()[-2000:]}")
                return re.search(r"^listening on (\S+)", log.read_text(), re.M)

            url = wait_for("the gateway", START_S_MAX, listening)[1]
            wait_for("the gateway to be ready", START_S_MAX, lambda: is_ready(url))
            yield Gateway(url, process.pid)
        finally:
            end(process)


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=START_S_MAX) as reply:
            return reply.status == 200
    except OSError:
        return False


@contextmanager
def receiver():
    """The address of a receiver that answers 204 at once, and under /dead never."""
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with subprocess.Popen([os.environ["RECEIVER_BIN"]], **pipes) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            end(process)


def end(process: subprocess.Popen) -> None:
    """Asks it to end, and waits."""
    process.terminate()
    try:
        process.wait(END_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()


@dataclass
class Load:
    """What wrk found."""

    per_s: float
    median_ms: float


def wrk(url: str, api_key: str, connections: int, seconds: float, body: str | None = None) -> Load:
    """Calls an operation over so many connections: a POST where there is a body. Every reply must be a success."""
    lines = [f'wrk.headers["Authorization"] = "Bearer {api_key}"']
    if body is not None:
        lines += ['wrk.method = "POST"', f"wrk.body = [[{body}]]", 'wrk.headers["Content-Type"] = "application/json"']
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write("\n".join(lines))
        file.flush()
        command = ["wrk", "--latency", "-t", 1 if connections < 100 else 2, "-c", connections,
                   "-d", f"{round(seconds)}s", "--timeout", "30s", "-s", file.name, url]
        printed = server.run(command, seconds + server.RUN_S_EXTRA)
    if "Non-2xx" in printed or "Socket errors" in printed:
        raise server.Failed(f"not every call succeeded: {printed}")
    median = re.search(r"^\s+50%\s+([\d.]+)(us|ms|s)", printed, re.M)
    per_s = re.search(r"^Requests/sec:\s+([\d.]+)", printed, re.M)
    return Load(float(per_s[1]), float(median[1]) * UNITS_MS[median[2]])
