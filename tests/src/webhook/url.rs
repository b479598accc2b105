//! The address guard: webhooks never reach what only we can see, however its address is spelled.

use crate::support::{Hook, LIMIT, Receiver, Shop, deliveries, wait_for_deliveries, wait_until};
use serde_json::{Value, json};
use std::net::{IpAddr, ToSocketAddrs};

/// Hosts that are not everybody's, by the reason.
const NOT_PUBLIC: &[&str] = &[
    // Loopback, in every way that a URL can write it.
    "127.0.0.1 127.1 127.255.255.254 2130706433 017700000001 0177.0.0.1 0x7f000001 0x7f.0.0.1 0x7f.1 127.0.0.1. 0
     127%2e0%2e0%2e1 %31%32%37.0.0.1 ①②⑦.⓪.⓪.① 127。0。0。1 0.0.0.0 [::1] [0:0:0:0:0:0:0:1] [::]
     [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1]",
    // Private, shared and link-local networks; the metadata services of clouds among them.
    "10.0.0.1 167772161 172.16.0.1 172.31.255.255 192.168.1.1 0300.0250.1.1 100.64.0.1 169.254.169.254 2852039166
     0xa9fea9fe 0251.0376.0251.0376 [::ffff:a9fe:a9fe] [fe80::1] [fc00::1] [fd00:ec2::254] [fec0::1]",
    // IPv6 addresses that carry an IPv4 one: NAT64, 6to4, Teredo, SIIT.
    "[64:ff9b::7f00:1] [64:ff9b::169.254.169.254] [64:ff9b:1::a00:1] [2002:7f00:1::] [2002:a9fe:a9fe::1]
     [2001:0:7f00:1::] [::ffff:0:127.0.0.1]",
    // Nobody's: reserved, for documentation, for benchmarks, multicast, broadcast.
    "192.0.0.1 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 240.0.0.1 255.255.255.255 [2001:db8::1]
     [3fff::1] [ff02::1] [100::1] [5f00::1]",
];

/// A gateway as it stands in the open: private addresses are out of bounds.
async fn guarded() -> Shop {
    Shop::open_with(&[]).await
}

/// The receiver's port; without the guard it would be found there.
fn port(receiver: &Receiver) -> u16 {
    receiver.url.trim_end_matches("/hook").rsplit(':').next().unwrap().parse().unwrap()
}

/// The machine's own name, where that leads to a private address or nowhere.
fn own_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned();
    let addresses: Vec<IpAddr> = (name.as_str(), 0)
        .to_socket_addrs()
        .map(|found| found.map(|socket| socket.ip()).collect())
        .unwrap_or_default();
    addresses.iter().all(IpAddr::is_loopback).then_some(name)
}

async fn refused(shop: &Shop, url: &str) {
    let reply = shop.client.post("/webhooks/register", json!({"url": url})).await;
    assert_eq!((reply.status, reply.code()), (422, 5002), "{url}: {}", reply.text);
    assert_eq!(reply.data()["field"], "url");
}

async fn nothing_is_registered(shop: &Shop) {
    assert_eq!(shop.client.get("/webhooks").await.expect(200, 1000).data()["webhooks"], json!([]));
}

