//! Compares what two plays of one story said and wrote: what is left over is the doing of what they were played under.

use crate::support::python;
use serde_json::{Value, json};

/// Prints in what two plays differ. Ids, secrets and tokens are one like the other; times count by their distance from the
/// beginning of the play, unless they are whole hours, which a calendar or a request has chosen.
const COMPARE: &str = r#"
import json, re, sys
from collections import Counter
from datetime import datetime

# Deliveries under way, and when in between the worker collects what a subscription owes.
DEPENDS_ON_THE_MOMENT = {"attempts", "duration_ms", "fence", "next_attempt_at", "account_version", "balance_after",
                         "required_actions", "failures", "active_subscription_count",
                         "renews_at"}

def relative(seconds, start):
    return f"{int((seconds - start + 1800) // 3600):+d}h"

def plain_text(text, start):
    def time(match):
        at = datetime.fromisoformat(match[1] + (match[2] or "")[:7] + "+00:00")
        whole = at.minute == at.second == at.microsecond == 0
        return match[0] if whole else relative(at.timestamp(), start)
    text = re.sub(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|\+00:00)", time, text)
    for pattern, name in [
        (r"\b([a-z]{2,6})_[0-9a-hjkmnp-tv-z]{26}\b", r"\1_id"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "uuid"),
        (r"ATU-[0-9A-Z-]{19}", "voucher"),
        (r"whsec_[A-Za-z0-9+/=]+", "secret"),
        (r"127\.0\.0\.1:\d+", "host"),
        (r"\b[0-9a-f]{64}\b|\\\\?x[0-9a-f]{64}", "hash"),
        (r"[A-Za-z0-9_-]{40,}", "token"),
        (r"^action_required$", "active"),
    ]:
        text = re.sub(pattern, name, text)
    return text

def plain(value, start, path=""):
    if isinstance(value, dict):
        about_delivery = "/webhooks" in path
        return {key: plain(inner, start, path) for key, inner in sorted(value.items())
                if key not in DEPENDS_ON_THE_MOMENT and not (about_delivery and key in {"status", "replayed", "code"})}
    if isinstance(value, list):
        return [plain(inner, start, path) for inner in value]
    if isinstance(value, str):
        try:
            inner = json.loads(value, parse_float=str)
        except ValueError:
            inner = None
        return plain(inner, start, path) if isinstance(inner, dict) else plain_text(value, start)
    if isinstance(value, int) and not isinstance(value, bool):
        for unit in (1, 1000, 1000000):
            if 1.5e9 * unit < value < 5e9 * unit:
                return value if value % (3600 * unit) == 0 else relative(value / unit, start)
    return value

def of(play):
    start = play["started_s"]
    said = [json.dumps(plain(case, start, case.get("path", "")), sort_keys=True) for case in play["said"]]
    rows = {table: Counter(json.dumps(plain(row, start), sort_keys=True) for row in rows)
            for table, rows in play["rows"].items()}
    return said, rows

given = json.load(sys.stdin, parse_float=str)
(said, rows), (said_here, rows_here) = of(given["usual"]), of(given["here"])
if len(said) != len(said_here):
    print(f"{len(said_here)} replies instead of {len(said)}")
for usual, here in zip(said, said_here):
    if usual != here:
        print("usual:", usual, "\nhere: ", here)
for table in sorted(rows.keys() | rows_here.keys()):
    usual, here = rows.get(table, Counter()), rows_here.get(table, Counter())
    for name, lines in (("only usually", usual - here), ("only here", here - usual)):
        for line in lines:
            print(table, name, line)
"#;

/// In what two plays differ, a line each; nothing where they do not. A play is `started_s`, what was `said`, and the `rows` of each
/// table.
pub fn differences(usual: &Value, here: &Value) -> String {
    python(COMPARE, &json!({"usual": usual, "here": here}).to_string())
}
