//! A forwarder in front of a gateway that adds an API key, for clients that cannot send one.

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use hyper_util::rt::TokioIo;
use std::io;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A server on a free port of 127.0.0.1 that hands every request on as it came, `Host` and `Origin` included,
/// and the answer as well. It ends with this value.
pub struct Forwarder {
    /// `http://127.0.0.1:…`
    pub url: String,
    server: JoinHandle<()>,
}

impl Forwarder {
    pub async fn start(gateway_url: &str, api_key: &str) -> Forwarder {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let gateway = gateway_url.trim_start_matches("http://").to_owned();
        let bearer = HeaderValue::from_str(&format!("Bearer {api_key}")).unwrap();
        Forwarder { url, server: tokio::spawn(serve(listener, gateway, bearer)) }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, gateway: String, bearer: HeaderValue) {
    // Connections end with the set that holds them, and that with the forwarder.
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (gateway, bearer) = (gateway.clone(), bearer.clone());
        connections.spawn(async move {
            let service = service_fn(|request| forward(request, &gateway, &bearer));
            let _ = server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(
    mut request: Request<Incoming>,
    gateway: &str,
    bearer: &HeaderValue,
) -> io::Result<Response<Incoming>> {
    request.headers_mut().insert(AUTHORIZATION, bearer.clone());
    let stream = TokioIo::new(TcpStream::connect(gateway).await?);
    let (mut sender, connection) = client::conn::http1::handshake(stream).await.map_err(io::Error::other)?;
    // Lives as long as the answer is being read.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(io::Error::other)
}
