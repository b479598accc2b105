//! Whether Postgres answers, asked at most once a second, however many want to know.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::postgres::database::Database;

const ANSWER_KEPT: Duration = Duration::from_secs(1);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The last answer, and when it was asked for. Whoever comes while it is being asked for waits for it.
#[derive(Default)]
pub struct Readiness {
    last: Mutex<Option<(Instant, bool)>>,
}

impl Readiness {
    pub async fn postgres_answers(&self, database: &Database) -> bool {
        let mut last = self.last.lock().await;
        if let Some((answered_at, answers)) = *last
            && answered_at.elapsed() < ANSWER_KEPT
        {
            return answers;
        }
        let answers = database.answers(ANSWER_TIMEOUT).await;
        *last = Some((Instant::now(), answers));
        answers
    }
}
