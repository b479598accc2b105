//! The wake-up call: a direct connection that listens for what the database announces, and notices when it is dead.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, Notification};
use tokio_util::sync::CancellationToken;

use crate::completion::Completions;
use crate::postgres::database::in_words;
use crate::postgres::target::{CONNECT_TIMEOUT, Target};

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(3);
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

const LISTEN: &str = "listen topup_effects; listen topup_tested";
const TESTED_CHANNEL: &str = "topup_tested";

/// Who is told of what is heard: workers of work, and calls that wait for the test of a webhook of its end.
pub struct Heard {
    pub bells: Vec<Arc<Notify>>,
    pub completions: Arc<Completions>,
}

impl Heard {
    fn ring(&self) {
        self.bells.iter().for_each(|bell| bell.notify_one());
    }

    fn tell(&self, notification: &Notification) {
        match notification.channel() {
            TESTED_CHANNEL => self.completions.announce(notification.payload()),
            _ => self.ring(),
        }
    }
}

/// Listens until shutdown, through every reconnect, and rings every worker for each notification and after
/// each reconnect (what was announced in between went unheard). Polling covers all else.
pub async fn listen(target: Arc<Target>, heard: Heard, shutdown: CancellationToken) {
    let mut complained = false;
    loop {
        let ended = tokio::select! {
            ended = listen_once(&target, &heard, &mut complained) => ended,
            _ = shutdown.cancelled() => return,
        };
        gauge!("topup_listener_connected").set(0.0);
        if !complained {
            tracing::warn!(error = ended, "not listening for wake-ups; polling until the connection is back");
            complained = true;
        }
        tokio::select! {
            _ = tokio::time::sleep(RECONNECT_PAUSE) => {}
            _ = shutdown.cancelled() => return,
        }
    }
}

/// Listens on one connection until that ends, and says why it did.
async fn listen_once(target: &Target, heard: &Heard, complained: &mut bool) -> String {
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, target.connect());
    let (client, mut connection) = match connecting.await {
        Err(_) => return "the connection timed out".to_owned(),
        Ok(Err(error)) => return in_words(&error),
        Ok(Ok(connected)) => connected,
    };
    let driver = async move {
        loop {
            match poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(notification))) => heard.tell(&notification),
                Some(Ok(_)) => {}
                Some(Err(error)) => return in_words(&error),
                None => return "the connection was closed".to_owned(),
            }
        }
    };
    let heartbeat = async {
        let mut statement = LISTEN;
        loop {
            match tokio::time::timeout(HEARTBEAT_TIMEOUT, client.simple_query(statement)).await {
                Err(_) => return "the connection is dead".to_owned(),
                Ok(Err(error)) => return in_words(&error),
                Ok(Ok(_)) => {}
            }
            if statement != "select 1" {
                gauge!("topup_listener_connected").set(1.0);
                tracing::info!("listening for wake-ups");
                *complained = false;
                heard.ring();
                statement = "select 1";
            }
            tokio::time::sleep(HEARTBEAT_INTERVAL).await;
        }
    };
    tokio::select! {
        ended = driver => ended,
        ended = heartbeat => ended,
    }
}
