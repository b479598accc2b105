"""What was measured, held against its bar: rows of medians, spreads and ratios, as a table in Markdown."""

import statistics
from dataclasses import dataclass, field

HEADER = ("what", "median", "min … max", "against", "ratio", "bar", "")


@dataclass
class Bar:
    """How a figure must compare: with another (the ratio, round by round), or as it is where there is none."""

    least: float | None = None
    most: float | None = None
    against: str = ""
    others: list[float] = field(default_factory=list)

    def ratio(self, values: list[float]) -> float:
        """Measured in the same minutes, so compared in pairs."""
        if not self.others:
            return statistics.median(values)
        return statistics.median(value / other for value, other in zip(values, self.others))

    def cells(self, values: list[float]) -> tuple[str, str, str, str]:
        ratio = self.ratio(values)
        limit = f"≥ {plain(self.least)}" if self.least is not None else f"≤ {plain(self.most)}"
        is_met = ratio >= self.least if self.least is not None else ratio <= self.most
        against = f"{self.against} ({short(statistics.median(self.others))})" if self.others else ""
        return against, f"{ratio:.2f}" if self.others else "", limit, "met" if is_met else "**missed**"


@dataclass
class Row:
    """One figure, measured once a round, and its bars; without a bar it is told for its own sake."""

    what: str
    unit: str
    values: list[float]
    bars: list[Bar] = field(default_factory=list)

    def lines(self) -> list[tuple[str, ...]]:
        middle = f"{short(statistics.median(self.values))} {self.unit}".strip()
        figure = (middle, f"{short(min(self.values))} … {short(max(self.values))}")
        if not self.bars:
            return [(self.what, *figure, "", "", "", "")]
        first, *others = (bar.cells(self.values) for bar in self.bars)
        return [(self.what, *figure, *first), *(("", "", "", *cells) for cells in others)]


def short(number: float) -> str:
    """Three digits are all that a figure of this kind is good for."""
    if abs(number) >= 100 or number == int(number):
        return f"{number:,.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"


def plain(bar: float) -> str:
    """A bar as it is written: 1, 1.05, 2,000."""
    return f"{bar:,.3f}".rstrip("0").rstrip(".")


def table(rows: list[Row]) -> str:
    lines = [HEADER, ("---",) * len(HEADER), *(line for row in rows for line in row.lines())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
