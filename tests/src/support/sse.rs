//! MCP over legacy SSE: a stream of events, and the messages that are answered on it.

use super::client::{Client, Reply};
use super::gateway::Gateway;
use super::rpc::{ToolResult, result, tool_call};
use super::wait::{LIMIT, wait_until};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

/// Where SSE streams are served.
pub const SSE: [&str; 2] = ["/api/public/mcp/sse", "/sse"];

/// An open session. It ends with this value.
pub struct Session {
    /// The path that takes this session's messages, as the stream's first event told it.
    pub messages: String,
    client: Client,
    response: Response,
    read: String,
    next_id: i64,
}

#[derive(Debug)]
pub struct Event {
    pub kind: String,
    pub data: String,
}

/// Waits until the gateway has so many sessions, by its metrics.
pub async fn sessions_are(gateway: &Gateway, count: usize) {
    wait_until(LIMIT, &format!("{count} sessions"), async || {
        (gateway.metric("topup_mcp_sessions").await == Some(count as f64)).then_some(())
    })
    .await;
}

impl Session {
    pub async fn open(gateway: &Gateway, key: &str) -> Session {
        Session::open_at(&gateway.client(key), SSE[0]).await
    }

    pub async fn open_at(client: &Client, path: &str) -> Session {
        match Session::try_open(client, path).await {
            Ok(session) => session,
            Err(reply) => panic!("no stream: {} {}", reply.status, reply.text),
        }
    }

    /// A session, or the reply that came instead of a stream.
    pub async fn try_open(client: &Client, path: &str) -> Result<Session, Reply> {
        let client = client.at_root();
        let request = client.request(Method::GET, path).header("accept", "text/event-stream");
        let response = request.send().await.unwrap();
        if response.status() != 200 {
            return Err(Reply::of(response).await.unwrap());
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut session =
            Session { messages: String::new(), client, response, read: String::new(), next_id: 1 };
        let first = session.event().await.expect("a stream begins with an event");
        assert_eq!(first.kind, "endpoint");
        session.messages = first.data;
        Ok(session)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).map(|value| value.to_str().unwrap())
    }

    /// Posts a message; its answer comes on the stream.
    pub async fn post(&self, message: &Value) -> Reply {
        self.post_as(&self.client, message).await
    }

    /// The same with somebody's key.
    pub async fn post_as(&self, client: &Client, message: &Value) -> Reply {
        client.at_root().post(&self.messages, message.clone()).await
    }

    /// Posts a message that must be accepted.
    pub async fn tell(&self, message: &Value) {
        let reply = self.post(message).await;
        assert_eq!(reply.status, 202, "{}", reply.text);
    }

    /// The next event; nothing when the stream has ended in good order. A reset panics.
    pub async fn event(&mut self) -> Option<Event> {
        timeout(LIMIT, self.read_event()).await.expect("an event or the end comes")
    }

    async fn read_event(&mut self) -> Option<Event> {
        loop {
            while let Some((event, rest)) = self.read.split_once("\n\n") {
                let field = |name: &str| {
                    let lines = event.lines().filter_map(|line| line.strip_prefix(name));
                    lines.map(str::trim_start).collect::<Vec<_>>().join("\n")
                };
                let found = Event { kind: field("event:"), data: field("data:") };
                self.read = rest.to_owned();
                // A comment only keeps the connection alive.
                if !found.data.is_empty() {
                    return Some(found);
                }
            }
            let chunk = self.response.chunk().await.unwrap()?;
            self.read.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next message on the stream.
    pub async fn message(&mut self) -> Value {
        let event = self.event().await.expect("a message comes");
        assert_eq!(event.kind, "message");
        serde_json::from_str(&event.data).unwrap()
    }

    /// Asks, and gives the answer.
    pub async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        self.tell(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
        let answer = self.message().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    pub async fn result(&mut self, method: &str, params: Value) -> Value {
        result(self.ask(method, params).await)
    }

    pub async fn call(&mut self, tool: &str, arguments: Value) -> ToolResult {
        ToolResult::of(&self.result("tools/call", json!({"name": tool, "arguments": arguments})).await)
    }

    /// Begins a call; `message` gives its answer.
    pub async fn begin(&self, id: i64, tool: &str, arguments: Value) {
        self.tell(&tool_call(id, tool, arguments)).await;
    }

    /// Waits for the end of the stream, and for nothing else on it.
    pub async fn ends(&mut self) {
        let event = self.event().await;
        assert!(event.is_none(), "{event:?}");
    }
}
