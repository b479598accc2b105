//! MCP: agents call operations as tools, over Streamable HTTP and over legacy SSE. Streamable HTTP keeps
//! nothing between two requests, so any gateway may answer each of them; an SSE stream lives in one.
//! The protocol itself is rmcp's. What is judged here is who calls, from where, and how much.

mod incoming;
mod origin;
mod rejection;
mod server;
mod session;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::{any, get, post};
use pg_topup_contract::Code;
use rmcp::model::{ClientJsonRpcMessage, ProtocolVersion, RequestId};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use url::form_urlencoded;
use uuid::Uuid;

use crate::app::App;
use crate::body;
use crate::client_address;
use crate::credentials::{self, Credentials};
use crate::held::Held;
use crate::limit;
use crate::reply::Subject;
use rejection::Rejection;
use server::Server;
use session::Sessions;

const STREAMABLE: &str = "/api/public/mcp";
const SSE: [&str; 2] = ["/api/public/mcp/sse", "/sse"];
const MESSAGES: &str = "/api/public/mcp/messages";
/// No message that a tool wants comes near it; what a client sends may come back in an answer that waits in memory.
const MESSAGE_BYTES_MAX: usize = 65_536;
/// The body of somebody who is not let in is read only for the id to answer to: if it is so small, and comes at once.
const ID_BODY_BYTES_MAX: usize = 8 * 1024;
const ID_BODY_TIMEOUT: Duration = Duration::from_secs(1);
/// What rmcp wants a client to accept, although it is only ever answered in JSON.
const ACCEPT_BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// What every MCP request needs.
struct Mcp {
    app: Arc<App>,
    server: Server,
    streamable: StreamableHttpService<Server, NeverSessionManager>,
    sessions: Arc<Sessions>,
}

