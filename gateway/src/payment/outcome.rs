//! What the worker asks of a provider, and what a provider tells, in the words of the SQL functions.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One thing to do at a provider, as `topup.claim_payments` wants it.
#[derive(Clone, Debug, Deserialize)]
pub struct Order {
    pub action: Action,
    pub provider: String,
    pub environment: String,
    pub idempotency_key: String,
    pub payment_id: String,
    pub amount_minor: i64,
    pub currency: String,
    pub description: Option<String>,
    pub provider_customer_id: Option<String>,
    pub provider_method_id: Option<String>,
    /// The provider's id of the payment, or of its checkout.
    pub provider_payment_id: Option<String>,
    pub refund_id: Option<Uuid>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Charge,
    LookUp,
    Refund,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    pub result: Verdict,
    pub provider_payment_id: Option<String>,
    /// What was taken, where the provider says so.
    pub amount_minor: Option<i64>,
    pub currency: Option<String>,
    pub code: Option<String>,
    pub message: Option<String>,
    /// All that is known of a checkout that a look-up found paid: the card is in it.
    #[serde(skip)]
    pub report: Option<Box<Report>>,
    /// What becomes of it right afterwards, where the test provider plays that.
    #[serde(skip)]
    pub afterwards: Vec<Report>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Succeeded,
    /// The provider said no.
    Failed,
    /// The payer would have to be there.
    RequiresAction,
    /// No answer, or not yet.
    Unknown,
    Refunded,
}

impl Outcome {
    pub fn new(result: Verdict, provider_payment_id: Option<String>) -> Self {
        let (amount_minor, currency, code, message) = (None, None, None, None);
        let (report, afterwards) = (None, Vec::new());
        Outcome { result, provider_payment_id, amount_minor, currency, code, message, report, afterwards }
    }

    /// The same with the provider's reason.
    pub fn because(mut self, code: &str, message: &str) -> Self {
        (self.code, self.message) = (Some(code.to_owned()), Some(message.to_owned()));
        self
    }

    pub fn unknown(code: &str, message: &str) -> Self {
        Outcome::new(Verdict::Unknown, None).because(code, message)
    }
}

/// An outcome with the claim that it answers, as `topup.settle_payments` wants it.
#[derive(Clone, Debug, Serialize)]
pub struct Settlement {
    pub tenant_id: Uuid,
    pub payment_id: Uuid,
    pub fence: i64,
    pub refund_id: Option<Uuid>,
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What happened on a checkout or was told by the provider, as `topup.report_payment` wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub payment_id: Option<String>,
    pub provider_payment_id: Option<String>,
    pub provider: String,
    pub environment: String,
    pub result: Told,
    pub amount_minor: Option<i64>,
    pub currency: Option<String>,
    pub refunded_minor: Option<i64>,
    pub refund_id: Option<String>,
    pub dispute_id: Option<String>,
    pub dispute_status: Option<Disputed>,
    pub disputed_minor: Option<i64>,
    pub save_card: bool,
    #[serde(flatten)]
    pub card: CardFacts,
    pub code: Option<String>,
    pub message: Option<String>,
    pub event_id: Option<String>,
}

/// What is kept of a card. Its number and its security code are not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CardFacts {
    pub provider_customer_id: Option<String>,
    pub provider_method_id: Option<String>,
    pub brand: Option<String>,
    pub last4: Option<String>,
    pub exp_month: Option<u8>,
    pub exp_year: Option<u16>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    Succeeded,
    #[default]
    Declined,
    Canceled,
    Expired,
    Refunded,
    RefundFailed,
    Disputed,
}

/// How a dispute stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Disputed {
    /// The bank asks, and has taken no money.
    Inquiry,
    Open,
    Won,
    Lost,
}
