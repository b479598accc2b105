//! MCP as its conformance suite judges servers, in each revision that the suite knows.

use crate::support::{Forwarder, Shop, node_within, place};
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

const REVISIONS: [&str; 3] = ["2025-06-18", "2025-11-25", "2026-07-28"];
const SUITE: &str = "node_modules/@modelcontextprotocol/conformance/dist/index.js";
const EXPECTED: &str = "tests/clients/mcp/conformance-expected.yml";
const LIMIT: Duration = Duration::from_secs(60);

/// The failures that are expected, as `scenario:check`; each says on its line why.
fn expected() -> BTreeSet<String> {
    let list = fs::read_to_string(place::root().join(EXPECTED)).unwrap();
    let entries = list.lines().filter_map(|line| line.trim().strip_prefix("- "));
    let entry = |entry: &str| entry.split_once(" # ").unwrap_or_else(|| panic!("why {entry}?")).0.to_owned();
    entries.map(entry).collect()
}

/// Every scenario for servers that there is in a revision. The suite's exit code covers what fails and is not expected,
/// and what is expected and passes; its report names what failed as expected.
async fn run(url: &str, revision: &str) -> BTreeSet<String> {
    let mut suite = node_within(LIMIT);
    suite.args([SUITE, "server", "--url", url, "--suite", "all", "--spec-version", revision]);
    suite.arg("--expected-failures").arg(place::root().join(EXPECTED));
    // The forwarder needs this thread meanwhile.
    let output = tokio::task::spawn_blocking(move || suite.output().unwrap()).await.unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    let summary = printed.split_once("=== SUMMARY ===").map_or("", |(_, summary)| summary);
    assert!(output.status.success(), "{revision}: {summary}{errors}");
    let failed = printed.lines().filter_map(|line| line.strip_prefix("  ~ "));
    failed.map(str::to_owned).collect()
}

#[tokio::test]
async fn the_suite_finds_what_is_expected_and_nothing_else() {
    let shop = Shop::open_with(&["--rate-limit", "0"]).await;
    // The suite cannot send a key.
    let forwarder = Forwarder::start(&shop.gateway.url, &shop.key).await;
    let url = format!("{}/api/public/mcp", forwarder.url);
    let mut failed = BTreeSet::new();
    for revision in REVISIONS {
        failed.append(&mut run(&url, revision).await);
    }
    // A check that is no longer made fails nowhere: the suite by itself overlooks its entry.
    let expected = expected();
    let needless: Vec<_> = expected.difference(&failed).collect();
    assert!(needless.is_empty(), "{EXPECTED} lists what does not fail: {needless:?}");
    shop.database.check().await;
}
