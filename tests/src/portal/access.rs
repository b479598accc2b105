//! The door of the billing portal: links that work once, sessions that end, and forms that nobody else can send.

use crate::support::{Payer, Shop, Visitor, link_of};
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinSet;

/// A page that says nothing of anybody.
fn tells_nothing(text: &str) {
    for part in ["Ann", "Acme", "USD", "cust_", "csrf"] {
        assert!(!text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn a_link_lets_in_once_and_leaves_a_cookie_that_no_script_reads() {
    let mut visitor = Visitor::open().await;
    let till = &visitor.payer.till;
    let urls = ("https://shop.example/a", "https://shop.example/b");
    let session = json!({"customer_id": till.customer, "return_url": urls.0, "failure_url": urls.1});
    let made = till.root.post("/billing-portal/sessions", session).await.expect_status(200);
    let ends: jiff::Timestamp = made.json["expires_at"].as_str().unwrap().parse().unwrap();
    let left_s = ends.as_second() - jiff::Timestamp::now().as_second();
    assert!((590..=600).contains(&left_s), "{left_s}");
    assert_eq!(made.json.as_object().unwrap().len(), 2, "{}", made.text);
    let url = made.json["redirect_url"].as_str().unwrap();
    let link = url.strip_prefix("http://127.0.0.1:8080").unwrap().to_owned();
    let token = link.strip_prefix("/portal/enter/").unwrap();
    assert!((40..=43).contains(&token.len()), "32 random bytes: {token}");

    let page = visitor.browser.get(&link).await.expect_status(200);
    assert_eq!(page.header("set-cookie"), None);
    assert!(page.text.contains("Open my credit") && page.text.contains("Ann"), "{}", page.text);
    let entered = visitor.press(&link, "").await.expect_status(303);
    assert_eq!(entered.header("location"), Some("/portal"), "the address has no secret any more");
    let cookie = entered.header("set-cookie").unwrap().to_owned();
    let (pair, flags) = cookie.split_once("; ").unwrap();
    assert_eq!(flags, "Path=/portal; HttpOnly; SameSite=Lax");
    assert_eq!(entered.header("cache-control"), Some("no-store"));
    assert_eq!(entered.header("referrer-policy"), Some("no-referrer"));
    visitor.cookie = pair.to_owned();
    assert!(visitor.look("/portal").await.expect_status(200).text.contains("Ann"));

    // The second time, and from another browser.
    visitor.browser.send(visitor.browser.request(reqwest::Method::POST, &link)).await.expect_status(403);
    let pressed = visitor.browser.request(reqwest::Method::POST, &link);
    let pressed = pressed.header("content-type", "application/x-www-form-urlencoded").body("instead_of=");
    tells_nothing(&visitor.browser.send(pressed).await.expect_status(410).text);
    let again = visitor.browser.get(&link).await.expect_status(410);
    tells_nothing(&again.text);
    assert_eq!(again.header("set-cookie"), None);
    assert!(
        again.text.contains("This link no longer works")
            && again.text.contains("href=\"https://shop.example/b\"")
    );
    assert!(visitor.look("/portal").await.expect_status(200).text.contains("Ann"), "who is in stays in");
    let kept = format!("{:?}", visitor.payer.till.shop.database.contents().await);
    for secret in [token, pair.split_once('=').unwrap().1] {
        assert!(!kept.contains(secret) && !visitor.payer.till.shop.gateway.log().contains(secret));
    }
}

#[tokio::test]
async fn of_many_who_come_at_once_one_is_in() {
    let visitor = Visitor::open().await;
    let link = visitor.link().await;
    let mut visits = JoinSet::new();
    for _ in 0..8 {
        let pressed = visitor.browser.request(reqwest::Method::POST, &link);
        let pressed = pressed.header("content-type", "application/x-www-form-urlencoded").body("instead_of=");
        let browser = visitor.browser.clone();
        visits.spawn(async move { browser.send(pressed).await.status });
    }
    let mut statuses = visits.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 410, 410, 410, 410, 410, 410, 410]);
}

#[tokio::test]
async fn who_only_looks_at_a_link_does_not_use_it() {
    let mut visitor = Visitor::open().await;
    let link = visitor.link().await;
    // A mail scanner, a preview, a browser that looks ahead, and a program that asks for the headers alone.
    for (method, headers) in [
        (reqwest::Method::GET, [("user-agent", "Microsoft Office Link Scanner")]),
        (reqwest::Method::GET, [("sec-purpose", "prefetch;prerender")]),
        (reqwest::Method::GET, [("accept", "*/*")]),
        (reqwest::Method::HEAD, [("accept", "*/*")]),
    ] {
        let mut look = visitor.browser.request(method, &link);
        for (name, value) in headers {
            look = look.header(name, value);
        }
        let reply = visitor.browser.send(look).await.expect_status(200);
        assert_eq!((reply.header("set-cookie"), reply.header("cache-control")), (None, Some("no-store")));
    }
    // A form on another site is no button.
    for header in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        let page = visitor.send(&link, &[("instead_of", "")], &[header]).await.expect_status(403);
        tells_nothing(&page.text);
    }
    visitor.go_in_by(&link).await;
}

