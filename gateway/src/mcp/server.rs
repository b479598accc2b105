//! The MCP server itself: it lists the catalog's tools, and calls their operations for whoever asks.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::http::request::Parts;
use futures_util::FutureExt;
use metrics::counter;
use pg_topup_contract::Code;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestMethod, CompleteRequestParams,
    CompleteResult, ContentBlock, CustomRequest, CustomResult, ErrorCode, ErrorData, Extensions,
    Implementation, JsonObject, ListPromptsRequestMethod, ListPromptsResult,
    ListResourceTemplatesRequestMethod, ListResourceTemplatesResult, ListResourcesRequestMethod,
    ListResourcesResult, ListToolsResult, MetaObject, PaginatedRequestParams, ServerCapabilities,
    ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler};
use serde_json::Value;

use crate::app::App;
use crate::call;
use crate::credentials::Credentials;
use crate::limit;
use crate::reply::{self, Answer, Refusal};
use crate::request_id;
use crate::tool::{Entry, NAME_SHOWN_MAX};

const INSTRUCTIONS: &str = "\
Prepaid AI credit. Amounts are whole US cents. Every answer has the same six fields; code says what happened, success whether \
it went well. Before a large top-up look at check_balance. Give send_topup a new idempotency_key for each top-up that is \
intended, and the same one when it is tried again. 2007 means that it would go beyond what this key may spend: stop and say so.";

/// Methods that have a handler here. Under one of these names, what rmcp could not read has bad parameters.
const METHODS: [&str; 5] = ["initialize", "server/discover", "ping", "tools/list", "tools/call"];

#[derive(Clone)]
pub struct Server {
    app: Arc<App>,
}

/// Who sends a message, for the handler that it is passed on to.
#[derive(Clone)]
struct Sender {
    credentials: Credentials,
    request_id: String,
    /// Of a tool call, as they were written.
    arguments: Option<String>,
}

/// Lets the handlers know who sends the message with this head, and the arguments of a tool call in it. The key goes no further than that.
pub fn introduce(head: &mut Parts, credentials: Credentials, arguments: Option<String>) {
    head.headers.remove(axum::http::header::AUTHORIZATION);
    head.headers.remove("x-credyt-api-key");
    head.extensions.insert(Sender { credentials, request_id: request_id::current(), arguments });
}

impl Server {
    pub fn new(app: Arc<App>) -> Self {
        Server { app }
    }

    async fn call(&self, entry: &Entry, sender: &Sender, arguments: &str) -> Answer {
        let refuse = |refusal: Refusal| refusal.answer();
        let api_key = &sender.credentials.api_key;
        if let Err(refusal) = limit::admit(self.app.limiter.as_ref(), api_key) {
            return refuse(refusal);
        }
        let Some(_place) = self.app.calls.enter(api_key) else {
            let message = "Too many calls of this key are under way. Try again when one has ended.";
            return refuse(Refusal::new(Code::RateLimitExceeded, message));
        };
        let (request, idempotency_key) = match entry.request(arguments) {
            Ok(request) => request,
            Err(refusal) => return refuse(refusal),
        };
        let (operation, key) = (&entry.operation, idempotency_key.as_deref());
        let answer = call::perform(&self.app, operation, &sender.credentials, key, request).await;
        answer.unwrap_or_else(|refusal| refusal.answer())
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let implementation =
            Implementation::new("pg_topup", env!("CARGO_PKG_VERSION")).with_title("pg_topup");
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(implementation)
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        page: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        if page.and_then(|page| page.cursor).is_some_and(|cursor| !cursor.is_empty()) {
            return Err(ErrorData::invalid_params(
                "There is no such cursor: all tools are on one page.",
                None,
            ));
        }
        let catalog = self.app.catalog.load();
        let catalog = catalog.as_ref().ok_or_else(|| ErrorData::internal_error(UNAVAILABLE, None))?;
        Ok(ListToolsResult::with_all_items(catalog.tools.all()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        Some(self.app.catalog.load().as_ref()?.tools.find(name)?.tool.clone())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let started = Instant::now();
        let sender = sender(&context.extensions)?;
        let Some(catalog) = self.app.catalog.load_full() else {
            return Ok(result(Refusal::unavailable().answer()).into());
        };
        let entry = catalog.tools.find(&request.name).ok_or_else(|| {
            ErrorData::invalid_params(format!("There is no tool '{:.NAME_SHOWN_MAX$}'.", request.name), None)
        })?;
        let arguments = match &sender.arguments {
            Some(arguments) => arguments.clone(),
            None => Value::Object(request.arguments.unwrap_or_default()).to_string(),
        };
        let answering = async {
            // rmcp would leave a request whose handler panics without any answer.
            let called = AssertUnwindSafe(self.call(entry, sender, &arguments)).catch_unwind().await;
            called.unwrap_or_else(|_| Refusal::internal().answer())
        };
        let answer = request_id::scope(sender.request_id.clone(), answering).await;
        let (code, took) = (reply::code_of(&answer.body), started.elapsed());
        tracing::info!(
            request_id = sender.request_id,
            tool = %entry.tool.name,
            operation = entry.operation.name,
            status = answer.status,
            code,
            duration_ms = took.as_micros() as f64 / 1000.0,
            "tool call"
        );
        let code = code.map(|code| code.to_string()).unwrap_or_default();
        counter!("topup_mcp_calls_total", "tool" => entry.tool.name.to_string(), "code" => code).increment(1);
        Ok(result(answer).into())
    }

    // What is not declared is not there; by itself rmcp answers with empty lists.

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListPromptsRequestMethod>())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourcesRequestMethod>())
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourceTemplatesRequestMethod>())
    }

    async fn complete(
        &self,
        _: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        Err(ErrorData::method_not_found::<CompleteRequestMethod>())
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let method = request.method;
        match METHODS.contains(&method.as_str()) {
            true => Err(ErrorData::invalid_params(format!("The params do not fit {method}."), None)),
            false => {
                let message = format!("There is no method '{method:.NAME_SHOWN_MAX$}'.");
                Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, message, None))
            }
        }
    }
}

/// What `Idempotent-Replayed` is in a header.
const REPLAYED: &str = "pg_topup/idempotent-replayed";
const UNAVAILABLE: &str = "The service is unavailable for the moment. Try again.";

fn sender(extensions: &Extensions) -> Result<&Sender, ErrorData> {
    let head = extensions.get::<Parts>();
    head.and_then(|head| head.extensions.get::<Sender>())
        .ok_or_else(|| ErrorData::internal_error("nobody is known to send this", None))
}

/// The envelope, as text to the byte and as structure. That it is the answer to an earlier call of the same
/// idempotency key stands beside it.
fn result(answer: Answer) -> CallToolResult {
    let structured = serde_json::from_str(&answer.body).ok();
    let mut result = CallToolResult::success(vec![ContentBlock::text(answer.body)]);
    result.structured_content = structured;
    result.is_error = Some(answer.status >= 400);
    if answer.replayed {
        result.meta = Some(MetaObject(JsonObject::from_iter([(REPLAYED.to_owned(), Value::Bool(true))])));
    }
    result
}
