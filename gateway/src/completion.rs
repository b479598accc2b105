//! Operations that are answered before they are done, such as the test of a webhook: their end is waited for here, announced
//! by the database and asked for now and then in case the announcement went unheard.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::limit::{Concurrency, UnderWay};
use crate::postgres::database::{Call, Database, Fault};
use crate::reply::{Answer, Refusal};

const TIMEOUT: Duration = Duration::from_secs(15);
/// Unheard, the end is asked for after this time, and then after twice as long each time.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(4);
/// Of one key: each holds a request for up to [`TIMEOUT`].
const PER_KEY_MAX: usize = 8;
const RETRY_AFTER: Duration = Duration::from_secs(2);
const STATUS_ACCEPTED: u16 = 202;

/// Calls whose end is waited for.
pub struct Completions {
    waiting: Mutex<Vec<Waiting>>,
    calls: Concurrency,
}

/// A call, by the data of its first answer, which is the request that asks for its end.
struct Waiting {
    request: String,
    bell: Arc<Notify>,
}

/// A place among those that wait, until it is dropped.
struct Place<'a> {
    completions: &'a Completions,
    bell: Arc<Notify>,
}

impl Completions {
    pub fn new() -> Arc<Self> {
        Arc::new(Completions { waiting: Mutex::default(), calls: Concurrency::new(PER_KEY_MAX) })
    }

    /// Lets one more call of this key begin that will be waited for, unless too many are.
    pub fn admit(&self, api_key: &str) -> Result<UnderWay<'_>, Refusal> {
        self.calls.enter(api_key).ok_or_else(|| Refusal::rate_limited(RETRY_AFTER))
    }

    /// What has this id is over.
    pub fn announce(&self, id: &str) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let is_meant = |it: &&Waiting| !id.is_empty() && it.request.contains(id);
        waiting.iter().filter(is_meant).for_each(|it| it.bell.notify_one());
    }

    /// Asks for the end of a call that is under way: `then` is the operation that tells it.
    pub async fn end(
        &self,
        database: &Database,
        call: &Call<'_>,
        then: &str,
        first: Answer,
    ) -> Result<Answer, Fault> {
        #[derive(Deserialize)]
        struct Reply<'a> {
            #[serde(borrow)]
            data: &'a RawValue,
        }
        if first.status != STATUS_ACCEPTED {
            return Ok(first);
        }
        let data = serde_json::from_str::<Reply>(&first.body).map(|reply| reply.data.get().to_owned());
        let Ok(data) = data else { return Ok(first) };
        let place = self.enter(&data);
        let again = Call { operation: then, request: &data, idempotency_key: None, ..*call };
        let deadline = Instant::now() + TIMEOUT;
        let mut pause = PAUSE_MIN;
        loop {
            let _ = tokio::time::timeout(pause, place.bell.notified()).await;
            let answer = database.call(&again).await?;
            if answer.status != STATUS_ACCEPTED || Instant::now() >= deadline {
                return Ok(answer);
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn enter(&self, request: &str) -> Place<'_> {
        let bell = Arc::new(Notify::new());
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(Waiting { request: request.to_owned(), bell: Arc::clone(&bell) });
        Place { completions: self, bell }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.completions.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|it| !Arc::ptr_eq(&it.bell, &self.bell));
    }
}
