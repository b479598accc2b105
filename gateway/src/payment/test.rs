//! The provider `test`: Stripe's test cards and no money. Each answer follows from the card, the amount and the
//! payment alone, so that the same question always has the same answer, from whichever gateway.

use data_encoding::HEXLOWER;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use sha2::{Digest, Sha256};

use super::card::{Card, brand};
use super::outcome::{Order, Outcome, Verdict};
use super::view::View;
use super::{PaymentProvider, Step};

/// As at Stripe.
const AMOUNT_MINOR_MAX: i64 = 99_999_999;

pub struct TestProvider;

/// A card that anybody may use, and how it behaves.
pub struct TestCard {
    pub number: &'static str,
    /// What stands for the card once it is saved.
    pub method: &'static str,
    pub meaning: &'static str,
    present: Behaviour,
    absent: Behaviour,
}

#[derive(Clone, Copy)]
enum Behaviour {
    Approve,
    /// The payer must confirm; then it is declined, or else approved.
    Authenticate(Option<Decline>),
    /// The payer would have to be there.
    NeedsPayer,
    Decline(Decline),
}

/// Why a card is refused, in Stripe's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decline {
    pub code: &'static str,
    pub message: &'static str,
}

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

const DECLINED: Decline = Decline { code: "card_declined", message: "Your card was declined." };
const NO_FUNDS: Decline =
    Decline { code: "insufficient_funds", message: "Your card has insufficient funds." };
const NOT_CONFIRMED: Decline = Decline {
    code: "authentication_required",
    message: "Your card was declined. This transaction requires authentication.",
};
/// When the payer refuses to confirm.
pub const REFUSED: Decline = Decline {
    code: "authentication_failed",
    message: "The payment was not confirmed. Try again, or use another card.",
};
const NO_TEST_CARD: Decline = Decline {
    code: "test_mode_live_card",
    message: "Your card was declined. Only test cards are taken here.",
};
const NO_SUCH_METHOD: Decline = Decline { code: "resource_missing", message: "There is no such saved card." };
const TOO_LARGE: Decline =
    Decline { code: "amount_too_large", message: "The amount is too large for a card." };

const fn pays(number: &'static str, method: &'static str) -> TestCard {
    let does = Behaviour::Approve;
    TestCard { number, method, meaning: "Pays", present: does, absent: does }
}

const fn declines(number: &'static str, method: &'static str, decline: Decline) -> TestCard {
    let does = Behaviour::Decline(decline);
    TestCard { number, method, meaning: decline.message, present: does, absent: does }
}

/// One that asks the payer to confirm.
const fn asks(
    number: &'static str,
    method: &'static str,
    meaning: &'static str,
    confirmed: Option<Decline>,
    absent: Behaviour,
) -> TestCard {
    TestCard { number, method, meaning, present: Behaviour::Authenticate(confirmed), absent }
}

