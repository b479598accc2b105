//! Limits: requests a second for each key, and the addresses from which a key may be used.

use crate::support::{Client, Gateway, LIMIT, Reply, Shop, wait_until};
use reqwest::Method;

/// What a caller is told when it is too fast: the code, and how many seconds to wait.
#[track_caller]
fn wait_s(reply: Reply) -> u64 {
    let reply = reply.expect(429, 4001);
    assert_eq!(reply.json["success"], false);
    reply.header("retry-after").unwrap().parse().unwrap()
}

/// Asks until the key is limited, and gives the replies before that.
async fn until_limited(ask: impl AsyncFn() -> Reply) -> Vec<Reply> {
    let mut replies = Vec::new();
    while replies.len() < 100 {
        let reply = ask().await;
        if reply.status == 429 {
            assert_eq!(wait_s(reply), 1);
            return replies;
        }
        replies.push(reply);
    }
    panic!("100 requests were not limited");
}

#[tokio::test]
async fn each_key_has_a_bucket_of_its_own() {
    let shop = Shop::open_with(&["--rate-limit", "1", "--rate-burst", "3"]).await;
    let tenant = shop.database.tenant("Busy").await;
    let (first, second) = (tenant.key("staging", "").await.1, tenant.key("staging", "").await.1);
    for key in [&first, &second] {
        let client = shop.gateway.client(key);
        let served = until_limited(async || client.get("/topup/balance").await).await;
        assert!(served.len() >= 3 && served.iter().all(|reply| reply.code() == 1000));
    }
    // Refusals of a key nobody has are limited too, without touching those of others.
    let guesser = shop.gateway.client("ak_live_guess");
    let refused = until_limited(async || guesser.get("/topup/balance").await).await;
    assert!(refused.iter().all(|reply| (reply.status, reply.code()) == (401, 2001)));
    shop.client.get("/topup/balance").await.expect(200, 1000);
}

#[tokio::test]
async fn a_limited_key_is_served_again_after_the_wait_that_it_was_told() {
    let shop = Shop::open_with(&["--rate-limit", "5", "--rate-burst", "1"]).await;
    shop.client.get("/topup/balance").await.expect(200, 1000);
    wait_until(LIMIT, "the key is served again", async || {
        let reply = shop.client.get("/topup/balance").await;
        if reply.status == 429 {
            assert_eq!(wait_s(reply), 1);
            return None;
        }
        Some(reply.expect(200, 1000))
    })
    .await;
}

#[tokio::test]
async fn a_limited_send_takes_no_money() {
    let shop = Shop::open_with(&["--rate-limit", "1", "--rate-burst", "2"]).await;
    let sent = until_limited(async || shop.send().await).await;
    assert!(sent.len() >= 2 && sent.iter().all(|reply| reply.code() == 1001));
    let query = "select count(*) from topup.top_up";
    let written: i64 = shop.database.admin().await.query_one(query, &[]).await.unwrap().get(0);
    assert_eq!(usize::try_from(written).unwrap(), sent.len());
    shop.database.check().await;
}

#[tokio::test]
async fn a_key_has_one_bucket_whichever_header_carries_it() {
    let shop = Shop::open_with(&["--rate-limit", "1", "--rate-burst", "1"]).await;
    let stranger = shop.gateway.stranger();
    // On a slow machine the bucket may have a drop again; then another key tries.
    wait_until(LIMIT, "the other header is limited at once", async || {
        let key = shop.database.staging_key().await;
        let client = shop.gateway.client(&key);
        until_limited(async || client.get("/topup/balance").await).await;
        let request = stranger.request(Method::GET, "/topup/balance").header("x-credyt-api-key", &key);
        (stranger.send(request).await.status == 429).then_some(())
    })
    .await;
}

#[tokio::test]
async fn zero_switches_the_rate_limit_off() {
    for flags in [["--rate-limit", "0", "--rate-burst", "1"], ["--rate-limit", "1", "--rate-burst", "0"]] {
        let shop = Shop::open_with(&flags).await;
        for _ in 0..50 {
            shop.client.get("/topup/balance").await.expect(200, 1000);
        }
    }
}

#[tokio::test]
async fn by_default_a_burst_of_200_passes() {
    let shop = Shop::open().await;
    for _ in 0..200 {
        shop.client.get("/topup/balance").await.expect(200, 1000);
    }
}

