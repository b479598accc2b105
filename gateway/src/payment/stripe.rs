//! The provider `stripe`: Checkout Sessions for who is there, payment intents for who is not. An answer that Stripe
//! keeps is looked at anew rather than believed from memory, so that what arrives late or twice does no harm.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::outcome::{CardFacts, Order, Outcome, Report, Told, Verdict};
use super::stripe_api::{Api, Field, GONE, Trouble, code_of};
use super::view::View;
use super::{PaymentProvider, Step};

const NAME: &str = "stripe";
pub(super) const LIST_LIMIT: usize = 100;
const LIST_PAGES_MAX: usize = 50;
const SESSION_PREFIX: &str = "cs_";

/// One account of Stripe's, in the mode that fits an environment.
pub struct Stripe {
    pub(super) api: Api,
    environment: &'static str,
}

impl PaymentProvider for Stripe {
    fn charge<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Outcome> {
        async move { self.charged(order).await.unwrap_or_else(outcome_of_trouble) }.boxed()
    }

    fn look_up<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Outcome> {
        async move { self.looked_up(order).await.unwrap_or_else(not_known) }.boxed()
    }

    fn refund<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Outcome> {
        async move { self.refunded(order).await.unwrap_or_else(outcome_of_trouble) }.boxed()
    }

    fn checkout<'a>(&'a self, view: &'a View, address: &'a str) -> BoxFuture<'a, Result<Step, String>> {
        async move {
            let session = match &view.provider_payment_id {
                Some(id) => self.session(id).await,
                None => self.new_session(view, address).await,
            };
            let step = match session {
                Ok(session) => self.step(&session).await,
                Err(trouble) => self.step_after(view, trouble),
            };
            step.map_err(|trouble| trouble.to_string())
        }
        .boxed()
    }
}

impl Stripe {
    pub fn new(api: Api, environment: &'static str) -> Self {
        Stripe { api, environment }
    }

    /// What comes next where there is no session. One that Stripe no longer has cannot be paid; what Stripe does not take
    /// as it is stays open, for its reason may be in the account's settings.
    fn step_after(&self, view: &View, trouble: Trouble) -> Result<Step, Trouble> {
        let Trouble::Refused(refused) = trouble else { return Err(trouble) };
        let payment_id = Some(view.payment_id.clone());
        if view.provider_payment_id.is_some() {
            return match refused.code.as_str() {
                GONE => Ok(Step::Over(Box::new(Report { payment_id, ..self.report(Told::Expired) }))),
                _ => Err(Trouble::Refused(refused)),
            };
        }
        let (code, message) = (Some(refused.code), Some(refused.message));
        Ok(Step::Refused(Box::new(Report { payment_id, code, message, ..self.report(Told::Declined) })))
    }

    /// What a session or a payment intent has come to; nothing while that is open.
    pub async fn told(&self, object_id: &str) -> Result<Option<Report>, Trouble> {
        if object_id.starts_with(SESSION_PREFIX) {
            let session = self.session(object_id).await?;
            return self.report_of_session(&session).await;
        }
        Ok(self.report_of_intent(&self.intent(object_id).await?))
    }

    async fn charged(&self, order: &Order) -> Result<Outcome, Trouble> {
        if order.provider_payment_id.is_some() {
            return Ok(self.looked_up(order).await.unwrap_or_else(not_known));
        }
        let (Some(customer), Some(method)) = (&order.provider_customer_id, &order.provider_method_id) else {
            let failed = Outcome::new(Verdict::Failed, None);
            return Ok(failed.because("resource_missing", "There is no saved card."));
        };
        let mut fields: Vec<Field> = vec![
            ("amount", order.amount_minor.to_string()),
            ("currency", order.currency.to_lowercase()),
            ("customer", customer.clone()),
            ("payment_method", method.clone()),
            ("payment_method_types[]", "card".to_owned()),
            ("off_session", "true".to_owned()),
            ("confirm", "true".to_owned()),
            ("metadata[payment_id]", order.payment_id.clone()),
        ];
        fields.extend(order.description.clone().map(|text| ("metadata[description]", text)));
        let intent = self.api.post("/v1/payment_intents", &fields, &order.idempotency_key).await?;
        if intent["status"] == "succeeded" {
            return Ok(self.outcome_of_intent(&intent).await);
        }
        // The answer to a repeated request is the first one's, and may be out of date.
        let fresh = self.intent(&text(&intent["id"])).await;
        Ok(self.outcome_of_intent(fresh.as_ref().unwrap_or(&intent)).await)
    }

