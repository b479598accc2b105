//! Recording what became of attempts: many together when many end, at once when few do. What somebody's transaction holds
//! is told again until it is taken.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;
use uuid::Uuid;

use crate::postgres::database::Database;
use crate::webhook::effects::Outcome;

const BATCH_MAX: usize = 100;
/// After a batch, the next is gathered for so long: under load there are then fewer transactions, and the first outcome
/// after a quiet time is still recorded at once.
const GATHER_PAUSE: Duration = Duration::from_millis(5);
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// Outcomes of a tenant that are kept to be told again: a transaction may be left open for hours.
const SKIPPED_PER_TENANT_MAX: usize = 500;
/// So many of them are told at a time, so that one tenant's do not hold up another's.
const AGAIN_PER_TENANT_MAX: usize = 20;

/// An outcome, and when its lease ends: after that, nobody needs it any more but the log.
pub struct Settlement {
    pub outcome: Outcome,
    pub lease_ends: Instant,
}

/// Settles until the last sender is gone, and then what was skipped for as long as its leases hold.
pub async fn run(database: Database, mut settlements: Receiver<Settlement>) {
    let mut skipped: Vec<Settlement> = Vec::new();
    let mut last_told_again = Instant::now();
    let mut is_open = true;
    while is_open || !skipped.is_empty() {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let wait = RETRY_PAUSE.saturating_sub(last_told_again.elapsed());
        tokio::select! {
            count = settlements.recv_many(&mut batch, BATCH_MAX), if is_open => is_open = count > 0,
            _ = tokio::time::sleep(wait), if !skipped.is_empty() => {}
        }
        if !is_open {
            skipped.retain(|settlement| settlement.lease_ends > Instant::now());
        }
        if !batch.is_empty() {
            skipped.extend(settle(&database, batch).await);
        }
        if !skipped.is_empty() && last_told_again.elapsed() >= RETRY_PAUSE {
            skipped = tell_again(&database, skipped).await;
            last_told_again = Instant::now();
        }
        tokio::time::sleep(GATHER_PAUSE).await;
    }
}

/// Tells outcomes again that were skipped, of each tenant a few at a time; gives those that still are.
async fn tell_again(database: &Database, mut skipped: Vec<Settlement>) -> Vec<Settlement> {
    let mut of_tenant: HashMap<Uuid, usize> = HashMap::new();
    // The newest of each tenant are kept.
    skipped.reverse();
    let before = skipped.len();
    skipped.retain(|settlement| {
        let count = of_tenant.entry(settlement.outcome.tenant_id).or_default();
        *count += 1;
        *count <= SKIPPED_PER_TENANT_MAX
    });
    skipped.reverse();
    if skipped.len() < before {
        let lost = before - skipped.len();
        tracing::warn!(lost, "outcomes given up that a transaction holds; the attempts will be repeated");
    }
    of_tenant.clear();
    let mut room = BATCH_MAX;
    let (again, mut still): (Vec<Settlement>, Vec<Settlement>) =
        skipped.into_iter().partition(|settlement| {
            let count = of_tenant.entry(settlement.outcome.tenant_id).or_default();
            *count += 1;
            let is_now = *count <= AGAIN_PER_TENANT_MAX && room > 0;
            room -= usize::from(is_now);
            is_now
        });
    // Those that are skipped once more come last.
    still.extend(settle(database, again).await);
    metrics::gauge!("topup_webhook_outcomes_skipped").set(still.len() as f64);
    still
}

/// Repeated while Postgres is away, for as long as a lease holds; gives those that it skipped. Settling twice is harmless:
/// the fence tells.
async fn settle(database: &Database, mut batch: Vec<Settlement>) -> Vec<Settlement> {
    loop {
        let outcomes: Vec<Outcome> = batch.iter().map(|settlement| settlement.outcome.clone()).collect();
        match database.settle(&outcomes).await {
            Ok(settled) => {
                let skipped: HashSet<usize> =
                    settled.skipped.iter().filter_map(|n| usize::try_from(n - 1).ok()).collect();
                let lost = outcomes.len() as i64 - i64::from(settled.held) - skipped.len() as i64;
                if lost > 0 {
                    tracing::warn!(
                        lost,
                        "outcomes were not taken: the lease had ended, or the webhook is gone"
                    );
                }
                let all = batch.into_iter().enumerate();
                return all.filter(|(n, _)| skipped.contains(n)).map(|(_, settlement)| settlement).collect();
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
            return batch;
        }
    }
}
