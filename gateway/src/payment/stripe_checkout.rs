//! Stripe's Checkout Sessions: made for a payment, under a customer, and read when somebody comes back.

use std::time::SystemTime;

use data_encoding::HEXLOWER;
use pg_topup_contract::unix_seconds;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Step;
use super::outcome::{Report, Told};
use super::stripe::{Stripe, card_of, is_consented, text};
use super::stripe_api::{Field, GONE, Trouble};
use super::view::View;

/// Stripe lets a session live for at least half an hour; a minute more for clocks that differ.
const SESSION_S_MIN: u64 = 31 * 60;
/// What Stripe calls an address that it does not take.
const EMAIL_REFUSED: &[&str] =
    &["email_invalid", "parameter_invalid_string_blank", "parameter_invalid_empty"];

impl Stripe {
    /// A session for a payment. One that is made twice and not kept is shown to nobody. A customer that was deleted at
    /// Stripe is made anew.
    pub async fn new_session(&self, view: &View, address: &str) -> Result<Value, Trouble> {
        let customer = match &view.provider_customer_id {
            Some(id) => id.clone(),
            None => self.new_customer(view, None).await?,
        };
        match self.session_for(view, address, &customer).await {
            Err(trouble) if trouble.is_about(&[GONE], "customer") => {
                let (payment_id, gone_id) = (&view.payment_id, &customer);
                tracing::warn!(
                    payment_id,
                    gone_id,
                    "Stripe no longer has this customer; another one is made"
                );
                let another = self.new_customer(view, Some(gone_id)).await?;
                self.session_for(view, address, &another).await
            }
            other => other,
        }
    }

    async fn session_for(&self, view: &View, address: &str, customer: &str) -> Result<Value, Trouble> {
        let soonest = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let wanted = view.expires_at.as_deref().and_then(unix_seconds);
        let expires_at = wanted.unwrap_or(0).max(soonest + SESSION_S_MIN);
        let described = view.description.clone().filter(|text| !text.trim().is_empty());
        let product = described.unwrap_or_else(|| view.purchase());
        let fields: Vec<Field> = vec![
            ("mode", "payment".to_owned()),
            ("customer", customer.to_owned()),
            ("client_reference_id", view.payment_id.clone()),
            ("metadata[payment_id]", view.payment_id.clone()),
            ("payment_intent_data[metadata][payment_id]", view.payment_id.clone()),
            ("payment_intent_data[setup_future_usage]", "off_session".to_owned()),
            // A box on Stripe's page: only who ticks it is charged later.
            ("saved_payment_method_options[payment_method_save]", "enabled".to_owned()),
            // The payer pays the very amount and currency that is credited.
            ("adaptive_pricing[enabled]", "false".to_owned()),
            ("payment_method_types[]", "card".to_owned()),
            ("line_items[0][quantity]", "1".to_owned()),
            ("line_items[0][price_data][currency]", view.currency.to_lowercase()),
            ("line_items[0][price_data][unit_amount]", view.amount_minor.to_string()),
            ("line_items[0][price_data][product_data][name]", product),
            ("success_url", format!("{address}?done")),
            ("cancel_url", format!("{address}?canceled")),
            ("expires_at", expires_at.to_string()),
        ];
        self.api.post("/v1/checkout/sessions", &fields, &key_of(view, &fields, None)).await
    }

    /// A customer for the payer; an address that Stripe refuses is left out. `instead_of`: one that is gone, whose key
    /// would bring it back.
    async fn new_customer(&self, view: &View, instead_of: Option<&str>) -> Result<String, Trouble> {
        let mut fields: Vec<Field> = vec![("metadata[tenant_id]", view.tenant_id.clone())];
        fields.extend(view.customer_id.clone().map(|id| ("metadata[customer_id]", id)));
        let name = view
            .customer_name
            .clone()
            .or_else(|| view.customer_id.is_none().then(|| view.merchant_name.clone()));
        fields.extend(name.map(|name| ("name", name)));
        let without_email = fields.clone();
        fields.extend(view.customer_email.clone().map(|email| ("email", email)));
        let post = async |fields: &[Field]| {
            self.api.post("/v1/customers", fields, &key_of(view, fields, instead_of)).await
        };
        let customer = match post(&fields).await {
            Err(trouble) if trouble.is_about(EMAIL_REFUSED, "email") => {
                let payment_id = &view.payment_id;
                tracing::warn!(payment_id, %trouble, "Stripe refuses the customer's e-mail address; it is left out");
                post(&without_email).await?
            }
            other => other?,
        };
        Ok(text(&customer["id"]))
    }

    /// What comes next for whoever opens a session.
    pub async fn step(&self, session: &Value) -> Result<Step, Trouble> {
        if let Some(report) = self.report_of_session(session).await? {
            return Ok(Step::Over(Box::new(report)));
        }
        match (session["status"].as_str(), session["url"].as_str()) {
            (Some("open"), Some(url)) => Ok(Step::Redirect {
                provider_payment_id: text(&session["id"]),
                provider_customer_id: session["customer"].as_str().map(str::to_owned),
                url: url.to_owned(),
            }),
            (Some("complete"), _) => Ok(Step::Wait),
            _ => Err(Trouble::Unclear(format!("the session is {}", session["status"]))),
        }
    }

    /// How a session ended; nothing while it is open.
    pub async fn report_of_session(&self, session: &Value) -> Result<Option<Report>, Trouble> {
        let payment_id = session["metadata"]["payment_id"].as_str();
        let payment_id = payment_id.or(session["client_reference_id"].as_str()).map(str::to_owned);
        if session["status"] == "expired" {
            return Ok(Some(Report { payment_id, ..self.report(Told::Expired) }));
        }
        if !matches!(session["payment_status"].as_str(), Some("paid" | "no_payment_required")) {
            return Ok(None);
        }
        let intent = match &session["payment_intent"] {
            Value::String(id) => self.intent(id).await?,
            intent => intent.clone(),
        };
        Ok(Some(Report {
            payment_id,
            provider_payment_id: intent["id"].as_str().map(str::to_owned),
            amount_minor: session["amount_total"].as_i64(),
            currency: session["currency"].as_str().map(str::to_uppercase),
            save_card: is_consented(&intent),
            card: card_of(&intent),
            ..self.report(Told::Succeeded)
        }))
    }
}

/// The same wish has the same key, and a changed one another: nobody is refused for having changed a name.
fn key_of(view: &View, fields: &[Field], instead_of: Option<&str>) -> String {
    let mut wish: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    wish.extend(instead_of.map(|gone| format!("instead_of={gone}")));
    let digest = HEXLOWER.encode(&Sha256::digest(wish.join("\n").as_bytes())[..8]);
    format!("{}-{digest}", view.payment_id)
}
