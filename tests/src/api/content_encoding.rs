//! Compressed bodies: each encoding is undone on every surface, within the limits of what it stands for.

use crate::support::rpc::{STREAMABLE, request};
use crate::support::{Client, Reply, Shop};
use async_compression::Level;
use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

const ENCODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];
const MIB: usize = 1024 * 1024;

async fn encoded(encoding: &str, bytes: &[u8]) -> Vec<u8> {
    macro_rules! with {
        ($encoder:ident) => {{
            let mut encoder = $encoder::with_quality(Vec::new(), Level::Fastest);
            encoder.write_all(bytes).await.unwrap();
            encoder.shutdown().await.unwrap();
            encoder.into_inner()
        }};
    }
    match encoding {
        "gzip" => with!(GzipEncoder),
        "deflate" => with!(ZlibEncoder),
        "br" => with!(BrotliEncoder),
        "zstd" => with!(ZstdEncoder),
        _ => bytes.to_vec(),
    }
}

async fn post(client: &Client, path: &str, encoding: &str, body: Vec<u8>) -> Reply {
    let request = client.request(Method::POST, path).header("content-type", "application/json");
    client.send(request.header("content-encoding", encoding).body(body)).await
}

fn order() -> Value {
    json!({"platform": "claude", "amount_cents": 100, "metadata": {"note": "€".repeat(500)}})
}

#[tokio::test]
async fn every_encoding_is_undone_on_every_surface() {
    let shop = Shop::open_with(&["--rate-limit", "0"]).await;
    let root = shop.client.at_root();
    let tenant = shop.database.tenant("Acme").await;
    let funding = tenant.key("staging", "scopes => '{funding}'").await.1;
    let config = format!("/client/v4/accounts/{}/ai-gateway/billing/topup/config", tenant.id);
    for (n, encoding) in
        ENCODINGS.into_iter().chain(["GZIP", "x-gzip", "identity", "identity, gzip"]).enumerate()
    {
        let name = encoding.rsplit(", ").next().unwrap().to_ascii_lowercase();
        let compressed =
            async |body: Value| encoded(name.trim_start_matches("x-"), body.to_string().as_bytes()).await;
        let sent = post(&shop.client, "/topup/send", encoding, compressed(order()).await).await;
        assert_eq!(sent.expect(200, 1001).data()["amount_cents"], 100, "{encoding}");
        let customer = json!({"name": "Ann", "external_id": format!("ann-{n}")});
        let made = post(&root, "/customers", encoding, compressed(customer).await).await;
        assert!(made.status < 300, "{encoding}: {}", made.text);
        let set = compressed(json!({"amount": 1000, "threshold": 500})).await;
        let set = post(&shop.gateway.client(&funding).at_root(), &config, encoding, set).await;
        assert_ne!(set.status, 415, "{encoding}: {}", set.text);
        assert!(
            !set.text.contains("not what its Content-Encoding says") && !set.text.contains("JSON"),
            "{}",
            set.text
        );
        let ping = compressed(request(1, "ping", json!({}))).await;
        assert_eq!(
            post(&root, STREAMABLE, encoding, ping).await.expect_status(200).json["result"],
            json!({})
        );
    }
    assert_eq!(shop.balance_cents().await, 100_000 - 800);
}

#[tokio::test]
async fn other_encodings_are_415() {
    let shop = Shop::open().await;
    let gzip = encoded("gzip", order().to_string().as_bytes()).await;
    for encoding in ["compress", "gzip, gzip", "br, gzip", "aes128gcm", "utf-8", "*"] {
        let refused = post(&shop.client, "/topup/send", encoding, gzip.clone()).await.expect(415, 4005);
        assert!(refused.data()["message"].as_str().unwrap().contains("gzip, deflate, br, zstd"));
        post(&shop.client.at_root(), "/customers", encoding, gzip.clone())
            .await
            .expect_problem(415, 4005, None);
        let refused =
            post(&shop.client.at_root(), STREAMABLE, encoding, gzip.clone()).await.expect_status(415);
        assert_eq!(refused.json["error"]["data"]["code"], 4005);
    }
    assert_eq!(shop.database.top_ups().await, 0);
}

#[tokio::test]
async fn what_does_not_decode_is_refused() {
    let shop = Shop::open().await;
    let whole = order().to_string();
    for encoding in ENCODINGS {
        let good = encoded(encoding, whole.as_bytes()).await;
        let mut broken = good.clone();
        let middle = broken.len() / 2;
        broken[middle..].fill(0xff);
        for wrong in [&good[..good.len() / 2], &broken, whole.as_bytes(), b"\x00", b"\xff\xff\xff\xff"] {
            let refused = post(&shop.client, "/topup/send", encoding, wrong.to_vec()).await.expect(400, 2000);
            assert!(refused.data()["message"].is_string());
        }
    }
    assert_eq!(shop.database.top_ups().await, 0);
    assert!(!shop.gateway.log().contains("panicked"));
}

#[tokio::test]
async fn a_few_bytes_that_stand_for_many_are_too_large_and_take_no_memory() {
    let shop = Shop::open_with(&["--rate-limit", "0"]).await;
    shop.send().await.expect(200, 1001);
    let whole = order().to_string();
    let fits = format!("{whole}{}", " ".repeat(MIB - whole.len()));
    let before = shop.gateway.memory_mib("VmRSS");
    for encoding in ENCODINGS {
        // The limit is of what a body stands for.
        let reply =
            post(&shop.client, "/topup/send", encoding, encoded(encoding, fits.as_bytes()).await).await;
        reply.expect(200, 1001);
        let over = encoded(encoding, format!("{fits} ").as_bytes()).await;
        assert!(over.len() < 10_000, "{encoding}");
        post(&shop.client, "/topup/send", encoding, over).await.expect(413, 4004);
        let bomb = encoded(encoding, &vec![b' '; 64 * MIB]).await;
        assert!(bomb.len() < MIB, "{encoding}: {}", bomb.len());
        let mut bombs = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (client, bomb) = (shop.client.clone(), bomb.clone());
            bombs.spawn(async move { post(&client, "/topup/send", encoding, bomb).await });
        }
        for reply in bombs.join_all().await {
            assert!(
                matches!((reply.status, reply.code()), (413, 4004) | (503, 5003)),
                "{encoding}: {}",
                reply.text
            );
        }
    }
    let grown = shop.gateway.memory_mib("VmHWM") - before;
    assert!(grown < 160, "{grown} MiB");
    shop.send().await.expect(200, 1001);
}
