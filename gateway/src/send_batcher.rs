//! Sends of one key share transactions: those that arrive while one is under way wait together, and go as the next.
//!
//! Only sends do so. All of one key wait for its wallet, one after the other, whatever they are; each takes the wallet
//! before anything else, so that no order of them can lock up; and each is short. Reads would wait for nothing otherwise,
//! and other writes hold rows that somebody else may want in another order.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use metrics::histogram;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::limit::{self, KeyHash};
use crate::postgres::database::{ANSWER_TIMEOUT, Call, Database, Fault, POOL_WAIT};
use crate::reply::Answer;

/// Calls in one transaction, at most: whoever else wants the wallet waits for all of them.
const BATCH_MAX: usize = 100;
/// A request is a hundred bytes or so; what is far larger goes in small company.
const BATCH_BYTES_MAX: usize = 1_048_576;
/// Calls of one key that wait, at most.
const WAITING_MAX: usize = 1000;
/// Calls of a failed batch that are repeated at one time: the connections are there for others too. Those whose turn does
/// not come as soon as a connection must are given up.
const REPEATS_AT_ONCE: usize = 4;

/// The sends under way, and those that wait for their turn, by key.
pub struct SendBatcher {
    database: Database,
    queues: Mutex<HashMap<KeyHash, Queue>>,
}

/// Who waits while a transaction of this key is under way. There is no queue while there is none.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    last_number: u64,
}

struct Waiting {
    number: u64,
    call: OwnedCall,
    answer: oneshot::Sender<Result<Answer, Fault>>,
}

/// A call that may outlive the request that brought it.
struct OwnedCall {
    api_key: String,
    operation: String,
    request: String,
    idempotency_key: Option<String>,
    client_ip: IpAddr,
}

/// The right to have a transaction of this key under way. Whatever ends it, the next batch begins.
struct BatchTurn {
    sends: Arc<SendBatcher>,
    key: KeyHash,
}

enum Entered {
    Turn(BatchTurn),
    Waiting(u64, oneshot::Receiver<Result<Answer, Fault>>),
    Full,
}

impl SendBatcher {
    pub fn new(database: Database) -> Arc<Self> {
        Arc::new(SendBatcher { database, queues: Mutex::default() })
    }

    /// Calls at once and alone where no other send of the key is under way, else with those that wait too.
    pub async fn call(self: &Arc<Self>, call: &Call<'_>) -> Result<Answer, Fault> {
        let key = limit::hash(call.api_key);
        match self.enter(key, call) {
            Entered::Turn(turn) => {
                count(1);
                let result = self.database.call(call).await;
                drop(turn);
                result
            }
            Entered::Waiting(number, answer) => self.wait(key, number, answer).await,
            Entered::Full => Err(Fault::Busy(format!("{WAITING_MAX} sends of this key are waiting already"))),
        }
    }

    fn enter(self: &Arc<Self>, key: KeyHash, call: &Call<'_>) -> Entered {
        match self.queues().entry(key) {
            Entry::Vacant(place) => {
                place.insert(Queue::default());
                Entered::Turn(BatchTurn { sends: self.clone(), key })
            }
            Entry::Occupied(queue) if queue.get().waiting.len() >= WAITING_MAX => Entered::Full,
            Entry::Occupied(mut queue) => {
                let queue = queue.get_mut();
                queue.last_number += 1;
                let (answer, receiver) = oneshot::channel();
                let number = queue.last_number;
                queue.waiting.push_back(Waiting { number, call: OwnedCall::of(call), answer });
                Entered::Waiting(number, receiver)
            }
        }
    }

    /// Waits for a turn as long as those before may take, and then for the answer as long as that takes.
    async fn wait(
        &self,
        key: KeyHash,
        number: u64,
        mut answer: oneshot::Receiver<Result<Answer, Fault>>,
    ) -> Result<Answer, Fault> {
        let answered = match tokio::time::timeout(ANSWER_TIMEOUT, &mut answer).await {
            Ok(answered) => answered,
            Err(_) if self.leave(key, number) => return Err(no_turn(ANSWER_TIMEOUT)),
            Err(_) => answer.await,
        };
        answered.unwrap_or_else(|_| Err(Fault::Unavailable("the batch ended without an answer".to_owned())))
    }

