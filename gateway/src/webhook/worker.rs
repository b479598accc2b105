//! The webhook worker: claims what is due, delivers it side by side, and sleeps when there is nothing to do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::postgres::database::{Database, Fault};
use crate::webhook::concurrency::Lanes;
use crate::webhook::deliver::Deliverer;
use crate::webhook::effects::Effect;
use crate::webhook::settle::{self, Settlement};

/// An attempt takes 10 s at most; the rest is for recording it while Postgres is away.
const LEASE_S: u64 = 30;
const CLAIM_BATCH_MAX: usize = 100;
const DUE_BATCH_MAX: usize = 100;
const DUE_ROUNDS_MAX: usize = 20;
const SETTLEMENTS_WAITING_MAX: usize = 1024;

/// With few places free, those that become free so soon are filled by the same claim: one for many costs little more
/// than one for one.
const GATHER_PAUSE: Duration = Duration::from_millis(5);
const POLL_AWAKE: Duration = Duration::from_millis(10);
const DUE_INTERVAL_AWAKE: Duration = Duration::from_millis(100);
/// Without work for so long, the worker says that it sleeps, and goes on polling as long again:
/// transactions already under way could not see that it does.
const DROWSY_AFTER: Duration = Duration::from_secs(1);
const POLL_ASLEEP: Duration = Duration::from_secs(1);
const SLEEP_FLAG_S: u64 = 30;
const SLEEP_FLAG_RENEWED_AFTER: Duration = Duration::from_secs(20);
const FAULT_PAUSE: Duration = Duration::from_millis(250);

pub struct Worker {
    id: Uuid,
    database: Database,
    deliverer: Arc<Deliverer>,
    lanes: Arc<Lanes>,
    /// Rung when something may have become due.
    wake: Arc<Notify>,
    attempts: TaskTracker,
    settlements: mpsc::Sender<Settlement>,
    last_work: Instant,
    last_due_run: Option<Instant>,
    asleep: Option<Asleep>,
    complained: bool,
}

#[derive(Clone, Copy)]
struct Asleep {
    since: Instant,
    flag_set: Instant,
}

/// What one look for work found.
enum Round {
    Work,
    Nothing,
    /// Every place is taken.
    Full,
}

/// Works until shutdown, then lets the attempts under way end and records them.
pub async fn run(
    database: Database,
    deliverer: Deliverer,
    lanes: Arc<Lanes>,
    wake: Arc<Notify>,
    shutdown: CancellationToken,
) {
    let (settlements, waiting) = mpsc::channel(SETTLEMENTS_WAITING_MAX);
    let settler = tokio::spawn(settle::run(database.clone(), waiting));
    let mut worker = Worker {
        id: Uuid::now_v7(),
        database,
        deliverer: Arc::new(deliverer),
        lanes,
        wake,
        attempts: TaskTracker::new(),
        settlements,
        last_work: Instant::now(),
        last_due_run: None,
        asleep: None,
        complained: false,
    };
    while !shutdown.is_cancelled() {
        let round = worker.round().await;
        tokio::select! {
            _ = worker.pause(round) => {}
            _ = shutdown.cancelled() => {}
        }
    }
    if worker.asleep.is_some() {
        let _ = worker.database.worker_wake(worker.id).await;
    }
    worker.attempts.close();
    worker.attempts.wait().await;
    drop(worker);
    let _ = settler.await;
}

impl Worker {
    /// Looks for work once and starts what it finds. What has been announced goes out first: it is waited for.
    async fn round(&mut self) -> Result<Round, Fault> {
        let claimed = self.claim().await;
        // Trouble with one kind of work must not hold up the other.
        let was_due = self.run_due().await.unwrap_or_else(|fault| {
            tracing::warn!(%fault, "what is due inside the database cannot be done now");
            false
        });
        Ok(match claimed? {
            None => Round::Full,
            Some(0) if !was_due => Round::Nothing,
            Some(_) => Round::Work,
        })
    }

    /// Claims what there is room for and starts it; gives how much that was, or nothing where there is no room.
    async fn claim(&self) -> Result<Option<usize>, Fault> {
        let room = self.lanes.room();
        if room.batch_max == 0 {
            return Ok(None);
        }
        let batch_max = room.batch_max.min(CLAIM_BATCH_MAX);
        let lease_ends = Instant::now() + Duration::from_secs(LEASE_S);
        let claimed = self.database.claim(&room, batch_max, LEASE_S).await?;
        let result = if claimed.is_empty() { "empty" } else { "found" };
        counter!("topup_worker_claims_total", "result" => result).increment(1);
        counter!("topup_worker_effects_claimed_total").increment(claimed.len() as u64);
        let count = claimed.len();
        for effect in claimed {
            self.start(effect, lease_ends);
        }
        Ok(Some(count))
    }