    async fn looked_up(&self, order: &Order) -> Result<Outcome, Trouble> {
        if order.refund_id.is_some() {
            return self.refunded(order).await;
        }
        match order.provider_payment_id.as_deref() {
            Some(id) if id.starts_with(SESSION_PREFIX) => {
                let session = self.session(id).await?;
                let report = self.report_of_session(&session).await?;
                Ok(outcome_of_session(&session, report))
            }
            Some(id) => Ok(self.outcome_of_intent(&self.intent(id).await?).await),
            None => match self.find(order).await? {
                Some(intent) => Ok(self.outcome_of_intent(&intent).await),
                None => {
                    let failed = Outcome::new(Verdict::Failed, None);
                    Ok(failed.because("not_charged", "The provider knows of no such charge."))
                }
            },
        }
    }

    /// The payment intent that was made for a payment whose answer was lost. The list is up to date, a search is not.
    async fn find(&self, order: &Order) -> Result<Option<Value>, Trouble> {
        let Some(customer) = &order.provider_customer_id else {
            return Err(Trouble::Unclear("there is nothing to look a payment up by".to_owned()));
        };
        let mut after: Option<String> = None;
        for _ in 0..LIST_PAGES_MAX {
            let mut fields = vec![("customer", customer.clone()), ("limit", LIST_LIMIT.to_string())];
            fields.extend(after.take().map(|id| ("starting_after", id)));
            let page = self.api.get("/v1/payment_intents", &fields).await?;
            let Some(intents) = page["data"].as_array() else {
                return Err(Trouble::Unclear("the list of payments is none".to_owned()));
            };
            let ours = |intent: &&Value| intent["metadata"]["payment_id"] == order.payment_id.as_str();
            let paid = intents.iter().filter(ours).find(|intent| intent["status"] == "succeeded");
            if let Some(intent) = paid.or_else(|| intents.iter().find(ours)) {
                return Ok(Some(intent.clone()));
            }
            match intents.last() {
                Some(last) if page["has_more"] == true => after = Some(text(&last["id"])),
                _ => return Ok(None),
            }
        }
        Err(Trouble::Unclear("the list of payments is too long".to_owned()))
    }

    pub(super) async fn session(&self, id: &str) -> Result<Value, Trouble> {
        let fields = [("expand[]", "payment_intent.payment_method".to_owned())];
        self.api.get(&format!("/v1/checkout/sessions/{id}"), &fields).await
    }

    pub(super) async fn intent(&self, id: &str) -> Result<Value, Trouble> {
        let fields = [("expand[]", "payment_method".to_owned())];
        self.api.get(&format!("/v1/payment_intents/{id}"), &fields).await
    }

    /// Nothing while it is open, and for one that is not ours.
    fn report_of_intent(&self, intent: &Value) -> Option<Report> {
        let payment_id = Some(intent["metadata"]["payment_id"].as_str()?.to_owned());
        let provider_payment_id = intent["id"].as_str().map(str::to_owned);
        let error = &intent["last_payment_error"];
        match intent["status"].as_str() {
            Some("succeeded") => Some(Report {
                payment_id,
                provider_payment_id,
                amount_minor: received_minor(intent),
                currency: currency_of(intent),
                save_card: is_consented(intent),
                card: card_of(intent),
                ..self.report(Told::Succeeded)
            }),
            Some("requires_payment_method") if error.is_object() => Some(Report {
                payment_id,
                code: Some(code_of(error, "card_declined")),
                message: error["message"].as_str().map(str::to_owned),
                ..self.report(Told::Declined)
            }),
            _ => None,
        }
    }

    async fn outcome_of_intent(&self, intent: &Value) -> Outcome {
        let id = intent["id"].as_str().map(str::to_owned);
        let error = &intent["last_payment_error"];
        let message = error["message"].as_str().unwrap_or("The payment did not go through.");
        match intent["status"].as_str() {
            Some("succeeded") => Outcome {
                amount_minor: received_minor(intent),
                currency: currency_of(intent),
                ..Outcome::new(Verdict::Succeeded, id)
            },
            Some("requires_action") => {
                // Nobody is there to act, and later nobody shall: the payment ends as failed.
                let path = format!("/v1/payment_intents/{}/cancel", text(&intent["id"]));
                let key = format!("cancel-{}", text(&intent["id"]));
                match self.api.post(&path, &[], &key).await {
                    Ok(_) => Outcome::new(Verdict::RequiresAction, id)
                        .because("authentication_required", "The payer would have to confirm the payment."),
                    Err(trouble) => Outcome { provider_payment_id: id, ..not_known(trouble) },
                }
            }
            Some("requires_payment_method") => {
                Outcome::new(Verdict::Failed, id).because(&code_of(error, "card_declined"), message)
            }
            Some("canceled") => {
                Outcome::new(Verdict::Failed, id).because("canceled", "The payment was cancelled.")
            }
            status => {
                let message = "The provider does not have the money yet.";
                Outcome::new(Verdict::Unknown, id).because(status.unwrap_or("unclear"), message)
            }
        }
    }

