//! Why a payment was not made.

use schemars::JsonSchema;
use serde::Serialize;

const TEXT_LENGTH_MAX: usize = 500;

/// Why money was not taken, in the provider's words where it had some.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "PaymentFault")]
pub struct PaymentFault {
    /// A word for programs, such as `card_declined`.
    pub code: String,
    /// For the payer.
    pub message: String,
}

impl PaymentFault {
    /// What a provider said; nothing is a plain decline.
    pub fn reported(code: Option<&str>, message: Option<&str>) -> PaymentFault {
        let short = |text: &str| text.chars().take(TEXT_LENGTH_MAX).collect();
        PaymentFault {
            code: short(code.unwrap_or("declined")),
            message: short(message.unwrap_or("The payment was declined.")),
        }
    }
}
