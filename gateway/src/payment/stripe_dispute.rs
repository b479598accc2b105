//! Stripe's disputes, as they stand when one is asked for.

use super::outcome::{Disputed, Report, Told};
use super::stripe::Stripe;
use super::stripe_api::Trouble;

impl Stripe {
    /// How a dispute stands; nothing where it is about no payment intent.
    pub async fn told_dispute(&self, dispute_id: &str) -> Result<Option<Report>, Trouble> {
        let dispute = self.api.get(&format!("/v1/disputes/{dispute_id}"), &[]).await?;
        let word = |field: &str| dispute[field].as_str().map(str::to_owned);
        let Some(intent_id) = word("payment_intent") else { return Ok(None) };
        let status = dispute["status"].as_str().unwrap_or_default();
        let Some(stands) = stands(status) else {
            return Err(Trouble::Unclear(format!("the dispute is {status}")));
        };
        Ok(Some(Report {
            provider_payment_id: Some(intent_id),
            dispute_id: word("id"),
            dispute_status: Some(stands),
            disputed_minor: dispute["amount"].as_i64(),
            currency: word("currency").map(|currency| currency.to_uppercase()),
            code: word("reason"),
            ..self.report(Told::Disputed)
        }))
    }
}

fn stands(status: &str) -> Option<Disputed> {
    match status {
        "warning_needs_response" | "warning_under_review" => Some(Disputed::Inquiry),
        "needs_response" | "under_review" => Some(Disputed::Open),
        // The bank keeps nothing; what the shop itself gave back is told as a refund.
        "won" | "warning_closed" | "charge_refunded" | "prevented" => Some(Disputed::Won),
        "lost" => Some(Disputed::Lost),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dispute_stands_as_stripe_says() {
        for (status, expected) in [
            ("warning_needs_response", Some(Disputed::Inquiry)),
            ("needs_response", Some(Disputed::Open)),
            ("under_review", Some(Disputed::Open)),
            ("won", Some(Disputed::Won)),
            ("lost", Some(Disputed::Lost)),
            ("new_status", None),
        ] {
            assert_eq!(stands(status), expected, "{status}");
        }
    }
}