#[tokio::test]
async fn a_url_to_an_address_that_is_not_public_is_refused_in_every_spelling() {
    let shop = guarded().await;
    let receiver = Receiver::start().await;
    for host in NOT_PUBLIC.iter().flat_map(|hosts| hosts.split_whitespace()) {
        refused(&shop, &format!("https://{host}:{}/hook", port(&receiver))).await;
    }
    nothing_is_registered(&shop).await;
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_name_that_leads_to_a_private_address_or_nowhere_is_refused() {
    let shop = guarded().await;
    let receiver = Receiver::start().await;
    let names =
        ["localhost", "LocalHost", "localhost.", "a.localhost", "no-such-name.invalid", "127.0.0.1.invalid"];
    for name in names.into_iter().map(str::to_owned).chain(own_name()) {
        refused(&shop, &format!("https://{name}:{}/hook", port(&receiver))).await;
    }
    nothing_is_registered(&shop).await;
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_url_must_be_https_without_credentials_on_443_or_an_unprivileged_port() {
    let shop = guarded().await;
    let ours = "https://93.184.216.34/hook";
    for url in [
        "http://93.184.216.34/hook",
        "http://93.184.216.34:443/hook",
        "https://93.184.216.34:80/hook",
        "https://93.184.216.34:22/hook",
        "https://93.184.216.34:1023/hook",
        "https://93.184.216.34:0/hook",
        "https://93.184.216.34:65536/hook",
        "https://user@93.184.216.34/hook",
        "https://user:pw@93.184.216.34/hook",
        "https://:pw@93.184.216.34/hook",
        "https://93.184.216.34@127.0.0.1/hook",
        "wss://93.184.216.34/hook",
        "gopher://93.184.216.34/",
        "//93.184.216.34/hook",
        "https:///hook",
    ] {
        refused(&shop, url).await;
    }
    nothing_is_registered(&shop).await;
    for url in [ours, "https://93.184.216.34:8443/a?b=c", "https://[2606:4700::1111]:1024/"] {
        shop.client.post("/webhooks/register", json!({"url": url})).await.expect(200, 1000);
    }
    // What a name resolved to is for the gateway to say.
    let request = json!({"url": ours, "resolved_addresses": ["93.184.216.34"]});
    shop.client.post("/webhooks/register", request).await.expect(400, 2000);
}

#[tokio::test]
async fn a_private_url_that_got_in_another_way_is_never_connected_to() {
    let shop = guarded().await;
    let receiver = Receiver::start().await;
    let port = port(&receiver);
    let app = shop.database.app(&shop.key).await;
    let register = "select topup.webhook_register($1, retry_schedule_s => '{0}')";
    // By SQL a name is not resolved, and with the development setting nothing is refused.
    let mut urls: Vec<String> = own_name().iter().map(|name| format!("https://{name}:{port}/hook")).collect();
    for url in &urls {
        app.execute(register, &[url]).await.unwrap();
    }
    app.batch_execute("set topup.allow_private_webhooks = on").await.unwrap();
    for host in ["http://127.0.0.1", "https://127.0.0.1", "https://localhost", "https://[::ffff:127.0.0.1]"] {
        urls.push(format!("{host}:{port}/hook"));
        app.execute(register, &[urls.last().unwrap()]).await.unwrap();
    }
    shop.send().await.expect(200, 1001);

    let log = wait_for_deliveries(&shop.client, "failed", urls.len()).await;
    for delivery in &log {
        let attempt = &delivery["attempts"][0];
        let error = attempt["error"].as_str().unwrap();
        assert!(error.contains("public") || error.contains("https"), "{delivery}");
        assert_eq!(attempt["http_status"], Value::Null);
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_webhook_that_moves_to_a_private_address_after_registration_is_never_connected_to() {
    let shop = guarded().await;
    let receiver = Receiver::start().await;
    let public = json!({"url": "https://93.184.216.34/hook", "retry_schedule_s": [0, 0]});
    let hook = Hook::register_with(&shop.client, public).await;
    let admin = shop.database.admin().await;
    let names = own_name().into_iter().chain(["127.0.0.1".to_owned(), "localhost".to_owned()]);
    for (count, host) in names.enumerate() {
        let url = format!("https://{host}:{}/hook", port(&receiver));
        admin.execute("update topup.webhook_endpoint set url = $1", &[&url]).await.unwrap();
        shop.send().await.expect(200, 1001);
        let log = wait_for_deliveries(&shop.client, "failed", count + 1).await;
        assert!(log[0]["attempts"][1]["error"].as_str().unwrap().contains("public"), "{}", log[0]);
    }
    // Nor does asking for a test get there.
    let test = shop.client.post(&format!("/webhooks/{}/test", hook.id), json!({})).await.expect(200, 5001);
    assert!(test.data()["message"].as_str().unwrap().contains("public"), "{}", test.text);
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn for_development_private_urls_are_permitted() {
    let shop = Shop::open().await;
    let receiver = Receiver::start().await;
    Hook::register(&shop.client, &format!("http://localhost:{}/hook", port(&receiver))).await;
    shop.send().await.expect(200, 1001);
    receiver.wait_for(1, LIMIT).await;
    wait_until(LIMIT, "it is delivered", async || {
        (deliveries(&shop.client, "?status=succeeded").await.len() == 1).then_some(())
    })
    .await;
}
