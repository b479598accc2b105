//! Waiting for something to become true, with a limit; the only sleep that tests know.

use std::time::{Duration, Instant};

/// Long enough for anything that is expected at once, on a slow and busy machine.
pub const LIMIT: Duration = Duration::from_secs(20);

const PROBE_EVERY: Duration = Duration::from_millis(10);

/// Repeats `probe` until it gives something; panics with `what` after `limit`.
pub async fn wait_until<T>(limit: Duration, what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(start.elapsed() < limit, "after {limit:?} still waiting: {what}");
        tokio::time::sleep(PROBE_EVERY).await;
    }
}