/// The routes of both transports.
pub fn router(app: Arc<App>) -> Router<Arc<App>> {
    let server = Server::new(app.clone());
    // Host and Origin are judged for both transports alike, in `origin`.
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(app.settings.body_limit_bytes as usize)
        .disable_allowed_hosts()
        .disable_allowed_origins();
    let for_each = server.clone();
    let streamable = StreamableHttpService::new(
        move || Ok(for_each.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    let sessions = Sessions::new(&app.settings.mcp, app.stop.clone());
    let doorkeeper = origin::Doorkeeper::new(&app.settings);
    let cors = doorkeeper.cors();
    let mcp = Arc::new(Mcp { app, server, streamable, sessions });
    // With a fallback of its own, a path judges Host and Origin for every method, preflights among them.
    Router::new()
        .route(STREAMABLE, any(streamable_http))
        .route(SSE[0], get(open_stream).fallback(body::method_not_allowed))
        .route(SSE[1], get(open_stream).fallback(body::method_not_allowed))
        .route(MESSAGES, post(message).fallback(body::method_not_allowed))
        .layer(cors)
        .layer(middleware::from_fn_with_state(Arc::new(doorkeeper), origin::check))
        .with_state(mcp)
}

/// Streamable HTTP: one message in, one answer out.
async fn streamable_http(
    State(mcp): State<Arc<Mcp>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response<Body> {
    let answer = async {
        let (mut head, body) = request.into_parts();
        let credentials = mcp.admitted(peer, &head.headers).await;
        if head.method != Method::POST {
            body::discard(&head.headers, body);
            credentials?;
            // It says which methods there are.
            return Ok(mcp.streamable.handle(Request::from_parts(head, Body::empty())).await.map(Body::new));
        }
        let (credentials, text, _held) = mcp.text_of(credentials, peer, &head.headers, body).await?;
        let incoming = incoming::read(text)?;
        in_its_revision(&head.headers, &incoming.message)?;
        accept_json(&mut head.headers);
        server::introduce(&mut head, credentials, incoming.arguments);
        let request = Request::from_parts(head, Body::from(incoming.text));
        Ok(mcp.streamable.handle(request).await.map(Body::new))
    };
    about("mcp", answer.await)
}

/// Legacy SSE: opens the stream on which the answers to `message` come.
async fn open_stream(
    State(mcp): State<Arc<Mcp>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    body::discard(&head.headers, body);
    let answer = async {
        let credentials = mcp.admitted(peer, &head.headers).await?;
        let stream = mcp.sessions.open(mcp.server.clone(), &credentials.api_key, MESSAGES)?;
        let mut response = stream.into_response();
        // Proxies must pass every event on at once.
        response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        Ok(response)
    };
    about("mcp_stream", answer.await)
}

/// Legacy SSE: takes a message, to be answered on the stream.
async fn message(
    State(mcp): State<Arc<Mcp>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response<Body> {
    let answer = async {
        let (mut head, body) = request.into_parts();
        let session_id = session_id(head.uri.query().unwrap_or(""));
        let credentials = mcp.admitted(peer, &head.headers).await;
        if let (Some(id), Err(rejection), Ok(key)) =
            (session_id, &credentials, credentials::api_key(&head.headers))
            && rejection.is_of(Code::InvalidApiKey)
        {
            mcp.sessions.end(id, &key);
        }
        let (credentials, text, _held) = mcp.text_of(credentials, peer, &head.headers, body).await?;
        let incoming = incoming::read(text)?;
        let (mut message, api_key) = (incoming.message, credentials.api_key.clone());
        server::introduce(&mut head, credentials, incoming.arguments);
        message.insert_extension(head);
        mcp.sessions.deliver(session_id, &api_key, message)?;
        Ok((StatusCode::ACCEPTED, "Accepted").into_response())
    };
    about("mcp_message", answer.await)
}

impl Mcp {
    /// Who calls, once the key is judged. How often a key may be judged is limited before.
    async fn admitted(&self, peer: SocketAddr, headers: &HeaderMap) -> Result<Credentials, Rejection> {
        let app = &self.app;
        let credentials =
            Credentials { api_key: credentials::api_key(headers)?, client_ip: self.address(peer, headers) };
        if app.admission.knows(&credentials.api_key) {
            limit::admit(app.message_limiter.as_ref(), &credentials.api_key)?;
        }
        app.admission.judge(&app.database, &credentials).await?;
        Ok(credentials)
    }

    /// The body of whoever is admitted, as long as it is held; of anybody else's, the id to answer to.
    async fn text_of(
        &self,
        admitted: Result<Credentials, Rejection>,
        peer: SocketAddr,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<(Credentials, String, Held<'_>), Rejection> {
        let credentials = match admitted {
            Ok(credentials) => credentials,
            Err(rejection) => return Err(rejection.to(self.id_in(peer, headers, body).await)),
        };
        let bytes_max = MESSAGE_BYTES_MAX.min(self.app.settings.body_limit_bytes as usize);
        let mut held = self.app.bodies.of_key(&credentials.api_key);
        let text = body::json_text(headers, body, bytes_max, &mut held).await?;
        Ok((credentials, text, held))
    }

    async fn id_in(&self, peer: SocketAddr, headers: &HeaderMap, body: Body) -> Option<RequestId> {
        let length =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if length.is_none_or(|length: usize| length > ID_BODY_BYTES_MAX)
            || headers.contains_key(header::EXPECT)
        {
            body::discard(headers, body);
            return None;
        }
        let mut held = self.app.bodies.of_address(self.address(peer, headers));
        let reading = body::json_text(headers, body, ID_BODY_BYTES_MAX, &mut held);
        let text = tokio::time::timeout(ID_BODY_TIMEOUT, reading).await.ok()?.ok()?;
        rejection::request_id(&text)
    }

    fn address(&self, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
        client_address::of(peer.ip(), headers, &self.app.settings.trusted_proxies)
    }
}

/// With 2026-07-28 a client asks by server/discover, and initialize is no method any more.
fn in_its_revision(headers: &HeaderMap, message: &ClientJsonRpcMessage) -> Result<(), Rejection> {
    let revision = headers.get("mcp-protocol-version").and_then(|value| value.to_str().ok());
    match message {
        ClientJsonRpcMessage::Request(request)
            if request.request.method() == "initialize"
                && revision >= Some(ProtocolVersion::V_2026_07_28.as_str()) =>
        {
            let rejection = Rejection::no_method("This revision has no initialize: use server/discover.");
            Err(rejection.to(Some(request.id.clone())))
        }
        _ => Ok(()),
    }
}

/// Whoever takes JSON gets it. The protocol wants clients to name text/event-stream too; curl does not.
fn accept_json(headers: &mut HeaderMap) {
    let mut given =
        headers.get_all(header::ACCEPT).iter().map(|value| value.to_str().unwrap_or("")).peekable();
    if given.peek().is_none() || given.any(takes_json) {
        headers.insert(header::ACCEPT, ACCEPT_BOTH);
    }
}

/// Whether one of these media ranges covers JSON, and its weight does not take it back.
fn takes_json(accept: &str) -> bool {
    accept.to_ascii_lowercase().split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let covers = matches!(parts.next(), Some("application/json" | "application/*" | "*/*"));
        covers && !parts.any(|weight| weight.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0)))
    })
}

fn session_id(query: &str) -> Option<Uuid> {
    let mut fields = form_urlencoded::parse(query.as_bytes());
    fields.find_map(|(name, text)| if name == "session_id" { text.parse().ok() } else { None })
}

fn about(operation: &str, answer: Result<Response<Body>, Rejection>) -> Response<Body> {
    let mut response = answer.unwrap_or_else(Rejection::into_response);
    let code = response.extensions().get::<Subject>().and_then(|subject| subject.code);
    // Voucher codes must not stay in anybody's cache.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(Subject { operation: operation.to_owned(), code });
    response
}