/// Stripe's test cards.
pub static CARDS: [TestCard; 30] = [
    pays("4242424242424242", "pm_card_visa"),
    pays("4000056655665556", "pm_card_visa_debit"),
    pays("5555555555554444", "pm_card_mastercard"),
    pays("2223003122003222", "pm_card_mastercard_2series"),
    pays("5200828282828210", "pm_card_mastercard_debit"),
    pays("5105105105105100", "pm_card_mastercard_prepaid"),
    pays("378282246310005", "pm_card_amex"),
    pays("371449635398431", "pm_card_amex_2"),
    pays("6011111111111117", "pm_card_discover"),
    pays("6011000990139424", "pm_card_discover_2"),
    pays("3056930009020004", "pm_card_diners"),
    pays("3566002020360505", "pm_card_jcb"),
    pays("6200000000000005", "pm_card_unionpay"),
    asks(
        "4000002500003155",
        "pm_card_authenticationRequiredOnSetup",
        "Asks to confirm, but not later once it is saved",
        None,
        Behaviour::Approve,
    ),
    asks(
        "4000002760003184",
        "pm_card_authenticationRequired",
        "Asks to confirm, every time",
        None,
        Behaviour::NeedsPayer,
    ),
    asks(
        "4000000000003220",
        "pm_card_threeDSecure2Required",
        "Asks to confirm, every time",
        None,
        Behaviour::NeedsPayer,
    ),
    asks(
        "4000003800000446",
        "pm_card_authenticationRequiredSetupForOffSession",
        "Asks to confirm, but not later once it is saved",
        None,
        Behaviour::Approve,
    ),
    asks(
        "4000008400001629",
        "pm_card_threeDSecureRequiredChargeDeclined",
        "Asks to confirm, and is declined then",
        Some(DECLINED),
        Behaviour::Decline(DECLINED),
    ),
    asks(
        "4000008260003178",
        "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
        "Asks to confirm, and has insufficient funds then",
        Some(NO_FUNDS),
        Behaviour::Decline(NO_FUNDS),
    ),
    declines("4000000000000002", "pm_card_visa_chargeDeclined", DECLINED),
    declines("4000000000009995", "pm_card_visa_chargeDeclinedInsufficientFunds", NO_FUNDS),
    declines("4000000000009987", "pm_card_visa_chargeDeclinedLostCard", DECLINED),
    declines("4000000000009979", "pm_card_visa_chargeDeclinedStolenCard", DECLINED),
    declines(
        "4000000000000069",
        "pm_card_chargeDeclinedExpiredCard",
        Decline { code: "expired_card", message: "Your card has expired." },
    ),
    declines(
        "4000000000000127",
        "pm_card_chargeDeclinedIncorrectCvc",
        Decline { code: "incorrect_cvc", message: "Your card's security code is incorrect." },
    ),
    declines(
        "4000000000000119",
        "pm_card_chargeDeclinedProcessingError",
        Decline {
            code: "processing_error",
            message: "An error occurred while processing your card. Try again in a little bit.",
        },
    ),
    declines(
        "4000000000006975",
        "pm_card_visa_chargeDeclinedVelocityLimitExceeded",
        Decline {
            code: "card_declined",
            message: "Your card was declined for making repeated attempts too frequently.",
        },
    ),
    declines("4100000000000019", "pm_card_radarBlock", DECLINED),
    declines("4000000000004954", "pm_card_riskLevelHighest", DECLINED),
    TestCard {
        number: "4000000000000341",
        method: "pm_card_chargeCustomerFail",
        meaning: "Pays and can be saved, but is declined when it is charged later",
        present: Behaviour::Approve,
        absent: Behaviour::Decline(DECLINED),
    },
];

impl TestCard {
    pub fn of_method(method: &str) -> Option<&'static TestCard> {
        CARDS.iter().find(|card| card.method == method)
    }

    pub fn brand(&self) -> &'static str {
        brand(self.number)
    }

    pub fn last4(&self) -> &'static str {
        &self.number[self.number.len() - 4..]
    }

    /// The number in groups of four.
    pub fn spaced(&self) -> String {
        let groups: Vec<&str> = (0..self.number.len())
            .step_by(4)
            .map(|at| &self.number[at..(at + 4).min(self.number.len())])
            .collect();
        groups.join(" ")
    }
}

/// The test card with this number.
pub fn recognize(card: &Card) -> Result<&'static TestCard, Decline> {
    CARDS.iter().find(|known| known.number == card.number).ok_or(NO_TEST_CARD)
}

/// Pays on the checkout; `confirmed` is whether the payer has already been asked.
pub fn pay(card: &TestCard, view: &View, confirmed: bool) -> Answer {
    if view.amount_minor > AMOUNT_MINOR_MAX {
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
    let decline = match TestCard::of_method(method).map(|card| card.absent) {
        _ if order.amount_minor > AMOUNT_MINOR_MAX => TOO_LARGE,
        Some(Behaviour::Approve) => return Outcome::new(Verdict::Succeeded, Some(id)),
        Some(Behaviour::NeedsPayer | Behaviour::Authenticate(_)) => {
            let outcome = Outcome::new(Verdict::RequiresAction, Some(id));
            return outcome.because(NOT_CONFIRMED.code, NOT_CONFIRMED.message);
        }
        Some(Behaviour::Decline(decline)) => decline,
        None => NO_SUCH_METHOD,
    };
    Outcome::new(Verdict::Failed, Some(id)).because(decline.code, decline.message)
}

fn payment_id(key: &str, method: &str, amount_minor: i64) -> String {
    format!("pi_test_{}", digest(&[key, method, &amount_minor.to_string()]))
}

fn digest(parts: &[&str]) -> String {
    const BYTES: usize = 12;
    HEXLOWER.encode(&Sha256::digest(parts.join("\n").as_bytes())[..BYTES])
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
