//! Debian's Chromium, driven by playwright-core.

use super::node::node_within;
use super::place;
use serde_json::Value;
use std::fs;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(300);

/// What a story of `tests/clients/browser` saw. The plan gets a profile of its own, and where pictures go.
pub async fn browse(story: &str, name: &str, mut plan: Value) -> Value {
    let shots = place::target().join("screenshots");
    fs::create_dir_all(&shots).unwrap();
    let profile = place::target().join(format!("chromium-{story}-{name}-{}", std::process::id()));
    plan["profile"] = profile.to_str().unwrap().into();
    plan["shots"] = shots.join(format!("{story}-{name}")).to_str().unwrap().into();
    let part =
        |file: String| fs::read_to_string(place::root().join("tests/clients/browser").join(file)).unwrap();
    let script = format!("{}\n{}", part("browser.mjs".to_owned()), part(format!("{story}.mjs")));
    let output = tokio::task::spawn_blocking(move || {
        let mut node = node_within(LIMIT);
        let output = node.args(["--input-type=module", "--eval", &script]).arg(plan.to_string()).output();
        let _ = fs::remove_dir_all(profile);
        output.unwrap()
    });
    let output = output.await.unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
