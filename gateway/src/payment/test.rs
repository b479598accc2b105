//! The provider `test`: Stripe's test cards and no money. Each answer follows from the card, the amount and the
//! payment alone, so that the same question always has the same answer, from whichever gateway.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use super::card::Card;
use super::outcome::{Order, Outcome, Verdict};
use super::test_card::{
    Behaviour, CARDS, Decline, NO_SUCH_METHOD, NO_TEST_CARD, NOT_CONFIRMED, TOO_LARGE, TestCard, digest,
};
use super::view::View;
use super::{PaymentProvider, Step};

/// As at Stripe.
const AMOUNT_MINOR_MAX: i64 = 99_999_999;
const AMOUNT_MINOR_MAX_IDR: i64 = 999_999_999_999;

pub struct TestProvider;

/// What a test card answers on the checkout.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Approved {
        provider_payment_id: String,
    },
    /// The payer must confirm first.
    Confirm,
    Declined(Decline),
}

/// The test card with this number.
pub fn recognize(card: &Card) -> Result<&'static TestCard, Decline> {
    CARDS.iter().find(|known| known.number == card.number).ok_or(NO_TEST_CARD)
}

/// Pays on the checkout; `confirmed` is whether the payer has already been asked.
pub fn pay(card: &TestCard, view: &View, confirmed: bool) -> Answer {
    if is_too_large(view.amount_minor, &view.currency) {
        return Answer::Declined(TOO_LARGE);
    }
    match card.present {
        Behaviour::Authenticate(_) | Behaviour::NeedsPayer if !confirmed => Answer::Confirm,
        Behaviour::Decline(decline) | Behaviour::Authenticate(Some(decline)) => Answer::Declined(decline),
        Behaviour::Approve | Behaviour::Authenticate(None) | Behaviour::NeedsPayer => {
            let id = payment_id(&view.payment_id, card.method, view.amount_minor);
            Answer::Approved { provider_payment_id: id }
        }
    }
}

/// The payer as a customer of this provider.
pub fn customer_id(view: &View) -> String {
    let payer = view.customer_id.as_deref().unwrap_or(&view.tenant_id);
    format!("cus_test_{}", digest(&[&view.tenant_id, &view.environment, payer]))
}

impl PaymentProvider for TestProvider {
    fn charge<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Outcome> {
        ready(charged(order)).boxed()
    }

    /// As nothing is kept here, the answer is found again. Of a checkout only we know how it went, and have said so.
    fn look_up<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Outcome> {
        if order.refund_id.is_some() {
            return self.refund(order);
        }
        let outcome = match order.provider_method_id {
            Some(_) => charged(order),
            None => Outcome::unknown("open", "The checkout has not been paid."),
        };
        ready(outcome).boxed()
    }

    fn refund<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Outcome> {
        ready(Outcome::new(Verdict::Refunded, order.provider_payment_id.clone())).boxed()
    }

    fn checkout<'a>(&'a self, _: &'a View, _: &'a str) -> BoxFuture<'a, Result<Step, String>> {
        ready(Ok(Step::Page)).boxed()
    }
}

fn charged(order: &Order) -> Outcome {
    let method = order.provider_method_id.as_deref().unwrap_or_default();
    let id = payment_id(&order.idempotency_key, method, order.amount_minor);
    let card = TestCard::of_method(method);
    let decline = match card.map(|card| card.absent) {
        _ if is_too_large(order.amount_minor, &order.currency) => TOO_LARGE,
        Some(Behaviour::Approve) => {
            let told =
                |card: &TestCard| card.afterwards(&order.payment_id, &order.environment, order.amount_minor);
            let afterwards = card.map(told).unwrap_or_default();
            return Outcome { afterwards, ..Outcome::new(Verdict::Succeeded, Some(id)) };
        }
        Some(Behaviour::NeedsPayer | Behaviour::Authenticate(_)) => {
            let outcome = Outcome::new(Verdict::RequiresAction, Some(id));
            return outcome.because(NOT_CONFIRMED.code, NOT_CONFIRMED.message);
        }
        Some(Behaviour::Decline(decline)) => decline,
        None => NO_SUCH_METHOD,
    };
    Outcome::new(Verdict::Failed, Some(id)).because(decline.code, decline.message)
}

fn is_too_large(amount_minor: i64, currency: &str) -> bool {
    amount_minor > if currency == "IDR" { AMOUNT_MINOR_MAX_IDR } else { AMOUNT_MINOR_MAX }
}

fn payment_id(key: &str, method: &str, amount_minor: i64) -> String {
    format!("pi_test_{}", digest(&[key, method, &amount_minor.to_string()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payment::card::Expiry;
    use serde_json::json;

    fn order(method: &str, amount_minor: i64) -> Order {
        serde_json::from_value(json!({
            "action": "charge", "provider": "test", "environment": "staging", "idempotency_key": "in_1",
            "payment_id": "in_1", "amount_minor": amount_minor, "currency": "USD", "description": null,
            "provider_customer_id": "cus_1", "provider_method_id": method, "provider_payment_id": null,
            "refund_id": null,
        }))
        .unwrap()
    }

    fn charge(order: &Order) -> Outcome {
        TestProvider.charge(order).now_or_never().unwrap()
    }

    #[test]
    fn the_same_order_has_the_same_answer_and_another_has_another() {
        let first = charge(&order("pm_card_visa", 1000));
        assert_eq!(first.result, Verdict::Succeeded);
        assert_eq!(charge(&order("pm_card_visa", 1000)), first);
        assert_ne!(charge(&order("pm_card_visa", 1001)).provider_payment_id, first.provider_payment_id);
        let found = TestProvider.look_up(&order("pm_card_visa", 1000)).now_or_never().unwrap();
        assert_eq!(found, first);
    }

    #[test]
    fn a_saved_card_answers_as_stripe_says() {
        for (method, result, code) in [
            ("pm_card_mastercard", Verdict::Succeeded, None),
            ("pm_card_chargeCustomerFail", Verdict::Failed, Some("card_declined")),
            ("pm_card_authenticationRequiredOnSetup", Verdict::Succeeded, None),
            ("pm_card_authenticationRequired", Verdict::RequiresAction, Some("authentication_required")),
            ("pm_card_visa_chargeDeclinedInsufficientFunds", Verdict::Failed, Some("insufficient_funds")),
            ("pm_card_none", Verdict::Failed, Some("resource_missing")),
        ] {
            let outcome = charge(&order(method, 1000));
            assert_eq!((outcome.result, outcome.code.as_deref()), (result, code), "{method}");
        }
        assert_eq!(charge(&order("pm_card_visa", AMOUNT_MINOR_MAX + 1)).result, Verdict::Failed);
    }

    #[test]
    fn every_test_card_can_be_typed() {
        for known in &CARDS {
            let cvc = if known.brand() == "amex" { "1234" } else { "123" };
            let card =
                Card::parse(&known.spaced(), "12/34", cvc, Expiry { year: 2026, month: 1 }).ok().unwrap();
            assert_eq!(recognize(&card).ok().unwrap().method, known.method);
            assert_eq!(TestCard::of_method(known.method).unwrap().number, known.number);
            assert!(card.number.ends_with(known.last4()));
            assert_ne!(known.brand(), "unknown");
        }
    }

    #[test]
    fn a_real_card_is_not_taken() {
        let card = Card::parse("4111111111111111", "12/34", "123", Expiry { year: 2026, month: 1 });
        assert_eq!(recognize(&card.ok().unwrap()).err(), Some(NO_TEST_CARD));
    }
}