    /// Takes a call out of its queue, unless it is under way.
    fn leave(&self, key: KeyHash, number: u64) -> bool {
        let mut queues = self.queues();
        let Some(queue) = queues.get_mut(&key) else { return false };
        let place = queue.waiting.iter().position(|waiting| waiting.number == number);
        place.and_then(|place| queue.waiting.remove(place)).is_some()
    }

    /// The next of the queue, without those whose clients are gone; no queue is left where nobody waits.
    fn next_batch(&self, key: KeyHash) -> Vec<Waiting> {
        let mut queues = self.queues();
        let Entry::Occupied(mut queue) = queues.entry(key) else { return Vec::new() };
        let waiting = &mut queue.get_mut().waiting;
        waiting.retain(|waiting| !waiting.answer.is_closed());
        let mut bytes = 0;
        let is_small = |waiting: &&Waiting| {
            bytes += waiting.call.request.len();
            bytes <= BATCH_BYTES_MAX
        };
        let count = waiting.iter().take(BATCH_MAX).take_while(is_small).count();
        // However large it is, the first has its turn.
        let batch: Vec<_> = waiting.drain(..count.max(1).min(waiting.len())).collect();
        if batch.is_empty() {
            queue.remove();
        }
        batch
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<KeyHash, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each call of a batch of which Postgres has said that nothing was done, by the rules of a single call: the fault of
    /// one is then its own.
    async fn each_alone(&self, batch: Vec<Waiting>) {
        let began = Instant::now();
        let repeats = batch.into_iter().map(|waiting| async move {
            let result = match began.elapsed() < POOL_WAIT {
                true => self.database.call(&waiting.call.borrowed()).await,
                false => Err(no_turn(POOL_WAIT)),
            };
            waiting.tell(result);
        });
        stream::iter(repeats).buffer_unordered(REPEATS_AT_ONCE).collect::<()>().await;
    }
}

impl BatchTurn {
    /// Calls for all of a batch. It goes on whoever of its clients leaves.
    async fn carry_out(self, batch: Vec<Waiting>) {
        count(batch.len());
        let sends = self.sends.clone();
        let calls: Vec<_> = batch.iter().map(|waiting| waiting.call.borrowed()).collect();
        let result = match calls.as_slice() {
            [call] => sends.database.call(call).await.map(|answer| vec![answer]),
            _ => sends.database.call_many(&calls).await,
        };
        // Postgres works for the next while these are told.
        drop(self);
        match result {
            Ok(answers) => {
                batch.into_iter().zip(answers).for_each(|(waiting, answer)| waiting.tell(Ok(answer)))
            }
            // A server that takes nothing from anybody is not asked once more for each.
            Err(fault) if fault.is_undone() && !fault.is_of_the_connection() && batch.len() > 1 => {
                tracing::warn!(calls = batch.len(), %fault, "a batch failed; each call is repeated alone");
                sends.each_alone(batch).await;
            }
            Err(fault) => batch.into_iter().for_each(|waiting| waiting.tell(Err(fault.clone()))),
        }
    }
}

impl Drop for BatchTurn {
    fn drop(&mut self) {
        let batch = self.sends.next_batch(self.key);
        // Without a runtime the process is ending, and nobody waits any more.
        if !batch.is_empty()
            && let Ok(runtime) = Handle::try_current()
        {
            let turn = BatchTurn { sends: self.sends.clone(), key: self.key };
            runtime.spawn(turn.carry_out(batch));
        }
    }
}

impl Waiting {
    fn tell(self, result: Result<Answer, Fault>) {
        // Its client may be gone.
        let _ = self.answer.send(result);
    }
}

impl OwnedCall {
    fn of(call: &Call<'_>) -> Self {
        OwnedCall {
            api_key: call.api_key.to_owned(),
            operation: call.operation.to_owned(),
            request: call.request.to_owned(),
            idempotency_key: call.idempotency_key.map(str::to_owned),
            client_ip: call.client_ip,
        }
    }

    fn borrowed(&self) -> Call<'_> {
        Call {
            api_key: &self.api_key,
            operation: &self.operation,
            request: &self.request,
            idempotency_key: self.idempotency_key.as_deref(),
            client_ip: self.client_ip,
        }
    }
}

fn count(calls: usize) {
    histogram!("topup_send_batch_calls").record(calls as f64);
}

fn no_turn(limit: Duration) -> Fault {
    Fault::Busy(format!("no turn within {} s", limit.as_secs()))
}
