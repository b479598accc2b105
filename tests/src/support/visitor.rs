//! A customer in the billing portal, as a browser without JavaScript would send it.

use super::client::{Client, Reply};
use super::payer::{Payer, TopUp, form};
use super::wait::{LIMIT, wait_until};
use reqwest::Method;
use serde_json::{Value, json};

/// Its fields are dropped in this order.
pub struct Visitor {
    /// The cookie as the browser sends it back; empty before it is in.
    pub cookie: String,
    /// What the forms of its session carry.
    pub csrf: String,
    /// Without a key.
    pub browser: Client,
    pub payer: Payer,
}

impl Visitor {
    /// One with a customer, who is not in yet.
    pub async fn open() -> Visitor {
        Visitor::of(Payer::open().await)
    }

    pub fn of(payer: Payer) -> Visitor {
        Visitor { cookie: String::new(), csrf: String::new(), browser: payer.browser.clone(), payer }
    }

    /// One who is in.
    pub async fn inside() -> Visitor {
        let mut visitor = Visitor::open().await;
        visitor.go_in().await;
        visitor
    }

    /// A link for the customer, as the path that the gateway serves.
    pub async fn link(&self) -> String {
        link_of(&self.payer.till.root, &self.payer.till.customer).await
    }

    pub async fn go_in(&mut self) {
        let link = self.link().await;
        self.go_in_by(&link).await;
    }

    pub async fn go_in_by(&mut self, link: &str) {
        self.browser.get(link).await.expect_status(200);
        let entered = self.press(link, "").await.expect_status(303);
        assert_eq!(entered.header("location"), Some("/portal"));
        let cookie = entered.header("set-cookie").unwrap();
        self.cookie = cookie.split(';').next().unwrap().to_owned();
        let page = self.look("/portal").await.expect_status(200);
        self.csrf = between(&page.text, "name=\"csrf\" value=\"", "\"").to_owned();
    }

    /// Presses the button on the page of a link; `instead_of` is what that page says of another session.
    pub async fn press(&self, link: &str, instead_of: &str) -> Reply {
        self.send(link, &[("instead_of", instead_of)], &[]).await
    }

    pub async fn look(&self, path: &str) -> Reply {
        let request = self.browser.request(Method::GET, path).header("cookie", &self.cookie);
        self.browser.send(request).await
    }

    /// Fills a form of the portal and sends it.
    pub async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let csrf = [("csrf", self.csrf.as_str())];
        self.send(path, &[&csrf, fields].concat(), &[]).await
    }

    /// A form with exactly these fields, and further headers.
    pub async fn send(&self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Reply {
        let mut request = self.browser.request(Method::POST, path).header("cookie", &self.cookie);
        request = request.header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.browser.send(request.body(form(fields))).await
    }

    /// Begins a top-up of the default account in dollars; gives its checkout.
    pub async fn top_up(&self, amount: &str) -> TopUp {
        let fields = [("offer", "USD default:USD"), ("amount", amount)];
        let page = self.submit("/portal/top-up", &fields).await.expect_status(200);
        let token = between(&page.text, "/checkout/", "\"").to_owned();
        let query = "to_jsonb((select topup.format_id('top', payment_id) from topup.payment order by payment_id desc limit 1))";
        let admin = self.payer.till.shop.database.admin().await;
        let id: Value = super::database::call(&admin, query).await;
        TopUp { id: id.as_str().unwrap().to_owned(), token }
    }

    /// Has the gateway reached at this address: sessions of before do not know it, and end.
    pub async fn serve_at(&self, public_url: &str) {
        let admin = self.payer.till.shop.database.admin().await;
        let set =
            "select format('alter database %I set topup.public_url = %L', current_database(), $1::text)";
        let set: String = admin.query_one(set, &[&public_url]).await.unwrap().get(0);
        admin.batch_execute(&set).await.unwrap();
        let end = "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()";
        admin.batch_execute(end).await.unwrap();
        wait_until(LIMIT, "the gateway is back", async || {
            (self.payer.till.root.get("/accounts/self").await.status == 200).then_some(())
        })
        .await;
    }
}

/// A link for a customer of the client's tenant, as a path.
pub async fn link_of(root: &Client, customer: &str) -> String {
    let urls = ("https://shop.example/account?a=1", "https://shop.example/sorry");
    let session = json!({"customer_id": customer, "return_url": urls.0, "failure_url": urls.1});
    let made = root.post("/billing-portal/sessions", session).await.expect_status(200);
    let url = made.json["redirect_url"].as_str().unwrap();
    url[url.find("/portal/enter/").unwrap()..].to_owned()
}

/// What lies between two texts.
pub fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before}: {text}"));
    rest.split_once(after).unwrap().0
}
