//! A webhook receiver: records every request and answers as the test tells it.

use super::wait::wait_until;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, LOCATION};
use hyper::service::service_fn;
use hyper::{Response, server::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// What the receiver does with a request that it has read and recorded.
#[derive(Clone, Debug)]
pub enum Answer {
    Status(u16),
    Reply(u16, String),
    /// A page of HTML.
    Page(String),
    Redirect(String),
    /// Says nothing and keeps the connection open.
    Hang,
    /// Waits for a permit, then answers 204.
    Held(Arc<Semaphore>),
    /// Breaks the connection off (TCP RST).
    Reset,
    /// Closes the connection in good order, without an answer (TCP FIN).
    Close,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub at: Instant,
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

/// A server on a free port of 127.0.0.1; it ends with this value.
pub struct Receiver {
    /// `http://127.0.0.1:…/hook`
    pub url: String,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

/// A port on which nobody listens, and which nobody else can take.
pub struct Away {
    pub url: String,
    socket: Socket,
}

#[derive(Default)]
struct State {
    connections: usize,
    requests: Vec<Request>,
    script: VecDeque<Answer>,
}

impl Receiver {
    /// One that answers 204 to everything.
    pub async fn start() -> Receiver {
        Receiver::start_with([Answer::Status(204)]).await
    }

    /// One that answers by this script; its last answer is repeated.
    pub async fn start_with(script: impl IntoIterator<Item = Answer>) -> Receiver {
        Receiver::serve(TcpListener::bind("127.0.0.1:0").await.unwrap(), script)
    }

    fn serve(listener: TcpListener, script: impl IntoIterator<Item = Answer>) -> Receiver {
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { script: script.into_iter().collect(), ..State::default() }));
        let server = tokio::spawn(serve(listener, state.clone()));
        Receiver { url, state, server }
    }

    /// A new script for the requests that come from now on.
    pub fn answer(&self, script: impl IntoIterator<Item = Answer>) {
        self.state.lock().unwrap().script = script.into_iter().collect();
    }

    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    /// How often somebody connected, with or without a request.
    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// All requests, as soon as there are at least `count`.
    pub async fn wait_for(&self, count: usize, limit: Duration) -> Vec<Request> {
        let what = format!("{count} requests at the receiver");
        wait_until(limit, &what, async || Some(self.requests()).filter(|requests| requests.len() >= count))
            .await
    }
}

impl Away {
    pub fn new() -> Away {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Away { url: format!("http://{address}/hook"), socket }
    }

    /// From now on a receiver is there.
    pub fn come_back(self, script: impl IntoIterator<Item = Answer>) -> Receiver {
        const BACKLOG: i32 = 128;
        self.socket.listen(BACKLOG).unwrap();
        self.socket.set_nonblocking(true).unwrap();
        Receiver::serve(TcpListener::from_std(self.socket.into()).unwrap(), script)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Request {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name}")).to_str().unwrap()
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    // Connections end with the set that holds them, and that with the receiver.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        state.lock().unwrap().connections += 1;
        connections.spawn(converse(stream, state.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(stream: TcpStream, state: Arc<Mutex<State>>) {
    let stream = Arc::new(stream.into_std().unwrap());
    let io = TokioIo::new(TcpStream::from_std(stream.try_clone().unwrap()).unwrap());
    let service = service_fn(move |request| respond(request, stream.clone(), state.clone()));
    let _ = http1::Builder::new().serve_connection(io, service).await;
}

type Respond = Result<Response<Full<Bytes>>, io::Error>;

async fn respond(
    request: hyper::Request<Incoming>,
    stream: Arc<std::net::TcpStream>,
    state: Arc<Mutex<State>>,
) -> Respond {
    let at = Instant::now();
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let answer = {
        let mut state = state.lock().unwrap();
        state.requests.push(Request {
            at,
            path: head.uri.to_string(),
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        });
        if state.script.len() > 1 { state.script.pop_front() } else { state.script.front().cloned() }
    };
    let reply = |status, body| Ok(Response::builder().status(status).body(Full::new(body)).unwrap());
    match answer.unwrap_or(Answer::Status(204)) {
        Answer::Status(status) => reply(status, Bytes::new()),
        Answer::Reply(status, body) => reply(status, Bytes::from(body)),
        Answer::Page(html) => {
            let html = Full::new(Bytes::from(html));
            Ok(Response::builder().header("content-type", "text/html; charset=utf-8").body(html).unwrap())
        }
        Answer::Redirect(to) => {
            Ok(Response::builder().status(302).header(LOCATION, to).body(Full::default()).unwrap())
        }
        Answer::Hang => std::future::pending().await,
        Answer::Held(gate) => {
            gate.acquire().await.unwrap().forget();
            reply(204, Bytes::new())
        }
        Answer::Reset => {
            SockRef::from(&*stream).set_linger(Some(Duration::ZERO)).unwrap();
            Err(io::Error::other("reset"))
        }
        Answer::Close => Err(io::Error::other("close")),
    }
}
