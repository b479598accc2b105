//! Recording what became of attempts: many together when many end, at once when few do.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;

use crate::database::Database;
use crate::effects::Outcome;

const BATCH_MAX: usize = 100;
/// After a batch, the next is gathered for so long: under load there are then fewer transactions, and the first outcome
/// after a quiet time is still recorded at once.
const GATHER_PAUSE: Duration = Duration::from_millis(5);
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// An outcome, and when its lease ends: after that, nobody needs it any more.
pub struct Settlement {
    pub outcome: Outcome,
    pub lease_ends: Instant,
}

/// Settles until the last sender is gone.
pub async fn run(database: Database, mut settlements: Receiver<Settlement>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while settlements.recv_many(&mut batch, BATCH_MAX).await > 0 {
        settle(&database, std::mem::take(&mut batch)).await;
        tokio::time::sleep(GATHER_PAUSE).await;
    }
}

/// Repeated while Postgres is away, for as long as a lease holds. Settling twice is harmless: the fence tells.
async fn settle(database: &Database, mut batch: Vec<Settlement>) {
    loop {
        let outcomes: Vec<Outcome> = batch.iter().map(|settlement| settlement.outcome.clone()).collect();
        match database.settle(&outcomes).await {
            Ok(held) => {
                let lost = outcomes.len() as i64 - i64::from(held);
                if lost > 0 {
                    tracing::warn!(
                        lost,
                        "outcomes were not taken: the lease had ended, or the webhook is gone"
                    );
                }
                return;
            }
            Err(fault) => {
                tracing::warn!(%fault, outcomes = outcomes.len(), "outcomes cannot be recorded yet")
            }
        }
        tokio::time::sleep(RETRY_PAUSE).await;
        let before = batch.len();
        batch.retain(|settlement| settlement.lease_ends > Instant::now());
        if batch.len() < before {
            tracing::warn!(lost = before - batch.len(), "outcomes given up; the attempts will be repeated");
        }
        if batch.is_empty() {
            return;
        }
    }
}
