//! Stripe's refunds: giving money back, and hearing of what was given back.

use serde_json::Value;
use uuid::Uuid;

use super::outcome::{Action, Order, Outcome, Report, Told, Verdict};
use super::stripe::{LIST_LIMIT, Stripe, text};
use super::stripe_api::Trouble;

impl Stripe {
    /// All that was given back of a payment intent.
    pub async fn told_refunds(&self, intent_id: &str) -> Result<Option<Report>, Trouble> {
        let refunds = self.refunds(intent_id).await?;
        let refunded_minor = standing_minor(&refunds);
        // The newest comes first, and is what the event is about.
        let ours = refunds.iter().find(|refund| is_standing(refund)).and_then(own_id);
        Ok((refunded_minor > 0).then(|| Report {
            provider_payment_id: Some(intent_id.to_owned()),
            refunded_minor: Some(refunded_minor),
            refund_id: ours,
            ..self.report(Told::Refunded)
        }))
    }

    /// What a refund that failed leaves refunded; nothing where it has not failed.
    pub async fn told_refund(&self, refund_id: &str) -> Result<Option<Report>, Trouble> {
        let refund = self.api.get(&format!("/v1/refunds/{refund_id}"), &[]).await?;
        let Some(intent_id) = refund["payment_intent"].as_str().filter(|_| !is_standing(&refund)) else {
            return Ok(None);
        };
        Ok(Some(Report {
            provider_payment_id: Some(intent_id.to_owned()),
            refunded_minor: Some(standing_minor(&self.refunds(intent_id).await?)),
            refund_id: own_id(&refund),
            code: refund["failure_reason"].as_str().map(str::to_owned),
            message: Some("The refund did not arrive.".to_owned()),
            ..self.report(Told::RefundFailed)
        }))
    }

    /// Gives money back, or finds out whether it was given back.
    pub(super) async fn refunded(&self, order: &Order) -> Result<Outcome, Trouble> {
        let Some(intent) = &order.provider_payment_id else {
            let failed = Outcome::new(Verdict::Failed, None);
            return Ok(failed.because("resource_missing", "The provider's payment is not known."));
        };
        let refund_id = order.refund_id.map(|id| id.to_string()).unwrap_or_default();
        // Stripe forgets an idempotency key after a day, but not what it has given back.
        let earlier = self.refunds(intent).await?;
        let earlier = earlier
            .into_iter()
            .find(|refund| !refund_id.is_empty() && refund["metadata"]["refund_id"] == refund_id.as_str());
        let refund = match (earlier, order.action) {
            (Some(refund), _) => refund,
            (None, Action::LookUp) => {
                let failed = Outcome::new(Verdict::Failed, Some(intent.clone()));
                return Ok(failed.because("not_refunded", "The provider knows of no such refund."));
            }
            (None, _) => {
                let fields = [
                    ("payment_intent", intent.clone()),
                    ("amount", order.amount_minor.to_string()),
                    ("metadata[refund_id]", refund_id),
                    ("metadata[payment_id]", order.payment_id.clone()),
                ];
                self.api.post("/v1/refunds", &fields, &order.idempotency_key).await?
            }
        };
        let status = text(&refund["status"]);
        let outcome = match status.as_str() {
            "succeeded" | "pending" => return Ok(Outcome::new(Verdict::Refunded, Some(intent.clone()))),
            "failed" | "canceled" => Outcome::new(Verdict::Failed, Some(intent.clone())),
            _ => Outcome::new(Verdict::Unknown, Some(intent.clone())),
        };
        Ok(outcome.because(&format!("refund_{status}"), "The refund did not go through."))
    }

    async fn refunds(&self, intent_id: &str) -> Result<Vec<Value>, Trouble> {
        let fields = [("payment_intent", intent_id.to_owned()), ("limit", LIST_LIMIT.to_string())];
        let list = self.api.get("/v1/refunds", &fields).await?;
        let refunds = list["data"].as_array().cloned();
        refunds.ok_or_else(|| Trouble::Unclear("the list of refunds is none".to_owned()))
    }
}

/// What stands of refunds.
fn standing_minor(refunds: &[Value]) -> i64 {
    refunds.iter().filter(|refund| is_standing(refund)).filter_map(|refund| refund["amount"].as_i64()).sum()
}

/// The id that we gave a refund, if it is one of ours.
fn own_id(refund: &Value) -> Option<String> {
    let id = refund["metadata"]["refund_id"].as_str()?;
    Uuid::parse_str(id).ok().map(|id| id.to_string())
}

/// A refund that was not taken back itself.
fn is_standing(refund: &Value) -> bool {
    !matches!(refund["status"].as_str(), Some("failed" | "canceled"))
}
