//! HTTP/1.1 byte by byte, for what a client library will not send, and for what it will not show.

use super::client::Reply;
use super::wait::LIMIT;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// One connection to a gateway.
pub struct Wire {
    stream: BufReader<TcpStream>,
}

impl Wire {
    pub async fn open(gateway_url: &str) -> Wire {
        Wire::try_open(gateway_url).await.unwrap()
    }

    pub async fn try_open(gateway_url: &str) -> std::io::Result<Wire> {
        let address = gateway_url.trim_start_matches("http://").trim_end_matches("/metrics");
        Ok(Wire { stream: BufReader::new(TcpStream::connect(address).await?) })
    }

    /// Sends one request on a connection of its own, and gives the reply.
    pub async fn ask(gateway_url: &str, request: impl AsRef<[u8]>) -> Reply {
        let mut wire = Wire::open(gateway_url).await;
        wire.write(request).await;
        wire.read().await
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends to a gateway that may hang up meanwhile.
    pub async fn try_write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.get_mut().write_all(bytes.as_ref()).await;
    }

    /// The next reply on this connection.
    pub async fn read(&mut self) -> Reply {
        timeout(LIMIT, self.read_reply(true)).await.expect("a reply comes")
    }

    /// The reply to a HEAD request: it announces a body and has none.
    pub async fn read_headers_only(&mut self) -> Reply {
        timeout(LIMIT, self.read_reply(false)).await.expect("a reply comes")
    }

    /// Whatever comes until the gateway closes the connection.
    pub async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // An end by reset is an end.
        let _ = timeout(LIMIT, self.stream.read_to_end(&mut rest)).await.expect("the connection is closed");
        String::from_utf8(rest).unwrap()
    }

    async fn read_reply(&mut self, has_body: bool) -> Reply {
        let first = self.line().await;
        let status =
            first.split(' ').nth(1).unwrap_or_else(|| panic!("no reply: {first:?}")).parse().unwrap();
        let mut headers = HeaderMap::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value.trim()).unwrap(),
            );
        }
        let length =
            headers.get("content-length").map_or(0, |value| value.to_str().unwrap().parse().unwrap());
        let mut body = vec![0; if has_body { length } else { 0 }];
        self.stream.read_exact(&mut body).await.unwrap();
        let text = String::from_utf8(body).unwrap();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Reply { status, headers, text, json }
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.unwrap();
        line.trim_end().to_owned()
    }
}