    /// Lets the database do what is due inside it; gives whether there was any.
    async fn run_due(&mut self) -> Result<bool, Fault> {
        let is_early = self.last_due_run.is_some_and(|last| last.elapsed() < DUE_INTERVAL_AWAKE);
        if is_early {
            return Ok(false);
        }
        let mut done = false;
        for _ in 0..DUE_ROUNDS_MAX {
            if self.database.run_due(DUE_BATCH_MAX).await? == 0 {
                break;
            }
            done = true;
        }
        self.last_due_run = Some(Instant::now());
        Ok(done)
    }

    fn start(&self, effect: Effect, lease_ends: Instant) {
        let place = self.lanes.enter(effect.tenant_id, effect.lane);
        let (deliverer, settlements) = (self.deliverer.clone(), self.settlements.clone());
        self.attempts.spawn(async move {
            let outcome = deliverer.attempt(&effect).await;
            drop(place);
            if let Some(error) = &outcome.error {
                tracing::debug!(effect_id = %effect.effect_id, lane = %effect.lane, error, "webhook attempt failed");
            }
            // The settler outlives every attempt, so this cannot fail.
            let _ = settlements.send(Settlement { outcome, lease_ends }).await;
        });
    }

    /// Waits as long as it makes sense before the next look.
    async fn pause(&mut self, round: Result<Round, Fault>) {
        let result = match round {
            Ok(Round::Work) => self.stay_awake().await,
            Ok(Round::Full) => {
                self.last_work = Instant::now();
                tokio::select! {
                    _ = self.lanes.freed() => sleep(GATHER_PAUSE).await,
                    _ = sleep(POLL_ASLEEP) => {}
                }
                Ok(())
            }
            Ok(Round::Nothing) => self.rest().await,
            Err(fault) => Err(fault),
        };
        match result {
            Ok(()) => self.complained = false,
            Err(fault) => {
                if !self.complained {
                    tracing::warn!(%fault, "the worker cannot reach its work; trying again until it can");
                    self.complained = true;
                }
                sleep(FAULT_PAUSE).await;
            }
        }
    }

    async fn stay_awake(&mut self) -> Result<(), Fault> {
        self.last_work = Instant::now();
        if self.asleep.take().is_some() {
            self.database.worker_wake(self.id).await?;
        }
        if self.lanes.is_crowded() {
            sleep(GATHER_PAUSE).await;
        }
        Ok(())
    }

    async fn rest(&mut self) -> Result<(), Fault> {
        match self.asleep {
            None if self.last_work.elapsed() < DROWSY_AFTER => self.wait(POLL_AWAKE).await,
            None => {
                self.database.worker_sleep(self.id, SLEEP_FLAG_S).await?;
                let now = Instant::now();
                self.asleep = Some(Asleep { since: now, flag_set: now });
                self.wait(POLL_AWAKE).await;
            }
            Some(asleep) if asleep.since.elapsed() < DROWSY_AFTER => self.wait(POLL_AWAKE).await,
            Some(asleep) => {
                self.renew(asleep).await?;
                let due_s = self.database.next_due_s().await?.unwrap_or(f64::INFINITY);
                let due_s = due_s.clamp(POLL_AWAKE.as_secs_f64(), POLL_ASLEEP.as_secs_f64());
                tokio::select! {
                    _ = self.wake.notified() => {}
                    _ = self.wait(Duration::from_secs_f64(due_s)) => {}
                }
            }
        }
        Ok(())
    }

    /// Keeps the flag up. One that ran out meanwhile begins the sleep anew, drowsiness included.
    async fn renew(&mut self, asleep: Asleep) -> Result<(), Fault> {
        if asleep.flag_set.elapsed() < SLEEP_FLAG_RENEWED_AFTER {
            return Ok(());
        }
        let lapsed = asleep.flag_set.elapsed() >= Duration::from_secs(SLEEP_FLAG_S);
        self.database.worker_sleep(self.id, SLEEP_FLAG_S).await?;
        let now = Instant::now();
        self.asleep = Some(Asleep { since: if lapsed { now } else { asleep.since }, flag_set: now });
        Ok(())
    }

    /// Waits, but not past the moment at which a busy lane or tenant has room again.
    async fn wait(&self, limit: Duration) {
        let is_crowded = self.lanes.room().is_any_busy();
        tokio::select! {
            _ = self.lanes.freed(), if is_crowded => {}
            _ = sleep(limit) => {}
        }
    }
}