#[tokio::test]
async fn another_customers_session_is_closed_only_for_who_was_told_and_asked() {
    let mut visitor = Visitor::inside().await;
    let root = visitor.payer.till.root.clone();
    let bob = root.post("/customers", json!({"name": "Bob"})).await.expect_status(201);
    let link = link_of(&root, bob.json["id"].as_str().unwrap()).await;
    let page = visitor.look(&link).await.expect_status(200);
    assert!(page.text.contains("the credit of Ann with Acme is open"), "{}", page.text);
    assert!(
        page.text.contains("Open the credit of Bob") && page.text.contains("Stay with the credit of Ann")
    );
    let asked = crate::support::between(&page.text, "name=\"instead_of\" value=\"", "\"").to_owned();
    // A page of another session, or from before there was one, has asked nobody.
    for other in ["", "00", &visitor.csrf[1..]] {
        let again = visitor.press(&link, other).await.expect_status(200);
        assert_eq!(again.header("set-cookie"), None);
        assert!(again.text.contains("the credit of Ann with Acme is open"));
    }
    assert!(visitor.look("/portal").await.expect_status(200).text.contains("Ann"));
    let entered = visitor.press(&link, &asked).await.expect_status(303);
    let ann = std::mem::take(&mut visitor.cookie);
    visitor.cookie = entered.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert!(visitor.look("/portal").await.expect_status(200).text.contains("Bob"));
    // Her session is over, in this browser and in any other.
    visitor.cookie = ann;
    visitor.look("/portal").await.expect_status(403);
    // One's own session is simply begun anew, and so is one after another that is over.
    visitor.go_in().await;
    let before = visitor.cookie.clone();
    visitor.go_in().await;
    assert_ne!(visitor.cookie, before);
}

#[tokio::test]
async fn an_old_link_and_an_unknown_one_tell_nothing() {
    let visitor = Visitor::open().await;
    let link = visitor.link().await;
    visitor
        .payer
        .sql("update topup.portal_session set created_at = created_at - interval '10 minutes', expires_at = expires_at - interval '10 minutes'")
        .await;
    let page = visitor.browser.get(&link).await.expect_status(410);
    assert!(page.text.contains("https://shop.example/sorry"), "{}", page.text);
    tells_nothing(&page.text);
    let long = "a".repeat(65);
    for token in ["abc", long.as_str(), "a-b", "%00", "a%27"] {
        let page = visitor.browser.get(&format!("/portal/enter/{token}")).await.expect_status(410);
        tells_nothing(&page.text);
        assert!(!page.text.contains("shop.example"), "{token}");
    }
}

