"""What usage costs, by exact fractions: a model that shares no code with the server, and random cases for both.

Reads {"seed", "products", "events"} and prints a line for each product: {"prices", "events"} as JSON texts, and
"fees", the lines `event id, price name, amount` that they must come to.
"""

import json
import random
import sys
from fractions import Fraction

PRECISIONS = {"USD": 9, "TOK": 2, "INT": 0}
EVENT_TYPES = ["chat", "video"]


# --- the model

def cost(usage_type, per_unit, per_volume, units, volume):
    total = Fraction(0)
    if usage_type != "volume":
        total += per_unit * units
    if usage_type != "unit":
        total += per_volume * volume
    return total


def number(value, name, default=0):
    return Fraction(value.get(name, default))


def ceiling(value):
    return -((-value.numerator) // value.denominator)


def ends(tiers):
    return [None if "up_to" not in tier else Fraction(tier["up_to"]) for tier in tiers]


def integral(tiers, rates, x):
    """The price of everything from 0 to x, each slice at its own rate."""
    total, start = Fraction(0), Fraction(0)
    for end, rate in zip(ends(tiers), rates):
        stop = x if end is None else min(x, end)
        if stop > start:
            total += (stop - start) * rate
            start = stop
    return total


def tier_at(tiers, inside):
    return next(tier for tier, end in zip(tiers, ends(tiers)) if end is None or inside(end))


def clamp(total, value):
    if "min_amount" in value:
        total = max(total, Fraction(value["min_amount"]))
    if "max_amount" in value:
        total = min(total, Fraction(value["max_amount"]))
    return total


def by_tiers(price, tiers, position, volume):
    """The exact price and by how much the position moves on."""
    kind = price["usage_calculation"]["usage_type"]
    basis = price["tiering"]["basis"]
    size = number(tiers[0], "package_size", 1)
    quantity = {"unit": Fraction(1), "volume": volume, "package": Fraction(ceiling(volume / size))}[basis]

    def rate(tier):
        if basis == "unit":
            return number(tier, "unit_price") if kind != "volume" else Fraction(0)
        if basis == "volume":
            return number(tier, "volume_rate") / number(tier, "package_size", 1) if kind != "unit" else Fraction(0)
        return number(tier, "volume_rate") if "volume_rate" in tier else number(tier, "unit_price")

    def rest(tier):
        if basis == "unit":
            return number(tier, "volume_rate") / number(tier, "package_size", 1) * volume if kind != "unit" else 0
        return number(tier, "unit_price") if kind != "volume" else 0

    if price["pricing_model"] == "bulk":
        tier = tier_at(tiers, lambda end: position + quantity <= end)
        return clamp(rate(tier) * quantity + rest(tier), tier), quantity
    rates = [rate(tier) for tier in tiers]
    sliced = integral(tiers, rates, position + quantity) - integral(tiers, rates, position)
    first = tier_at(tiers, lambda end: position < end)
    last = tier_at(tiers, lambda end: position + quantity <= end) if quantity else first
    return clamp(sliced + rest(first), last), quantity


def flat(price, value, volume):
    kind = price["usage_calculation"]["usage_type"]
    if price.get("pricing_model") == "package":
        packages = ceiling(volume / number(value, "package_size"))
        per_package = number(value, "volume_rate") if "volume_rate" in value else number(value, "unit_price")
        per_event = number(value, "unit_price") if kind == "unit_and_volume" else 0
        return clamp(packages * per_package + per_event, value)
    per_volume = number(value, "volume_rate") / number(value, "package_size", 1)
    return clamp(cost(kind, number(value, "unit_price"), per_volume, 1, volume), value)


def spelled(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else None


def matched(price, event):
    values = price["pricing"][0]["values"]
    if "dimensions" not in values[0]:
        return None, values
    names = price["usage_calculation"]["billable_dimensions"]
    best = None
    for value in values:
        wildcards = 0
        for name in names:
            wanted = value["dimensions"].get(name, "*")
            if wanted == "*":
                wildcards += 1
            elif spelled(event["data"].get(name)) != wanted:
                break
        else:
            if best is None or wildcards < best[0]:
                best = (wildcards, value)
    return None if best is None else (json.dumps(best[1]["dimensions"], sort_keys=True), best[1]["values"])


def period(cadence, at):
    year, month = at[:4], int(at[5:7])
    return {"lifetime": "", "monthly": at[:7], "quarterly": f"{year}/{(month - 1) // 3}", "yearly": year}[cadence]


def fees(prices, events):
    meters, lines = {}, []
    for event in events:
        for price in prices:
            calculation = price["usage_calculation"]
            if calculation["event_type"] != event["event_type"]:
                continue
            found = matched(price, event)
            if found is None:
                continue
            dimensions, tiers = found
            volume = Fraction(event["data"]["tokens"])
            if price.get("pricing_model") in ("tiered", "bulk"):
                key = (price["name"], dimensions, period(price["tiering"].get("period", "lifetime"), event["occurred_at"]))
                exact, quantity = by_tiers(price, tiers, meters.get(key, Fraction(0)), volume)
                meters[key] = meters.get(key, Fraction(0)) + quantity
            else:
                exact = flat(price, tiers[0], volume)
            precision = PRECISIONS[price["pricing"][0]["asset"]]
            # Python rounds fractions half to even.
            rounded = Fraction(round(exact * 10**precision), 10**precision)
            lines.append(f"{event['id']} {price['name']} {plain(rounded)}")
    return lines


def plain(value):
    """A decimal without an exponent or trailing zeros."""
    whole, rest = divmod(value.numerator, value.denominator)
    digits = ""
    while rest:
        digit, rest = divmod(rest * 10, value.denominator)
        digits += str(digit)
    return f"{whole}.{digits}" if digits else str(whole)


# --- random cases; numbers are texts here and become JSON numbers at the end

class Cases:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def amount(self):
        pick = self.random
        return pick.choice([
            "0", "1", "0.5", "1.25", "10", "0.00000125", "0.00001", "0.333333333333333333", "0.0000000005",
            "0.0000000015", f"{pick.randrange(1000)}.{pick.randrange(10**6):06}", f"0.{pick.randrange(10**12):012}",
        ])

    def size(self):
        return self.random.choice(["1", "3", "7", "1000", "1000000", "0.5", "2.5"])

    def value(self, kind, model, basis, size):
        value = {}
        packages = model == "package" or basis == "package"
        if kind != "volume":
            value["unit_price"] = self.amount()
        if kind != "unit":
            value["volume_rate"] = self.amount()
            if packages or self.random.random() < 0.3:
                value["package_size"] = size
            if packages and kind == "volume" and self.random.random() < 0.5:
                value["unit_price"] = value.pop("volume_rate")
        if self.random.random() < 0.2:
            value["min_amount"] = self.random.choice(["0.000001", "0.01", "0.5"])
        if self.random.random() < 0.2:
            value["max_amount"] = self.random.choice(["0.5", "2", "100"])
        return value

    def tiers(self, kind, model, basis):
        size = self.size()
        if model not in ("tiered", "bulk"):
            return [self.value(kind, model, basis, size)]
        count, end, tiers = self.random.randrange(1, 5), Fraction(0), []
        for n in range(count):
            tier = self.value(kind, model, basis, size)
            steps = ["1", "2", "5", "10", "100"] if basis != "volume" else ["1", "2.5", "10", "0.001", "1000"]
            end += Fraction(self.random.choice(steps))
            if n + 1 < count:
                tier["up_to"] = plain(end)
            tiers.append(tier)
        return tiers

    def price(self, n):
        pick = self.random
        model = pick.choice(["flat", "tiered", "tiered", "bulk", "bulk", "package"])
        kind = pick.choice(["volume", "unit_and_volume"] if model == "package" else ["unit", "volume", "unit_and_volume"])
        basis = pick.choice(["unit", "volume"] + (["package"] if kind != "unit" else []))
        calculation = {"event_type": pick.choice(EVENT_TYPES), "usage_type": kind, "volume_field": "tokens"}
        price = {"name": f"p{n}", "type": "usage_based", "billing_model": {"type": "real_time"},
                 "pricing_model": model, "usage_calculation": calculation}
        if model in ("tiered", "bulk"):
            price["tiering"] = {"basis": basis, "period": pick.choice(["lifetime", "monthly", "quarterly", "yearly"])}
        else:
            basis = None
        if pick.random() < 0.4:
            names = ["model", "fast"]
            calculation["billable_dimensions"] = names
            values, seen = [], []
            for _ in range(pick.randrange(1, 5)):
                dimensions = {"model": pick.choice(["a", "b", "*"]), "fast": pick.choice(["true", "false", "*"])}
                if pick.random() < 0.2:
                    del dimensions[pick.choice(names)]
                if dimensions not in seen:
                    seen.append(dimensions)
                    values.append({"dimensions": dimensions, "values": self.tiers(kind, model, basis)})
        else:
            values = self.tiers(kind, model, basis)
        price["pricing"] = [{"asset": pick.choice(list(PRECISIONS)), "values": values}]
        return price

    def volumes(self, prices):
        """Volumes that often end exactly at a tier, or right beside it."""
        edges = []
        for price in prices:
            for value in price["pricing"][0]["values"]:
                for tier in value.get("values", [value]):
                    edges += [Fraction(tier[name]) for name in ("up_to", "package_size") if name in tier]
        edges = edges or [Fraction(10)]
        position = Fraction(0)
        while True:
            edge = self.random.choice(edges)
            volume = self.random.choice([
                edge, edge - position if edge > position else edge, edge + Fraction(1, 10**6),
                max(edge - Fraction(1, 10**6), Fraction(0)), Fraction(self.random.randrange(40000)), Fraction(0),
                Fraction(self.random.randrange(10**6), 1000),
            ])
            position += volume
            yield plain(volume)

    def product(self, count, tag):
        prices = [self.price(n) for n in range(self.random.randrange(1, 4))]
        volumes, events = self.volumes(prices), []
        for n in range(count):
            data = {"tokens": next(volumes)}
            if self.random.random() < 0.9:
                data["model"] = self.random.choice(["a", "b", "c"])
            if self.random.random() < 0.9:
                data["fast"] = self.random.random() < 0.5
            at = f"2026-{self.random.randrange(1, 6):02}-{self.random.randrange(1, 29):02}T12:00:00Z"
            events.append({"id": f"{tag}-{n}", "event_type": self.random.choice(EVENT_TYPES + ["chat"]),
                           "occurred_at": at, "data": data})
        return prices, events


NUMBERS = {"unit_price", "volume_rate", "package_size", "min_amount", "max_amount", "up_to", "tokens"}


def written(node, name=None):
    """JSON with every number exactly as the case has it."""
    if isinstance(node, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{written(value, key)}" for key, value in node.items()) + "}"
    if isinstance(node, list):
        return "[" + ",".join(written(item) for item in node) + "]"
    return node if name in NUMBERS else json.dumps(node)


def main():
    wanted = json.load(sys.stdin)
    cases = Cases(wanted["seed"])
    for n in range(wanted["products"]):
        prices, events = cases.product(wanted["events"], f"e{n}")
        case = {"prices": written(prices), "events": written(events), "fees": "\n".join(fees(prices, events))}
        print(json.dumps(case))


main()
