"""Figures taken in turn: each round measures every variant once, so that all have the same minutes of the machine."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import server

TPCB_SCALE = 20
WALLETS = 10_000
WARM_S = 2


@dataclass
class Bench:
    """How long and how often; and which databases are there already."""

    rounds: int
    seconds: float
    entries: int
    made: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Something that belongs below the table."""
        say(f"   {text}")
        self.notes.append(text)

    def interleave(
        self, variants: dict[str, Callable[[float], float]], *, warm: bool = True
    ) -> dict[str, list[float]]:
        """Runs each variant once a round, for so many seconds; another begins each time."""
        figures: dict[str, list[float]] = {name: [] for name in variants}
        if warm:
            for variant in variants.values():
                variant(WARM_S)
        server.sql("postgres", "checkpoint")
        server.sql("postgres", "select pg_stat_reset_shared('wal')")
        names = list(variants)
        for number in range(self.rounds):
            shift = number % len(names)
            for name in names[shift:] + names[:shift]:
                figure = variants[name](self.seconds)
                figures[name].append(figure)
                say(f"   round {number + 1}: {name}: {figure:,.2f}")
        self.note_syncs(", ".join(names))
        return figures

    def note_syncs(self, what: str) -> None:
        """How long the disk took for a commit meanwhile, by Postgres's own account."""
        each = "round((wal_sync_time / greatest(wal_sync, 1))::numeric, 2)"
        syncs, ms = server.sql("postgres", f"select wal_sync, {each} from pg_stat_wal").split("|")
        self.note(f"The disk during ({what}): {int(syncs):,} syncs of {ms} ms on average.")

    def database(self, name: str, make: Callable[[], None]) -> str:
        """The database of that name, made on first use."""
        if name not in self.made:
            start = time.monotonic()
            make()
            self.made.add(name)
            say(f"   database {name}: {time.monotonic() - start:.0f} s")
        return name

    def tpcb(self, clients: int) -> Callable[[float], float]:
        """pgbench's own TPC-B, in transactions a second."""
        def make() -> None:
            server.create("tpcb")
            server.run([server.PG_BIN / "pgbench", "-i", "-q", "-s", TPCB_SCALE, "tpcb"], server.STATEMENT_S_MAX)

        return self.rate(self.database("tpcb", make), None, clients)

    def rate(
        self, database: str, statements: str | None, clients: int, api_key: str = "", times: int = 1
    ) -> Callable[[float], float]:
        """How often a second the statements run; `times` things are done by each."""
        def measure(seconds: float) -> float:
            return server.pgbench(database, statements, clients, seconds, api_key).per_s * times

        return measure

    def wallets(
        self, name: str, template: str = "wallets", prepare: Callable[[str], None] | None = None
    ) -> str:
        """A database of 10,000 wallets; all are copies of one, or of another, with something added."""
        def make_empty() -> None:
            server.script(server.create("wallets"), "wallets.sql", wallets=WALLETS)

        def make() -> None:
            server.create(name, template)
            if prepare:
                prepare(name)

        self.database("wallets", make_empty)
        return self.database(name, make)

    def bare(self) -> str:
        """Wallets of which nobody wants to be told."""
        return self.wallets("bare")

    def told(self) -> str:
        """Wallets with a webhook endpoint each."""
        url = "https://example.com/hook"

        def prepare(name: str) -> None:
            server.script(name, "endpoints.sql", url=url, wallets=WALLETS)

        return self.wallets("told", prepare=prepare)


def say(text: str) -> None:
    print(text, flush=True)


def complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def accepted(call: str) -> str:
    """An expression that calls, and fails (by a division) where the reply is a refusal."""
    return f"1 / ({call} ->> 'success')::boolean::int"


SEND_CALL = accepted("topup.send('claude', 100)")
SEND = f"select {SEND_CALL};\n"
# As a random one of the wallets, said in the statement that sends.
SEND_BY_MANY = f"""\\set n random(1, {WALLETS})
select set_config('topup.api_key', 'ak_staging_000000000000000000000000000bench' || :n::text, false), {SEND_CALL};
"""
# The first wallet's.
KEY = "ak_staging_000000000000000000000000000bench1"