    pub(super) fn report(&self, result: Told) -> Report {
        let (provider, environment) = (NAME.to_owned(), self.environment.to_owned());
        Report { provider, environment, result, ..Report::default() }
    }
}

fn outcome_of_session(session: &Value, report: Option<Report>) -> Outcome {
    match report {
        Some(report) if report.result == Told::Succeeded => {
            let outcome = Outcome::new(Verdict::Succeeded, report.provider_payment_id.clone());
            Outcome { report: Some(Box::new(report)), ..outcome }
        }
        Some(_) => Outcome::new(Verdict::Failed, None).because("expired", "The checkout ended unpaid."),
        None => {
            let status = session["status"].as_str().unwrap_or("unclear");
            Outcome::unknown(status, "The checkout is not paid yet.")
        }
    }
}

/// What trouble means for what was to be done.
fn outcome_of_trouble(trouble: Trouble) -> Outcome {
    match trouble {
        Trouble::Refused(refused) => {
            let needs_payer = refused.code == "authentication_required";
            let result = if needs_payer { Verdict::RequiresAction } else { Verdict::Failed };
            Outcome::new(result, refused.payment_intent.clone()).because(&refused.code, &refused.message)
        }
        unclear => not_known(unclear),
    }
}

/// What trouble means for a question: no answer.
fn not_known(trouble: Trouble) -> Outcome {
    Outcome::unknown("no_answer", &trouble.to_string())
}

/// How much of a payment intent's money has come.
fn received_minor(intent: &Value) -> Option<i64> {
    intent["amount_received"].as_i64().or(intent["amount"].as_i64())
}

fn currency_of(object: &Value) -> Option<String> {
    object["currency"].as_str().map(str::to_uppercase)
}

/// Whether the payer ticked Stripe's box that has the card kept. Who merely pays somebody's link has not.
pub(super) fn is_consented(intent: &Value) -> bool {
    intent["payment_method"]["allow_redisplay"] == "always"
}

/// What is kept of the card of a payment intent.
pub(super) fn card_of(intent: &Value) -> CardFacts {
    let method = &intent["payment_method"];
    let card = &method["card"];
    let word = |value: &Value| value.as_str().map(str::to_owned);
    CardFacts {
        provider_customer_id: word(&intent["customer"]).or_else(|| word(&intent["customer"]["id"])),
        provider_method_id: word(&method["id"]),
        brand: word(&card["brand"]),
        last4: word(&card["last4"]),
        exp_month: card["exp_month"].as_u64().and_then(|month| u8::try_from(month).ok()),
        exp_year: card["exp_year"].as_u64().and_then(|year| u16::try_from(year).ok()),
    }
}

/// A string, or nothing of it.
pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn stripe() -> Stripe {
        let url = "http://127.0.0.1:9/".parse().unwrap();
        Stripe::new(Api::new(&url, "sk_test_1").unwrap(), "staging")
    }

    #[test]
    fn a_paid_intent_is_told_with_its_card() {
        let intent = json!({"id": "pi_1", "status": "succeeded", "amount": 2550, "currency": "usd", "customer": "cus_1",
            "metadata": {"payment_id": "top_1"}, "setup_future_usage": "off_session",
            "payment_method": {"id": "pm_1", "allow_redisplay": "always", "card": {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2034}}});
        let report = stripe().report_of_intent(&intent).unwrap();
        assert_eq!(
            (report.result, report.amount_minor, report.save_card),
            (Told::Succeeded, Some(2550), true)
        );
        assert_eq!(report.currency.as_deref(), Some("USD"));
        assert_eq!(
            (report.card.exp_month, report.card.provider_customer_id.as_deref()),
            (Some(12), Some("cus_1"))
        );
    }

    #[test]
    fn an_open_or_a_foreign_intent_tells_nothing() {
        for intent in [
            json!({"id": "pi_1", "status": "processing", "metadata": {"payment_id": "top_1"}}),
            json!({"id": "pi_1", "status": "requires_payment_method", "metadata": {"payment_id": "top_1"}}),
            json!({"id": "pi_1", "status": "succeeded", "metadata": {}}),
        ] {
            assert_eq!(stripe().report_of_intent(&intent), None, "{intent}");
        }
    }

    #[test]
    fn trouble_with_a_question_is_no_answer() {
        let refused = || Trouble::Refused(Box::default());
        assert_eq!(not_known(refused()).result, Verdict::Unknown);
        assert_eq!(outcome_of_trouble(refused()).result, Verdict::Failed);
        assert_eq!(outcome_of_trouble(Trouble::Unclear(String::new())).result, Verdict::Unknown);
    }
}
