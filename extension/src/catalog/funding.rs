//! The funding surface, in Cloudflare's shapes.

use crate::caller::Scope;
use crate::funding::{config, credit_balance, invoice, spending_limit, top_up, usage_history};
use crate::handler::Terms;
use crate::idempotency::Keeps;
use crate::operation::{Operation, of};
use crate::surface::Surface;

const FUNDING: Terms = Terms { scope: Scope::Funding, keeps: Keeps::Nothing };
const FUNDING_KEYED: Terms = Terms { scope: Scope::Funding, keeps: Keeps::ADay };

/// The path of an operation below that of the account's billing.
macro_rules! billing {
    ($rest:literal) => {
        concat!("/client/v4/accounts/{account_id}/ai-gateway/billing", $rest)
    };
}

pub static OPERATIONS: &[Operation] = &[
    Operation {
        http: Some(("POST", billing!("/topup"))),
        surface: Surface::Cloudflare,
        terms: FUNDING_KEYED,
        summary: "Top up the wallet",
        description: "Charges the saved card; where there is none, opens a checkout, which can save one. Credited when the \
                      provider says paid, once.",
        ..of::<top_up::TopUp>()
    },
    Operation {
        http: Some(("POST", billing!("/topup/status"))),
        surface: Surface::Cloudflare,
        summary: "Look up a top-up of the wallet",
        description: "pending or completed; one that failed is a refusal that says why.",
        ..of::<top_up::TopUpStatus>()
    },
    Operation {
        http: Some(("GET", billing!("/topup/config"))),
        surface: Surface::Cloudflare,
        summary: "Look up the wallet's auto top-up",
        description: "Null where none is set.",
        ..of::<config::Get>()
    },
    Operation {
        http: Some(("POST", billing!("/topup/config"))),
        surface: Surface::Cloudflare,
        terms: FUNDING,
        summary: "Set the wallet's auto top-up",
        description: "Charges the saved card when the balance falls below the threshold. Arms it anew after declines.",
        ..of::<config::Set>()
    },
    Operation {
        http: Some(("DELETE", billing!("/topup/config"))),
        surface: Surface::Cloudflare,
        terms: FUNDING,
        summary: "Remove the wallet's auto top-up",
        description: "Twice is fine.",
        ..of::<config::Delete>()
    },
    Operation {
        http: Some(("GET", billing!("/credit-balance"))),
        surface: Surface::Cloudflare,
        summary: "The wallet's balance",
        description: "With the saved card and the auto top-up.",
        ..of::<credit_balance::CreditBalance>()
    },
    Operation {
        http: Some(("GET", billing!("/invoice-history"))),
        surface: Surface::Cloudflare,
        summary: "List invoices",
        description: "Top-ups of the wallet, newest first.",
        ..of::<invoice::InvoiceHistory>()
    },
    Operation {
        http: Some(("GET", billing!("/invoice-preview"))),
        surface: Surface::Cloudflare,
        summary: "Preview this month's invoice",
        description: "What the sends of this month have cost, a line for each platform; all of it is paid from the balance.",
        ..of::<invoice::InvoicePreview>()
    },
    Operation {
        http: Some(("GET", billing!("/usage-history"))),
        surface: Surface::Cloudflare,
        summary: "Usage over time",
        description: "What sends have cost in each day or hour (UTC), at most 1,000 windows.",
        ..of::<usage_history::UsageHistory>()
    },
    Operation {
        http: Some(("GET", billing!("/spending-limit"))),
        surface: Surface::Cloudflare,
        summary: "Look up the spending limit",
        description: "Null where none is set.",
        ..of::<spending_limit::Get>()
    },
    Operation {
        http: Some(("POST", billing!("/spending-limit"))),
        surface: Surface::Cloudflare,
        terms: FUNDING,
        summary: "Set the spending limit",
        description: "What all keys of this environment together may spend on sends; beyond it they are refused with 2007.",
        ..of::<spending_limit::Set>()
    },
    Operation {
        http: Some(("DELETE", billing!("/spending-limit"))),
        surface: Surface::Cloudflare,
        terms: FUNDING,
        summary: "Remove the spending limit",
        description: "Twice is fine.",
        ..of::<spending_limit::Delete>()
    },
];
