//! PyPI's localstripe as a process: Stripe as the gateway meets it, where localstripe has it.

use super::place;
use super::python::interpreter;
use super::wait::{LIMIT, wait_until};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

/// It ends with this value, or with this process.
pub struct Localstripe {
    /// `http://127.0.0.1:…`
    pub url: String,
    process: Child,
    http: reqwest::Client,
}

/// A secret key, as it may be in a gateway's settings.
pub const KEY: &str = "sk_test_peer";

impl Localstripe {
    pub async fn start() -> Localstripe {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut process = interpreter()
            .arg(place::root().join("tests/clients/localstripe_peer.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let peer = Localstripe { url: format!("http://127.0.0.1:{}", port.trim()), process, http };
        wait_until(LIMIT, "localstripe answers", async || {
            peer.http.get(&peer.url).send().await.is_ok().then_some(())
        })
        .await;
        peer
    }

    /// A request to it, form-encoded as Stripe's are; gives the status and the object.
    pub async fn ask(&self, method: &str, path: &str, form: &str) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(KEY);
        if !form.is_empty() {
            request =
                request.header("content-type", "application/x-www-form-urlencoded").body(form.to_owned());
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// An object that must come.
    pub async fn made(&self, path: &str, form: &str) -> Value {
        let (status, object) = self.ask("POST", path, form).await;
        assert_eq!(status, 200, "{path} {form}: {object}");
        object
    }

    /// A customer with this card: the ids of both.
    pub async fn customer_with_card(&self, number: &str) -> (String, String) {
        let customer = id(&self.made("/v1/customers", "name=Ann").await);
        let card = self.card(number).await;
        self.made(&format!("/v1/payment_methods/{card}/attach"), &format!("customer={customer}")).await;
        (customer, card)
    }

    /// A card that belongs to nobody yet.
    pub async fn card(&self, number: &str) -> String {
        let form =
            format!("type=card&card[number]={number}&card[exp_month]=12&card[exp_year]=2034&card[cvc]=123");
        id(&self.made("/v1/payment_methods", &form).await)
    }

    /// Sends its events, signed, to a gateway.
    pub async fn tell(&self, gateway_url: &str, secret: &str) {
        let form = format!("url={gateway_url}/payments/stripe/webhook&secret={secret}");
        let path = format!("{}/_config/webhooks/w", self.url);
        let request = self.http.post(path).header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(request.body(form).send().await.unwrap().status(), 200);
    }

    /// Every payment intent, oldest first.
    pub async fn intents(&self) -> Vec<Value> {
        let mut intents: Vec<Value> = Vec::new();
        loop {
            let after =
                intents.last().map(|last| format!("&starting_after={}", id(last))).unwrap_or_default();
            let (_, page) = self.ask("GET", &format!("/v1/payment_intents?limit=100{after}"), "").await;
            intents.extend(page["data"].as_array().unwrap().iter().cloned());
            if page["has_more"] != true {
                return intents;
            }
        }
    }
}

impl Drop for Localstripe {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn id(object: &Value) -> String {
    object["id"].as_str().unwrap().to_owned()
}
