//! A bank whose customer pays, and the gateway's part in it: sessions of a role that is only a member of topup_gateway.

use super::bank::Bank;
use super::database::call;
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

/// Its fields are dropped in this order.
pub struct Cashier {
    pub gateway: Client,
    pub bank: Bank,
}

/// Work that was claimed.
#[derive(Clone, Debug)]
pub struct Claim {
    pub tenant_id: Uuid,
    pub payment_id: Uuid,
    pub fence: i64,
    pub request: Value,
}

impl Claim {
    /// The provider's answer to it; `more` are further fields.
    pub fn answer(&self, result: &str, more: Value) -> Value {
        let mut answer = json!({"tenant_id": self.tenant_id, "payment_id": self.payment_id, "fence": self.fence,
            "refund_id": self.request["refund_id"], "result": result});
        answer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        answer
    }
}

impl Cashier {
    pub async fn open() -> Cashier {
        let bank = Bank::open().await;
        Cashier { gateway: bank.database.gateway().await, bank }
    }

    /// Begins a top-up of the customer; `more` are further arguments of `topup.top_up_create`.
    pub async fn top_up(&self, amount: &str, more: &str) -> Value {
        let comma = if more.is_empty() { "" } else { ", " };
        let customer = &self.bank.customer;
        let create = format!(
            "topup.top_up_create('{customer}', {amount}, 'USD', 'https://shop.example/ok', 'https://shop.example/no'{comma}{more})"
        );
        call(&self.bank.app, &create).await
    }

    /// Begins one that must succeed: its id and its checkout's token.
    pub async fn begun(&self, amount: &str, more: &str) -> (String, String) {
        let reply = self.top_up(amount, more).await;
        assert_eq!(reply["code"], 1000, "{reply}");
        let id = reply["data"]["id"].as_str().unwrap().to_owned();
        let url = reply["data"]["redirect_url"].as_str().unwrap();
        let token = url.strip_prefix("http://127.0.0.1:8080/checkout/").unwrap();
        (id, token.to_owned())
    }

    pub async fn status(&self, id: &str) -> Value {
        call(&self.bank.app, &format!("topup.top_up_get('{id}')")).await["data"]["status"].clone()
    }

    pub async fn view(&self, token: &str) -> Value {
        self.ask("topup.checkout_view($1)", token).await
    }

    pub async fn begin(&self, token: &str, provider_payment_id: Option<&str>) -> Value {
        let query = "select coalesce(topup.checkout_begin($1, $2), 'null')";
        self.gateway.query_one(query, &[&token, &provider_payment_id]).await.unwrap().get(0)
    }

    async fn ask(&self, function_call: &str, argument: &str) -> Value {
        let query = format!("select coalesce({function_call}, 'null')");
        self.gateway.query_one(&query, &[&argument]).await.unwrap().get(0)
    }

    /// Reports of a payment; `more` are further fields.
    pub async fn report(&self, id: &str, result: &str, more: Value) -> Value {
        let mut report = json!({"payment_id": id, "result": result});
        report.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        report_to(&self.gateway, &report).await
    }

    /// Pays a top-up, and saves a card of that name.
    pub async fn save_card(&self, card: &str) {
        let (id, token) = self.begun("5", "").await;
        self.begin(&token, None).await;
        let mut card = card_fields(card);
        card["provider_payment_id"] = json!(format!("pi_{id}"));
        let paid = self.report(&id, "succeeded", card).await;
        assert_eq!((&paid["status"], &paid["changed"]), (&json!("succeeded"), &json!(true)), "{paid}");
    }

    pub async fn claim(&self, lease_s: i32) -> Vec<Claim> {
        let query = "select tenant_id, payment_id, fence, request from topup.claim_payments(10, $1)";
        let rows = self.gateway.query(query, &[&lease_s]).await.unwrap();
        let claim = |row: &tokio_postgres::Row| Claim {
            tenant_id: row.get(0),
            payment_id: row.get(1),
            fence: row.get(2),
            request: row.get(3),
        };
        rows.iter().map(claim).collect()
    }

    /// The only work there is.
    pub async fn claim_one(&self) -> Claim {
        let mut claims = self.claim(60).await;
        assert_eq!(claims.len(), 1, "{claims:?}");
        claims.remove(0)
    }

    pub async fn settle(&self, outcomes: &[Value]) -> i32 {
        let query = "select topup.settle_payments($1)";
        self.gateway.query_one(query, &[&json!(outcomes)]).await.unwrap().get(0)
    }

    /// Makes it so much later for all payments: what is due, leased or open until then is past.
    pub async fn pass(&self, interval: &str) {
        let later = format!(
            "update topup.payment set due_at = due_at - interval '{interval}', expires_at = expires_at - interval '{interval}',
                    created_at = created_at - interval '{interval}', first_claimed_at = first_claimed_at - interval '{interval}';
             update topup.payment_refund set due_at = due_at - interval '{interval}', created_at = created_at - interval '{interval}'"
        );
        self.bank.admin.batch_execute(&later).await.unwrap();
    }

    /// Does what is due inside the database, as the worker would.
    pub async fn run_due(&self) {
        let due = "select topup.run_due(100)";
        while self.gateway.query_one(due, &[]).await.unwrap().get::<_, i32>(0) > 0 {}
    }

    /// The events of a type, oldest first: their data.
    pub async fn events(&self, event_type: &str) -> Vec<Value> {
        let query =
            "select body::jsonb -> 'data' from (select type, event_id, body from topup.event union all
                                                        select o.type, o.event_id, b.body from topup.outbox o
                                                         cross join lateral topup.body_of(
                                                                   o.tenant_id, o.environment, o.event_id, o.type,
                                                                   o.transaction_id, o.body, o.new_balance_cents, o.created_at) b) told
                      where type = $1 order by event_id";
        let rows = self.bank.admin.query(query, &[&event_type]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Registers a webhook for all events, so that they are written.
    pub async fn listen(&self) {
        let reply = call(&self.bank.app, "topup.webhook_register('https://example.com/hook')").await;
        assert_eq!(reply["code"], 1000, "{reply}");
    }

    /// A charge of the customer's saved card, as a surface that has one would start it.
    pub async fn charge_card(&self, amount: &str) -> String {
        let charge = format!(
            "insert into topup.payment (tenant_id, environment, payment_id, customer_id, account_id, account_name, asset,
                    currency, amount, credit, exchange_rate, method, origin, status, provider, method_id, due_at)
             select m.tenant_id, m.environment, topup.new_id(), m.customer_id,
                    topup.customer_account_id(m.customer_id, 'default', 'USD'), 'default', 'USD', 'USD', {amount}, {amount}, 1,
                    'off_session', 'manual', 'pending', m.provider, m.method_id, clock_timestamp()
               from topup.payment_method m where m.replaced_at is null
             returning topup.format_id('top', payment_id)"
        );
        self.bank.admin.query_one(&charge, &[]).await.unwrap().get(0)
    }
}

/// What a report says of a card that is to be saved.
pub fn card_fields(card: &str) -> Value {
    json!({"save_card": true, "provider_customer_id": "cus_1", "provider_method_id": card, "brand": "visa", "last4": "4242",
           "exp_month": 12, "exp_year": 2034, "provider_payment_id": format!("pi_{card}")})
}

/// Reports as the gateway does.
pub async fn report_to(gateway: &Client, report: &Value) -> Value {
    let query = "select coalesce(topup.report_payment($1), 'null')";
    gateway.query_one(query, &[&report]).await.unwrap().get(0)
}
