"""Measures the system against its yardsticks, subject by subject; scripts/bench starts what this needs."""

import argparse
import importlib
import os
import signal
import sys
import time
from pathlib import Path

from measure import Bench, complain, say
from report import Row, table
from server import Failed, fsync_per_s, settings

SUBJECTS = ("send", "one_wallet", "send_many", "over_http", "usage", "size", "worker", "memory", "growth")
LARGE_ENTRIES = 10_000_000


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="subject", help=f"of {', '.join(SUBJECTS)}; all if not given")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (%(default)s)")
    parser.add_argument("--seconds", type=int, default=6, help="how long each time (%(default)s)")
    parser.add_argument("--entries", type=int, default=1_000_000, help="entries of the large ledger (%(default)s)")
    parser.add_argument("--large", action="store_const", dest="entries", const=LARGE_ENTRIES, help="10,000,000 of them")
    found = parser.parse_args()
    unknown = set(found.subjects) - set(SUBJECTS)
    if unknown:
        parser.error(f"no such subject: {', '.join(sorted(unknown))}")
    return found


def machine() -> str:
    """What the figures depend on."""
    cores = len(os.sched_getaffinity(0))
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), "unknown processor")
    said = ", ".join(f"{name} {value}" for name, value in settings().items())
    return f"{cores} cores ({model}); {said}; pg_test_fsync, fdatasync of 8 kB: {fsync_per_s()}."


def measure(bench: Bench, subjects: list[str]) -> tuple[list[Row], list[str]]:
    """All rows, and the subjects that failed: one of them does not cost the others their figures."""
    rows, failed = [], []
    for name in subjects:
        start = time.monotonic()
        say(f"== {name}")
        try:
            rows += importlib.import_module(name).run(bench)
        except Failed as error:
            complain(f"error: {name}: {error}")
            failed.append(name)
        say(f"== {name}: {time.monotonic() - start:.0f} s")
    return rows, failed


def main() -> int:
    asked = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench = Bench(asked.rounds, asked.seconds, asked.entries)
    about = machine()
    say(f"   {about}")
    start = time.monotonic()
    rows, failed = measure(bench, asked.subjects or list(SUBJECTS))
    took = f"{asked.rounds} rounds of {asked.seconds} s each, {(time.monotonic() - start) / 60:.0f} minutes in all."
    text = "\n".join([f"{about} {took}", "", table(rows), *(f"- {note}" for note in bench.notes), ""])
    report = Path(os.environ["BENCH_DIR"]) / "report.md"
    report.write_text(text)
    say(f"\n{text}\n(also in {report})")
    return 1 if failed else 0


sys.exit(main())
