//! The payment worker: claims what is to be done at providers, does it side by side, and records what became of it.
//! A gateway that dies in between has its claims taken up by another, under the same idempotency keys.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{counter, gauge};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::outcome::{Action, Order, Outcome, Settlement, Verdict};
use super::store::Claim;
use super::{PaymentProvider, Providers};
use crate::postgres::database::{Database, Fault};

/// A provider is given up after 60 s; the rest is for recording the outcome while Postgres is away.
const LEASE_S: u64 = 90;
const UNDER_WAY_MAX: usize = 16;
/// Between two looks while nothing rings: a wake-up comes only while the webhook worker sleeps as well.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
const POLL_INTERVAL_MIN: Duration = Duration::from_millis(20);
const FAULT_PAUSE: Duration = Duration::from_millis(250);

/// Works until shutdown, then lets the orders under way end and records them.
pub async fn run(
    database: Database,
    providers: Arc<Providers>,
    wake: Arc<Notify>,
    shutdown: CancellationToken,
) {
    let (places, orders) = (Arc::new(Semaphore::new(UNDER_WAY_MAX)), TaskTracker::new());
    let mut complained = false;
    while !shutdown.is_cancelled() {
        let pause = match round(&database, &providers, &places, &orders).await {
            Ok(pause) => {
                complained = false;
                pause
            }
            Err(fault) => {
                if !complained {
                    tracing::warn!(%fault, "the payment worker cannot reach its work; trying again until it can");
                    complained = true;
                }
                FAULT_PAUSE
            }
        };
        tokio::select! {
            _ = wake.notified() => {}
            _ = tokio::time::sleep(pause) => {}
            _ = shutdown.cancelled() => {}
        }
    }
    orders.close();
    orders.wait().await;
}

/// Starts what is due, as far as there are places; gives how long there is nothing to do.
async fn round(
    database: &Database,
    providers: &Arc<Providers>,
    places: &Arc<Semaphore>,
    orders: &TaskTracker,
) -> Result<Duration, Fault> {
    let due_s = database.next_payment_due_s().await?.unwrap_or(f64::INFINITY);
    if due_s > 0.0 {
        let due_s = due_s.clamp(POLL_INTERVAL_MIN.as_secs_f64(), POLL_INTERVAL.as_secs_f64());
        return Ok(Duration::from_secs_f64(due_s));
    }
    let room = places.available_permits();
    if room == 0 {
        return Ok(POLL_INTERVAL_MIN);
    }
    let lease_ends = Instant::now() + Duration::from_secs(LEASE_S);
    let claims = database.claim_payments(room, LEASE_S).await?;
    for claim in claims {
        // Nobody else takes places, so there is one for each.
        let Ok(place) = places.clone().try_acquire_owned() else { break };
        let (database, providers) = (database.clone(), providers.clone());
        orders.spawn(async move {
            gauge!("topup_payment_in_flight").increment(1);
            carry_out(&database, &providers, claim, lease_ends).await;
            gauge!("topup_payment_in_flight").decrement(1);
            drop(place);
        });
    }
    Ok(POLL_INTERVAL_MIN)
}

async fn carry_out(database: &Database, providers: &Providers, claim: Claim, lease_ends: Instant) {
    let outcome = match &claim.order {
        Some(order) => carried_out(providers, order).await,
        None => Outcome::unknown("not_understood", "This gateway does not understand what is to be done."),
    };
    let settlement = Settlement {
        tenant_id: claim.tenant_id,
        payment_id: claim.payment_id,
        fence: claim.fence,
        refund_id: claim.order.as_ref().and_then(|order| order.refund_id),
        outcome,
    };
    record(database, &settlement, lease_ends).await;
}

async fn carried_out(providers: &Providers, order: &Order) -> Outcome {
    let outcome = match providers.get(&order.provider, &order.environment) {
        Some(provider) => ask(provider, order).await,
        None => {
            let (provider, environment) = (&order.provider, &order.environment);
            tracing::error!(provider, environment, "no gateway setting for this payment provider");
            Outcome::unknown("provider_not_configured", "This gateway does not know the payment provider.")
        }
    };
    log(order, &outcome);
    outcome
}

async fn ask(provider: &dyn PaymentProvider, order: &Order) -> Outcome {
    match order.action {
        Action::Charge => provider.charge(order).await,
        Action::LookUp => provider.look_up(order).await,
        Action::Refund => provider.refund(order).await,
    }
}

/// Repeated while Postgres is away, for as long as the lease holds; after that, another claim finds the same out.
async fn record(database: &Database, settlement: &Settlement, lease_ends: Instant) {
    loop {
        let fault = match recorded(database, settlement).await {
            Ok(()) => return,
            Err(fault) => fault,
        };
        let payment_id = settlement.payment_id;
        if Instant::now() >= lease_ends || matches!(fault, Fault::Internal { .. }) {
            tracing::error!(%payment_id, %fault, "what became of a payment is not recorded; it will be asked again");
            return;
        }
        tracing::warn!(%payment_id, %fault, "what became of a payment cannot be recorded yet");
        tokio::time::sleep(FAULT_PAUSE).await;
    }
}

async fn recorded(database: &Database, settlement: &Settlement) -> Result<(), Fault> {
    let _place = database.place_of_payment(settlement.tenant_id).await?;
    if let Some(report) = &settlement.outcome.report {
        database.report_payment(report).await?;
    }
    database.settle_payment(settlement).await?;
    for report in &settlement.outcome.afterwards {
        database.report_payment(report).await?;
    }
    Ok(())
}

fn log(order: &Order, outcome: &Outcome) {
    let (action, result) = (name(order.action), verdict(outcome.result));
    counter!("topup_payment_orders_total", "action" => action, "result" => result).increment(1);
    let (payment_id, code) = (&order.payment_id, &outcome.code);
    match outcome.result {
        Verdict::Unknown => {
            let message = &outcome.message;
            tracing::warn!(payment_id, action, code, message, "what became of a payment is not known yet");
        }
        _ => tracing::info!(payment_id, action, result, code, "payment"),
    }
}

fn name(action: Action) -> &'static str {
    match action {
        Action::Charge => "charge",
        Action::LookUp => "look_up",
        Action::Refund => "refund",
    }
}

fn verdict(result: Verdict) -> &'static str {
    match result {
        Verdict::Succeeded => "succeeded",
        Verdict::Failed => "failed",
        Verdict::RequiresAction => "requires_action",
        Verdict::Unknown => "unknown",
        Verdict::Refunded => "refunded",
    }
}