/// A client whose key may be used from these networks only.
async fn client_from(shop: &Shop, gateway: &Gateway, networks: &str) -> Client {
    let options = format!("allowed_ips => array[{networks}]::cidr[]");
    gateway.client(&shop.database.tenant("Careful").await.key("staging", &options).await.1)
}

/// The balance asked for with these X-Forwarded-For lines.
async fn forwarded(client: &Client, lines: &[&str]) -> Reply {
    let mut request = client.request(Method::GET, "/topup/balance");
    for line in lines {
        request = request.header("x-forwarded-for", *line);
    }
    client.send(request).await
}

#[tokio::test]
async fn a_key_is_used_only_from_its_addresses() {
    let shop = Shop::open().await;
    for (networks, is_allowed) in [
        ("'127.0.0.1/32'", true),
        ("'203.0.113.0/24', '127.0.0.0/8'", true),
        ("'0.0.0.0/0'", true),
        ("'203.0.113.0/24'", false),
        ("'127.0.0.2/32'", false),
        ("'::/0'", false),
    ] {
        let client = client_from(&shop, &shop.gateway, networks).await;
        let reply = client.get("/topup/balance").await;
        if is_allowed {
            reply.expect(200, 1000);
        } else {
            let refused = reply.expect(403, 4002);
            assert!(!refused.text.contains("203.0.113"), "the refusal shows the list: {}", refused.text);
        }
    }
}

#[tokio::test]
async fn forwarded_addresses_of_strangers_are_not_believed() {
    let shop = Shop::open().await;
    let elsewhere = Gateway::start_with(&shop.database, &["--trusted-proxy", "10.0.0.0/8"]).await;
    for gateway in [&shop.gateway, &elsewhere] {
        let far = client_from(&shop, gateway, "'203.0.113.0/24'").await;
        let near = client_from(&shop, gateway, "'127.0.0.1/32'").await;
        for lines in
            [&["203.0.113.9"][..], &["203.0.113.9, 127.0.0.1"], &["203.0.113.9", "203.0.113.9"], &["garbage"]]
        {
            forwarded(&far, lines).await.expect(403, 4002);
            forwarded(&near, lines).await.expect(200, 1000);
        }
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_right_most_untrusted_address_counts() {
    let shop = Shop::open().await;
    let flags =
        ["--trusted-proxy", "127.0.0.0/8", "--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "fd00::/8"];
    let gateway = Gateway::start_with(&shop.database, &flags).await;
    let client = client_from(&shop, &gateway, "'203.0.113.0/24', '2001:db8::/32'").await;
    for lines in [
        &["203.0.113.9"][..],
        &["198.51.100.1, 203.0.113.9"],
        &["198.51.100.1", "203.0.113.9"],
        &["203.0.113.9, 10.1.2.3"],
        &["203.0.113.9", "10.1.2.3,127.0.0.5"],
        &["garbage, 203.0.113.9"],
        &["  203.0.113.9  "],
        &["203.0.113.9:4711"],
        &["2001:db8::1"],
        &["[2001:db8::1]:443"],
        &["2001:DB8:0:0:0:0:0:1, fd00::7"],
        &["::ffff:203.0.113.9"],
    ] {
        let reply = forwarded(&client, lines).await;
        assert_eq!(reply.code(), 1000, "{lines:?}: {}", reply.text);
    }
    for lines in [
        &[][..],
        &["198.51.100.1"],
        // Whoever comes through the proxy may write anything to the left of what the proxy adds.
        &["203.0.113.9, 198.51.100.1"],
        &["203.0.113.9", "198.51.100.1"],
        &["203.0.113.9, garbage"],
        &["203.0.113.9, "],
        &["203.0.113.9, 10.1.2.3, 198.51.100.1"],
        &["203.0.113.9, ::1"],
        &["203.0.113.9, 203.0.113.9'"],
        &["203.0.113.300"],
        &["0"],
        &["unknown"],
        &["10.1.2.3"],
        &["2001:db9::1"],
    ] {
        let reply = forwarded(&client, lines).await;
        assert_eq!(reply.code(), 4002, "{lines:?}: {}", reply.text);
    }
    let many = vec!["203.0.113.9"; 2000].join(", ") + ", 198.51.100.1";
    forwarded(&client, &[&many]).await.expect(403, 4002);
}