#[tokio::test]
async fn a_session_ends_without_use_and_after_12_hours_and_when_it_is_left() {
    let mut visitor = Visitor::open().await;
    let pass = |interval: &str| {
        format!(
            "update topup.portal_session
                set created_at = created_at - interval '{interval}', entered_at = entered_at - interval '{interval}',
                    expires_at = expires_at - interval '{interval}', ends_at = ends_at - interval '{interval}'"
        )
    };
    visitor.go_in().await;
    for _ in 0..24 {
        visitor.payer.sql(&pass("29 minutes")).await;
        visitor.look("/portal").await.expect_status(200);
    }
    visitor.payer.sql(&pass("24 minutes 30 seconds")).await;
    tells_nothing(&visitor.look("/portal").await.expect_status(403).text);

    visitor.go_in().await;
    visitor.payer.sql(&pass("31 minutes")).await;
    for path in ["/portal", "/portal/history?account=default:USD", "/portal/history.csv?account=default:USD"]
    {
        tells_nothing(&visitor.look(path).await.expect_status(403).text);
    }
    let before = visitor.payer.till.shop.database.contents().await;
    for form in ["top-up", "redeem", "card/remove", "auto-top-up", "leave"] {
        let page = visitor
            .submit(&format!("/portal/{form}"), &[("offer", "USD default:USD"), ("amount", "25")])
            .await;
        assert!(matches!(page.status, 403 | 200), "{form}: {}", page.status);
        tells_nothing(&page.text);
    }
    assert!(visitor.payer.till.shop.database.contents().await == before);

    visitor.go_in().await;
    let left = visitor.submit("/portal/leave", &[]).await.expect_status(200);
    assert_eq!(
        left.header("set-cookie"),
        Some("topup_portal=; Path=/portal; HttpOnly; SameSite=Lax; Max-Age=0")
    );
    assert!(left.text.contains("0; url=https://shop.example/account?a=1"), "{}", left.text);
    visitor.look("/portal").await.expect_status(403);
    let none = Visitor { cookie: String::new(), ..visitor };
    tells_nothing(&none.look("/portal").await.expect_status(403).text);
}

