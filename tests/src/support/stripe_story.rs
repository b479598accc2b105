//! A payer of a shop whose payments go through Stripe.

use super::database::Database;
use super::gateway::Gateway;
use super::localstripe::KEY;
use super::payer::{Payer, TopUp};
use super::python::python;
use super::shop::Shop;
use super::stripe_stub::StripeStub;
use super::wait::{LIMIT, wait_until};
use serde_json::{Value, json};

/// Signs Stripe's events.
pub const SECRET: &str = "whsec_of_the_test";

/// A shop whose staging payments go to this Stripe.
pub async fn shop_at(url: &str) -> Shop {
    shop_with(&flags(url)).await
}

/// A shop whose staging payments go to Stripe, by a gateway with these flags.
pub async fn shop_with(flags: &[&str]) -> Shop {
    let database = Database::new().await;
    let set = "do $$ begin execute format('alter database %I set topup.payment_provider_staging = stripe',
                                          current_database()); end $$";
    database.admin().await.batch_execute(set).await.unwrap();
    let key = database.staging_key().await;
    let gateway = Gateway::start_with(&database, flags).await;
    Shop { client: gateway.client(&key), key, gateway, database }
}

pub fn flags(url: &str) -> [&str; 7] {
    [
        "--allow-private-webhooks",
        "--stripe-url",
        url,
        "--stripe-secret-key",
        KEY,
        "--stripe-webhook-secret",
        SECRET,
    ]
}

/// A payer, and what stands for Stripe.
pub struct Story {
    pub payer: Payer,
    pub stripe: StripeStub,
}

impl Story {
    pub async fn begin() -> Story {
        let stripe = StripeStub::start().await;
        Story { payer: Payer::open_with(shop_at(&stripe.url).await).await, stripe }
    }

    /// Follows the link of a new top-up to Stripe's page: the top-up and the session.
    pub async fn at_stripe(&self, amount: &str) -> (TopUp, Value) {
        let top_up = self.payer.top_up(amount, json!({})).await;
        let led = self.payer.look(&top_up, "").await.expect_status(303);
        let url = led.header("location").unwrap().to_owned();
        let session = self.stripe.sessions().into_iter().find(|session| session["url"] == url.as_str());
        (top_up, session.unwrap())
    }

    /// Saves a card by paying 5 dollars.
    pub async fn save_card(&self, number: &str) {
        let (top_up, session) = self.at_stripe("5").await;
        self.stripe.pay(&session, number).await;
        self.payer.look(&top_up, "?done").await.expect_status(200);
        assert_eq!(self.payer.status(&top_up).await, "succeeded");
    }

    pub async fn ended(&self, top_up: &TopUp) -> String {
        wait_until(LIMIT, "the payment has ended", async || {
            Some(self.payer.status(top_up).await).filter(|status| status != "pending")
        })
        .await
    }

    pub async fn has(&self, amount: &str) {
        assert_eq!(self.payer.available("USD").await.as_deref(), Some(amount));
        self.payer.till.shop.database.check().await;
    }

    /// Puts another card of this number in the place of the saved one.
    pub async fn replace_card(&self, number: &str) {
        let (customer, card) = self.stripe.peer.customer_with_card(number).await;
        let set = format!("update topup.payment_method set provider_customer_id = '{customer}', provider_method_id = '{card}'
                            where replaced_at is null");
        self.payer.sql(&set).await;
    }

    /// Makes it so much later for payments under way, leases included.
    pub async fn pass(&self, interval: &str) {
        let set = format!("update topup.payment set due_at = due_at - interval '{interval}',
                                  first_claimed_at = first_claimed_at - interval '{interval}' where status = 'pending'");
        self.payer.sql(&set).await;
    }

    /// How many intents Stripe has made for a payment.
    pub async fn intents(&self, top_up: &TopUp) -> Vec<Value> {
        let mut intents = self.stripe.peer.intents().await;
        intents.retain(|intent| intent["metadata"]["payment_id"] == top_up.id.as_str());
        intents
    }

    /// Waits until the gateway has not got an answer.
    pub async fn unanswered(&self) {
        let attempts = "(select coalesce(max(attempts), 0) from topup.payment where status = 'pending' and due_at > clock_timestamp() + interval '1 s')";
        wait_until(LIMIT, "an answer is lost", async || {
            let log = self.payer.till.shop.gateway.log();
            (self.payer.ask(attempts).await != json!(0) && log.contains("not known yet")).then_some(())
        })
        .await;
    }

    /// Why a payment failed.
    pub async fn failure(&self, top_up: &TopUp) -> Value {
        let query = format!(
            "(select failure_code from topup.payment where topup.format_id('top', payment_id) = '{}')",
            top_up.id
        );
        self.payer.ask(&query).await
    }

    /// Sends an event as Stripe would; gives the status.
    pub async fn event(&self, event_id: &str, kind: &str, object: Value) -> u16 {
        let event =
            json!({"id": event_id, "type": kind, "livemode": false, "data": {"object": object}}).to_string();
        self.signed(&event, SECRET, 0).await
    }

    pub async fn signed(&self, body: &str, secret: &str, age_s: u64) -> u16 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let at = now - age_s;
        let signature = hmac_hex(secret, &format!("{at}.{body}")).await;
        let browser = &self.payer.browser;
        let request = browser.request(reqwest::Method::POST, "/payments/stripe/webhook");
        let request = request.header("stripe-signature", format!("t={at},v1={signature}"));
        browser.send(request.body(body.to_owned())).await.status
    }
}

/// By code that is not ours.
async fn hmac_hex(secret: &str, text: &str) -> String {
    let script = "import sys, hmac, json; t = json.load(sys.stdin); \
                  print(hmac.new(t[0].encode(), t[1].encode(), 'sha256').hexdigest())";
    let told = json!([secret, text]).to_string();
    let hex = tokio::task::spawn_blocking(move || python(script, &told)).await.unwrap();
    hex.trim().to_owned()
}
