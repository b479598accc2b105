//! Stripe's test cards, and how each behaves at the provider `test`.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::card::brand;
use super::outcome::{Disputed, Report, Told};

/// A card that anybody may use, and how it behaves.
pub struct TestCard {
    pub number: &'static str,
    /// What stands for the card once it is saved.
    pub method: &'static str,
    pub meaning: &'static str,
    pub(super) present: Behaviour,
    pub(super) absent: Behaviour,
    /// How its holder disputes each payment, one after the other.
    disputes: &'static [Disputed],
}

#[derive(Clone, Copy)]
pub enum Behaviour {
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

const DECLINED: Decline = Decline { code: "card_declined", message: "Your card was declined." };
const NO_FUNDS: Decline =
    Decline { code: "insufficient_funds", message: "Your card has insufficient funds." };
pub const NOT_CONFIRMED: Decline = Decline {
    code: "authentication_required",
    message: "Your card was declined. This transaction requires authentication.",
};
/// When the payer refuses to confirm.
pub const REFUSED: Decline = Decline {
    code: "authentication_failed",
    message: "The payment was not confirmed. Try again, or use another card.",
};
pub const NO_TEST_CARD: Decline = Decline {
    code: "test_mode_live_card",
    message: "Your card was declined. Only test cards are taken here.",
};
pub const NO_SUCH_METHOD: Decline =
    Decline { code: "resource_missing", message: "There is no such saved card." };
pub const TOO_LARGE: Decline =
    Decline { code: "amount_too_large", message: "The amount is too large for a card." };

const fn pays(number: &'static str, method: &'static str) -> TestCard {
    let does = Behaviour::Approve;
    TestCard { number, method, meaning: "Pays", present: does, absent: does, disputes: &[] }
}

/// One whose holder asks for the money back at once.
const fn disputes(
    number: &'static str,
    method: &'static str,
    meaning: &'static str,
    disputes: &'static [Disputed],
) -> TestCard {
    let does = Behaviour::Approve;
    TestCard { number, method, meaning, present: does, absent: does, disputes }
}

const fn declines(number: &'static str, method: &'static str, decline: Decline) -> TestCard {
    let does = Behaviour::Decline(decline);
    TestCard { number, method, meaning: decline.message, present: does, absent: does, disputes: &[] }
}

/// One that asks the payer to confirm.
const fn asks(
    number: &'static str,
    method: &'static str,
    meaning: &'static str,
    confirmed: Option<Decline>,
    absent: Behaviour,
) -> TestCard {
    TestCard { number, method, meaning, present: Behaviour::Authenticate(confirmed), absent, disputes: &[] }
}

/// Stripe's test cards, and two that end a dispute.
pub static CARDS: [TestCard; 34] = [
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
        disputes: &[],
    },
    disputes(
        "4000000000000259",
        "pm_card_createDispute",
        "Pays, and the payment is disputed",
        &[Disputed::Open],
    ),
    disputes(
        "4000000000001976",
        "pm_card_createDisputeInquiry",
        "Pays, and the bank asks what for",
        &[Disputed::Inquiry],
    ),
    disputes(
        "4000000000007510",
        "pm_card_createDisputeWon",
        "Pays, and a dispute is won",
        &[Disputed::Open, Disputed::Won],
    ),
    disputes(
        "4000000000007528",
        "pm_card_createDisputeLost",
        "Pays, and a dispute is lost",
        &[Disputed::Open, Disputed::Lost],
    ),
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

    /// What is told of a payment of this environment that was made with it, after it succeeded.
    pub fn afterwards(&self, payment_id: &str, environment: &str, amount_minor: i64) -> Vec<Report> {
        let report = |status: &Disputed| Report {
            payment_id: Some(payment_id.to_owned()),
            provider: "test".to_owned(),
            environment: environment.to_owned(),
            result: Told::Disputed,
            dispute_id: Some(format!("dp_test_{}", digest(&[payment_id]))),
            dispute_status: Some(*status),
            disputed_minor: Some(amount_minor),
            code: Some("fraudulent".to_owned()),
            ..Report::default()
        };
        self.disputes.iter().map(report).collect()
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
/// A few characters that stand for all of these.
pub fn digest(parts: &[&str]) -> String {
    const BYTES: usize = 12;
    HEXLOWER.encode(&Sha256::digest(parts.join("\n").as_bytes())[..BYTES])
}
