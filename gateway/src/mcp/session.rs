//! Legacy SSE: a session is a stream to the client and a way in for its messages. Each is served by rmcp
//! over a pair of channels, and needs no handshake: a client that reconnects goes on at once.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::{Stream, StreamExt, stream};
use metrics::gauge;
use pg_topup_contract::Code;
use rmcp::RoleServer;
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, JsonRpcNotification, RequestId, ServerJsonRpcMessage,
};
use rmcp::service::{RunningService, serve_directly_with_ct};
use rmcp::transport::Transport;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::server::Server;
use crate::config::McpSettings;
use crate::limit::{self, KeyHash};
use crate::reply::Refusal;

/// Messages that wait, in either direction, before the next is refused.
const QUEUE_MAX: usize = 32;
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The open sessions of this gateway.
pub struct Sessions {
    open: Mutex<HashMap<Uuid, Session>>,
    sessions_max: usize,
    sessions_per_key_max: usize,
    idle_max: Duration,
    stop: CancellationToken,
}

struct Session {
    key: KeyHash,
    inbox: mpsc::Sender<ClientJsonRpcMessage>,
    outbox: mpsc::WeakSender<ServerJsonRpcMessage>,
    last_used: Instant,
}

impl Sessions {
    pub fn new(settings: &McpSettings, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Sessions {
            open: Mutex::default(),
            sessions_max: settings.sessions_max as usize,
            sessions_per_key_max: settings.sessions_per_key_max as usize,
            idle_max: Duration::from_secs(settings.session_idle_s.into()),
            stop,
        })
    }

    /// Opens a session of this key. Its stream begins with the path that takes its messages.
    pub fn open(
        self: &Arc<Self>,
        server: Server,
        api_key: &str,
        messages_path: &str,
    ) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>> + use<>>, Refusal> {
        let (id, key) = (Uuid::new_v4(), limit::hash(api_key));
        let (inbox, messages) = mpsc::channel(QUEUE_MAX);
        let (outbox, answers) = mpsc::channel(QUEUE_MAX);
        let session = Session { key, inbox, outbox: outbox.downgrade(), last_used: Instant::now() };
        self.admit(id, session)?;
        // The client's end of the stream holds the guard: when the client goes, the session ends.
        let gone = CancellationToken::new();
        let guard = gone.clone().drop_guard();
        let wire = Wire { messages, outbox, unanswered: watch::channel(HashSet::new()).0.into() };
        let service = serve_directly_with_ct(server, wire, None, gone);
        tokio::spawn(self.clone().live(id, service));
        let endpoint = Event::default().event("endpoint").data(format!("{messages_path}?session_id={id}"));
        let events = stream::once(std::future::ready(Ok(endpoint))).chain(events(answers, guard));
        Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
    }

    fn admit(&self, id: Uuid, session: Session) -> Result<(), Refusal> {
        let mut open = self.lock();
        if self.stop.is_cancelled() || open.len() >= self.sessions_max {
            return Err(Refusal::unavailable());
        }
        if open.values().filter(|other| other.key == session.key).count() >= self.sessions_per_key_max {
            let message = "This key has too many sessions open. Close one, or use Streamable HTTP.";
            return Err(Refusal::new(Code::RateLimitExceeded, message));
        }
        open.insert(id, session);
        gauge!("topup_mcp_sessions").set(open.len() as f64);
        Ok(())
    }

    /// Passes a message on to a session of the same key; another's is as good as none.
    pub fn deliver(
        &self,
        id: Option<Uuid>,
        api_key: &str,
        message: ClientJsonRpcMessage,
    ) -> Result<(), Refusal> {
        let key = limit::hash(api_key);
        let mut open = self.lock();
        let session = id.and_then(|id| open.get_mut(&id)).filter(|session| session.key == key);
        let unknown = || Refusal::new(Code::UnknownEndpoint, "There is no such session: open a new stream.");
        let session = session.ok_or_else(unknown)?;
        let is_read = session.outbox.upgrade().ok_or_else(unknown)?.capacity() > 0;
        if !is_read || session.inbox.try_send(message).is_err() {
            let message = "Too many messages of this session wait. Read its stream first.";
            return Err(Refusal::new(Code::RateLimitExceeded, message));
        }
        session.last_used = Instant::now();
        Ok(())
    }

    /// Ends a session of this key.
    pub fn end(&self, id: Uuid, api_key: &str) {
        let key = limit::hash(api_key);
        if self.lock().get(&id).is_some_and(|session| session.key == key) {
            self.forget(id);
        }
    }

    /// A session's life. Once it is forgotten its inbox closes, and what was asked before is still answered.
    async fn live(self: Arc<Self>, id: Uuid, service: RunningService<RoleServer, Server>) {
        let mut over = std::pin::pin!(service.waiting());
        tokio::select! {
            _ = &mut over => return self.forget(id),
            () = self.idle(id) => {}
            () = self.stop.cancelled() => {}
        }
        self.forget(id);
        let _ = over.await;
    }

    /// Returns when nobody has used the session for too long.
    async fn idle(&self, id: Uuid) {
        loop {
            let Some(last_used) = self.lock().get(&id).map(|session| session.last_used) else { return };
            let until = last_used + self.idle_max;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    fn forget(&self, id: Uuid) {
        let mut open = self.lock();
        open.remove(&id);
        gauge!("topup_mcp_sessions").set(open.len() as f64);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers as events, until the service lets go of its end.
fn events(
    answers: mpsc::Receiver<ServerJsonRpcMessage>,
    guard: DropGuard,
) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold((answers, guard), async |(mut answers, guard)| {
        let answer = answers.recv().await?;
        let text = serde_json::to_string(&answer).unwrap_or_default();
        Some((Ok(Event::default().event("message").data(text)), (answers, guard)))
    })
}

/// rmcp's side of a session. Its inbox ends only when everything is answered, for rmcp gives what is under way
/// no more than five seconds after that.
struct Wire {
    messages: mpsc::Receiver<ClientJsonRpcMessage>,
    outbox: mpsc::Sender<ServerJsonRpcMessage>,
    unanswered: Arc<watch::Sender<HashSet<RequestId>>>,
}

impl Wire {
    fn note(&self, message: &ClientJsonRpcMessage) {
        match message {
            ClientJsonRpcMessage::Request(request) => {
                self.unanswered.send_modify(|open| open.extend([request.id.clone()]));
            }
            // rmcp leaves a cancelled request without an answer.
            ClientJsonRpcMessage::Notification(JsonRpcNotification {
                notification: ClientNotification::CancelledNotification(cancelled),
                ..
            }) => {
                self.unanswered
                    .send_modify(|open| open.retain(|id| Some(id) != cancelled.params.request_id.as_ref()));
            }
            _ => {}
        }
    }
}

impl Transport<RoleServer> for Wire {
    type Error = io::Error;

    fn send(
        &mut self,
        answer: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        let (outbox, unanswered) = (self.outbox.clone(), self.unanswered.clone());
        async move {
            let answered = match &answer {
                ServerJsonRpcMessage::Response(response) => Some(response.id.clone()),
                ServerJsonRpcMessage::Error(error) => error.id.clone(),
                _ => None,
            };
            // How a client leaves is its own affair.
            let _ = outbox.send(answer).await;
            unanswered.send_modify(|open| open.retain(|id| Some(id) != answered.as_ref()));
            Ok(())
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        if let Some(message) = self.messages.recv().await {
            self.note(&message);
            return Some(message);
        }
        let _ = self.unanswered.subscribe().wait_for(HashSet::is_empty).await;
        None
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        self.messages.close();
        Ok(())
    }
}
