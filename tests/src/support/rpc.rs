//! MCP in raw JSON-RPC, one message a request: Streamable HTTP.

use super::client::{Client, Reply};
use super::gateway::Gateway;
use super::shop::Shop;
use reqwest::Method;
use serde_json::{Value, json};

/// Where Streamable HTTP is served.
pub const STREAMABLE: &str = "/api/public/mcp";

pub const NO_RATE_LIMIT: [&str; 2] = ["--rate-limit", "0"];

/// A shop whose key may call as often as it likes, and a client with that key.
pub async fn open() -> (Shop, Rpc) {
    let shop = Shop::open_with(&NO_RATE_LIMIT).await;
    let rpc = Rpc::new(&shop.gateway, &shop.key);
    (shop, rpc)
}

/// The same for a test that must not write anything, with what is in the database.
pub async fn open_untouched() -> (Shop, Rpc, String) {
    let (shop, rpc) = open().await;
    let before = shop.database.contents().await;
    (shop, rpc, before)
}

/// Fails if anything was written meanwhile.
pub async fn untouched(shop: &Shop, before: &str) {
    assert!(shop.database.contents().await == before, "something was written");
    assert!(!shop.gateway.log().contains("panicked"));
}

/// Speaks to one gateway with one key, and keeps nothing between two messages.
#[derive(Clone)]
pub struct Rpc {
    /// For paths that begin at the root.
    pub client: Client,
}

/// The result of a tool call.
#[derive(Clone, Debug)]
pub struct ToolResult {
    /// The envelope to the byte.
    pub text: String,
    pub envelope: Value,
    pub is_error: bool,
}

impl Rpc {
    pub fn new(gateway: &Gateway, key: &str) -> Rpc {
        Rpc { client: gateway.client(key).at_root() }
    }

    /// Posts anything as JSON.
    pub async fn post(&self, body: impl Into<String>) -> Reply {
        self.post_with(body, &[]).await
    }

    pub async fn post_with(&self, body: impl Into<String>, headers: &[(&str, &str)]) -> Reply {
        let mut request =
            self.client.request(Method::POST, STREAMABLE).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.client.send(request.body(body.into())).await
    }

    /// Asks, and gives the answer with its HTTP status.
    pub async fn ask(&self, method: &str, params: Value) -> Reply {
        self.post(request(1, method, params).to_string()).await
    }

    /// The result of a request that must have one.
    pub async fn result(&self, method: &str, params: Value) -> Value {
        let reply = self.ask(method, params).await;
        assert_eq!(reply.status, 200, "{method}: {}", reply.text);
        result(reply.json)
    }

    pub async fn initialize(&self, revision: &str) -> Value {
        self.result("initialize", hello(revision)).await
    }

    /// The tools, by their listing.
    pub async fn tools(&self) -> Vec<Value> {
        self.result("tools/list", json!({})).await["tools"].as_array().unwrap().clone()
    }

    /// Calls a tool.
    pub async fn call(&self, tool: &str, arguments: Value) -> ToolResult {
        let params = json!({"name": tool, "arguments": arguments});
        ToolResult::of(&self.result("tools/call", params).await)
    }
}

impl ToolResult {
    /// Reads a result, whose text and structure must say the same.
    #[track_caller]
    pub fn of(result: &Value) -> ToolResult {
        let [content] = result["content"].as_array().unwrap().as_slice() else { panic!("{result}") };
        assert_eq!(content["type"], "text", "{result}");
        let text = content["text"].as_str().unwrap().to_owned();
        let envelope = result["structuredContent"].clone();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), envelope, "{result}");
        assert_eq!(envelope.as_object().unwrap().len(), 6, "{result}");
        let is_error = result["isError"].as_bool().unwrap();
        ToolResult { text, envelope, is_error }
    }

    pub fn code(&self) -> i64 {
        self.envelope["code"].as_i64().unwrap()
    }

    pub fn data(&self) -> &Value {
        &self.envelope["data"]
    }

    pub fn transaction_id(&self) -> String {
        self.envelope["transaction_id"].as_str().unwrap().to_owned()
    }

    /// The result, when it is one of this code and no error.
    #[track_caller]
    pub fn expect(self, code: i64) -> ToolResult {
        assert_eq!((self.code(), self.is_error), (code, false), "{}", self.text);
        self
    }

    /// The result, when it is a refusal of this code, with a message.
    #[track_caller]
    pub fn refused(self, code: i64) -> ToolResult {
        assert_eq!((self.code(), self.is_error), (code, true), "{}", self.text);
        assert_eq!(self.envelope["success"], false, "{}", self.text);
        assert!(self.data()["message"].as_str().is_some_and(|message| message.len() > 8), "{}", self.text);
        self
    }
}

/// A JSON-RPC request.
pub fn request(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

/// A tool call as a JSON-RPC request.
pub fn tool_call(id: impl Into<Value>, tool: &str, arguments: Value) -> Value {
    request(id, "tools/call", json!({"name": tool, "arguments": arguments}))
}

/// The params of `initialize`.
pub fn hello(revision: &str) -> Value {
    let client = json!({"name": "test", "version": "1"});
    json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": client})
}

/// What an answer without error carries.
#[track_caller]
pub fn result(answer: Value) -> Value {
    assert!(answer["jsonrpc"] == "2.0" && answer["result"].is_object(), "{answer}");
    answer["result"].clone()
}

/// The code of a JSON-RPC error; panics when the answer is none.
#[track_caller]
pub fn error_code(reply: &Reply) -> i64 {
    let code = reply.json["error"]["code"].as_i64();
    code.unwrap_or_else(|| panic!("no JSON-RPC error: {} {}", reply.status, reply.text))
}