#[tokio::test]
async fn a_form_that_the_page_did_not_make_does_nothing() {
    let visitor = Visitor::inside().await;
    let mut other = Visitor::open().await;
    let bob = visitor.payer.till.root.post("/customers", json!({"name": "Bob"})).await.expect_status(201);
    let link = link_of(&visitor.payer.till.root, bob.json["id"].as_str().unwrap()).await;
    other.browser = visitor.browser.clone();
    other.go_in_by(&link).await;
    assert_ne!(visitor.csrf, other.csrf);

    visitor.payer.save_card(crate::support::VISA).await;
    let before = visitor.payer.till.shop.database.contents().await;
    let top_up = [("offer", "USD default:USD"), ("amount", "25")];
    let capital = visitor.csrf.to_uppercase();
    for csrf in ["", "x", "00", &visitor.csrf[..63], capital.as_str(), other.csrf.as_str()] {
        for form in ["top-up", "redeem", "card/remove", "auto-top-up", "leave"] {
            let fields = [&[("csrf", csrf)], &top_up[..]].concat();
            let page = visitor.send(&format!("/portal/{form}"), &fields, &[]).await.expect_status(403);
            tells_nothing(&page.text);
        }
    }
    visitor.send("/portal/top-up", &top_up, &[]).await.expect_status(403);
    let mine = [("csrf", visitor.csrf.as_str())];
    let host = visitor.payer.till.shop.gateway.url.clone();
    for header in [
        ("origin", "https://evil.example"),
        ("origin", "http://127.0.0.1:1"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        visitor.send("/portal/card/remove", &mine, &[header]).await.expect_status(403);
    }
    let cookie = [("cookie", visitor.cookie.as_str())];
    let json = json!({"csrf": visitor.csrf});
    visitor.browser.post_with("/portal/card/remove", json, &cookie).await.expect_status(403);
    let huge = "x".repeat(20_000);
    visitor.submit("/portal/redeem", &[("voucher_code", huge.as_str())]).await.expect_status(403);
    assert!(visitor.payer.till.shop.database.contents().await == before);

    let own = [("origin", host.as_str()), ("sec-fetch-site", "same-origin")];
    visitor.send("/portal/card/remove", &mine, &own).await.expect_status(303);
    let null = [("origin", "null"), ("sec-fetch-site", "same-origin")];
    visitor.send("/portal/card/remove", &mine, &null).await.expect_status(303);
}

#[tokio::test]
async fn behind_tls_the_cookie_is_secure_and_the_way_leads_there() {
    let visitor = Visitor::open().await;
    visitor.serve_at("https://pay.example.com/").await;
    let till = &visitor.payer.till;
    let urls = ("https://shop.example/a", "https://shop.example/b");
    let session = json!({"customer_id": till.customer, "return_url": urls.0, "failure_url": urls.1});
    let made = till.root.post("/billing-portal/sessions", session).await.expect_status(200);
    let link = made.json["redirect_url"]
        .as_str()
        .unwrap()
        .strip_prefix("https://pay.example.com")
        .unwrap()
        .to_owned();
    let entered = visitor.press(&link, "").await.expect_status(303);
    let cookie = entered.header("set-cookie").unwrap();
    assert!(cookie.ends_with("; Path=/portal; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
    let mut visitor = Visitor { cookie: cookie.split(';').next().unwrap().to_owned(), ..visitor };
    let page = visitor.look("/portal").await.expect_status(200);
    visitor.csrf = crate::support::between(&page.text, "name=\"csrf\" value=\"", "\"").to_owned();
    let fields = [("csrf", visitor.csrf.as_str())];
    visitor
        .send("/portal/card/remove", &fields, &[("origin", "https://pay.example.com")])
        .await
        .expect_status(303);
    let page = visitor.submit("/portal/top-up", &[("offer", "USD default:USD"), ("amount", "25")]).await;
    assert!(page.text.contains("href=\"https://pay.example.com/checkout/"), "{}", page.text);
}

#[tokio::test]
async fn every_page_loads_nothing_and_is_kept_nowhere() {
    let visitor = Visitor::inside().await;
    visitor.payer.till.gift("g", "USD", "10").await.expect_status(201);
    let pages = [
        visitor.look("/portal").await.expect_status(200),
        visitor.look("/portal/history?account=default:USD").await.expect_status(200),
        visitor.look("/portal/history?account=other:USD").await.expect_status(404),
        visitor.look("/portal/enter/abc").await.expect_status(410),
        visitor.submit("/portal/redeem", &[("voucher_code", "ATU-X")]).await.expect_status(200),
        visitor
            .submit("/portal/top-up", &[("offer", "USD default:USD"), ("amount", "25")])
            .await
            .expect_status(200),
        visitor.submit("/portal/leave", &[]).await.expect_status(200),
    ];
    for page in &pages {
        let policy = page.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "style-src 'sha256-",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        for (header, value) in [
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("content-type", "text/html; charset=utf-8"),
        ] {
            assert_eq!(page.header(header), Some(value));
        }
        assert!(!page.text.contains("<script") && !page.text.contains(" style="));
        assert!(page.text.contains("<html lang=\"en\">") && page.text.contains("<main"));
    }
}

#[tokio::test]
async fn who_comes_too_often_is_told_when_to_come_again() {
    let shop = Shop::open_with(&["--rate-limit", "1", "--rate-burst", "8"]).await;
    let mut visitor = Visitor::of(Payer::open_with(shop).await);
    visitor.go_in().await;
    let mut last = visitor.look("/portal").await;
    for _ in 0..20 {
        if last.status == 429 {
            break;
        }
        last = visitor.look("/portal").await;
    }
    let page = last.expect_status(429);
    assert!(page.text.contains("<h1>That was too fast</h1>"), "{}", page.text);
    let wait_s: u64 = page.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait_s), "{wait_s}");
    tokio::time::sleep(Duration::from_secs(wait_s)).await;
    visitor.look("/portal").await.expect_status(200);
}
