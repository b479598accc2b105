//! The funding surface, in Cloudflare's shapes.

use crate::funding::{
    config, credit_balance, invoice, payment_method, spending_limit, top_up, usage_history,
};
use crate::operation::definition::{Example, Operation, of};
use crate::operation::handler::OperationTerms;
use crate::operation::idempotency::Keeps;
use crate::operation::response_format::ResponseFormat;
use crate::tenant::caller::Scope;

const FUNDING: OperationTerms = OperationTerms { scope: Scope::Funding, keeps: Keeps::Nothing };
const FUNDING_KEYED: OperationTerms = OperationTerms { scope: Scope::Funding, keeps: Keeps::ADay };

/// The path of an operation below that of the account's billing.
macro_rules! billing {
    ($rest:literal) => {
        concat!("/client/v4/accounts/{account_id}/ai-gateway/billing", $rest)
    };
}

pub static OPERATIONS: &[Operation] = &[
    Operation {
        http: Some(("POST", billing!("/topup"))),
        surface: ResponseFormat::Cloudflare,
        terms: FUNDING_KEYED,
        summary: "Top up the wallet",
        description: "Charges the saved card; where there is none, or only its holder can use it again, opens a checkout, \
                      which can save one. Credited when the provider says paid, once.",
        comment: "Fills the wallet with amount_cents (1,000 to 99,999,999 US cents): charges the saved card, \
                  or opens a checkout (checkout_url) where there is none or only its holder can use it again. \
                  Returns the envelope with payment_intent_id (in_…). Credited when the provider says paid.",
        refuses: &[404, 422],
        example: Example {
            request: r#"{"account_id":"acct_01kaj6s0hmfnttn2awnn5jfzv1","amount":2500}"#,
            reply: r#"{"result":{"payment_intent_id":"in_01kaj6s0hmfnttn2awnn5jfzw4",
                "client_secret":"IBOZ8GrEmMR6Evv6BsXc5dL6hW7RaYc6U9RZF6FxIo2",
                "checkout_url":"https://topup.example/checkout/IBOZ8GrEmMR6Evv6BsXc5dL6hW7RaYc6U9RZF6FxIo2",
                "onboarding":false,"brand":null,"last4":null},"success":true,"errors":[],"messages":[]}"#,
        },
        ..of::<top_up::TopUp>()
    },
    Operation {
        http: Some(("POST", billing!("/topup/status"))),
        surface: ResponseFormat::Cloudflare,
        summary: "Look up a top-up of the wallet",
        description: "pending or completed; one that failed is a refusal that says why.",
        comment: "Whether a top-up of the wallet (in_…) is pending or completed; 2000 with the reason if it \
                  failed.",
        refuses: &[402, 404],
        example: Example {
            request: r#"{"account_id":"acct_01kaj6s0hmfnttn2awnn5jfzv1",
                "payment_intent_id":"in_01kaj6s0hmfnttn2awnn5jfzw4"}"#,
            reply: r#"{"result":{"payment_intent_id":"in_01kaj6s0hmfnttn2awnn5jfzw4","status":"pending"},
                "success":true,"errors":[],"messages":[]}"#,
        },
        ..of::<top_up::TopUpStatus>()
    },
    Operation {
        http: Some(("GET", billing!("/topup/config"))),
        surface: ResponseFormat::Cloudflare,
        summary: "Look up the wallet's auto top-up",
        description: "Null where none is set.",
        comment: "The wallet's auto top-up in US cents, all null where none is set.",
        refuses: &[404],
        example: Example {
            request: r#"{"account_id":"acct_01kaj6s0hmfnttn2awnn5jfzv1"}"#,
            reply: r#"{"result":{"amount":2500,"threshold":500,"disabledReason":null,"error":null,
                "lastFailedAt":null},"success":true,"errors":[],"messages":[]}"#,
        },
        ..of::<config::Get>()
    },
    Operation {
        http: Some(("POST", billing!("/topup/config"))),
        surface: ResponseFormat::Cloudflare,
        terms: FUNDING,
        summary: "Set the wallet's auto top-up",
        description: "Charges the saved card when the balance falls below the threshold. Arms it anew after declines.",
        comment: "Has the saved card charged amount_cents (at least 1,000) when the wallet is below \
                  threshold_cents (at least 500). Arms it anew.",
        refuses: &[404, 409, 422],
        example: Example {
            request: r#"{"account_id":"acct_01kaj6s0hmfnttn2awnn5jfzv1","amount":2500,"threshold":500}"#,
            reply: r#"{"result":{"amount":2500,"threshold":500,"disabledReason":null,"error":null,
                "lastFailedAt":null},"success":true,"errors":[],"messages":[]}"#,
        },
        ..of::<config::Set>()
    },
    Operation {
        http: Some(("DELETE", billing!("/topup/config"))),
        surface: ResponseFormat::Cloudflare,
        terms: FUNDING,
        summary: "Remove the wallet's auto top-up",
        description: "Twice is fine.",
        comment: "Ends the wallet's auto top-up; twice is fine.",
        refuses: &[404],
        example: Example {
            request: r#"{"account_id":"acct_01kaj6s0hmfnttn2awnn5jfzv1"}"#,
            reply: r#"{"result":{},"success":true,"errors":[],"messages":[]}"#,
        },
        ..of::<config::Delete>()
    },
    Operation {
        http: Some(("GET", billing!("/credit-balance"))),
        surface: ResponseFormat::Cloudflare,
        summary: "The wallet's balance",
        description: "With the saved card and the auto top-up.",
        comment: "The wallet in US cents, with the saved card and the auto top-up.",
        refuses: &[404],
        example: Example {
            request: r#"{"account_id":"acct_01kaj6s0hmfnttn2awnn5jfzv1"}"#,
            reply: r#"{"result":{"balance":97000,"has_default_payment_method":false,"payment_method":null,
                "topup_config":{"amount":2500,"threshold":500,"disabledReason":null,"error":null,"lastFailedAt":null},
                "first_topup_success":false},"success":true,"errors":[],"messages":[]}"#,
        },
        ..of::<credit_balance::CreditBalance>()
    },
    Operation {
        http: Some(("GET", billing!("/payment-methods"))),
        surface: ResponseFormat::Cloudflare,
        summary: "List saved payment methods",
        description: "The card that top-ups and the auto top-up charge, if one is saved.",
        comment: "The saved card that top-ups of the wallet and its auto top-up charge, by the provider's id; \
                  none or one.",
        refuses: &[404],
        example: Example {
            request: r#"{"account_id":"acct_01kaj6s0hmfnttn2awnn5jfzv1"}"#,
            reply: r#"{"result":{"payment_methods":[{"id":"pm_card_visa","type":"card","brand":"visa","last4":"4242",
                "exp_month":12,"exp_year":2034,"is_default":true,"needs_attention":false}]},
                "success":true,"errors":[],"messages":[]}"#,
        },
        ..of::<payment_method::List>()
    },
    Operation {
        http: Some(("POST", billing!("/payment-methods"))),
        surface: ResponseFormat::Cloudflare,
        terms: FUNDING_KEYED,
        summary: "Replace the saved payment method",
        description: "Opens a checkout of a top-up. The card that is saved there takes the place of the one before.",
        comment: "Opens a checkout for amount_cents (checkout_url); the card that is saved there takes the \
                  place of the saved one. Returns the envelope as funding_top_up.",
        refuses: &[404, 422],
        example: Example {
            request: r#"{"account_id":"acct_01kaj6s0hmfnttn2awnn5jfzv1","amount":2000}"#,
            reply: r#"{"result":{"payment_intent_id":"in_01kaj6s0hmfnttn2awnn5jfzw5",
                "client_secret":"IBOZ8GrEmMR6Evv6BsXc5dL6hW7RaYc6U9RZF6FxIo3",
                "checkout_url":"https://topup.example/checkout/IBOZ8GrEmMR6Evv6BsXc5dL6hW7RaYc6U9RZF6FxIo3",
                "onboarding":true,"brand":"visa","last4":"4242"},"success":true,"errors":[],"messages":[]}"#,
        },
        ..of::<payment_method::Replace>()
    },
    Operation {
        http: Some(("DELETE", billing!("/payment-methods/{payment_method_id}"))),
        surface: ResponseFormat::Cloudflare,
        terms: FUNDING,
        summary: "Remove a saved payment method",
        description: "Neither top-ups nor the auto top-up charge it any more; a charge under way goes on. Twice is fine.",
        comment: "Forgets the saved card of that id (payment_method_id of the list); twice is fine. A charge \
                  under way goes on.",
        refuses: &[404],
        example: Example {
            request: r#"{"account_id":"acct_01kaj6s0hmfnttn2awnn5jfzv1","payment_method_id":"pm_card_visa"}"#,
            reply: r#"{"result":{},"success":true,"errors":[],"messages":[]}"#,
        },
        ..of::<payment_method::Remove>()
    },
    Operation {
        http: Some(("GET", billing!("/invoice-history"))),
        surface: ResponseFormat::Cloudflare,
        summary: "List invoices",
        description: "Top-ups of the wallet, newest first.",
        comment: "Top-ups of the wallet as invoices, newest first: invoice_type auto, manual or all; per_page \
                  1 to 100 (20). US cents.",
        refuses: &[404],
        example: Example {
            request: r#"{"account_id":"acct_01kaj6s0hmfnttn2awnn5jfzv1","type":"all","per_page":20}"#,
            reply: r#"{"result":{"invoices":[{"id":"in_01kaj6s0hmfnttn2awnn5jfzw4","amount_due":2500,"amount_paid":0,
                "amount_remaining":2500,"currency":"usd","attempted":false,"attempt_count":0,"created":1781352000,
                "description":"Wallet top-up","invoice_origin":"manual","status":"open"}],"pagination":{"page":1,
                "per_page":20,"total_count":1,"has_more":false}},"success":true,"errors":[],"messages":[]}"#,
        },
        ..of::<invoice::InvoiceHistory>()
    },
    Operation {
        http: Some(("GET", billing!("/invoice-preview"))),
        surface: ResponseFormat::Cloudflare,
        summary: "Preview this month's invoice",
        description: "What the sends of this month have cost, a line for each platform; all of it is paid from the balance.",
        comment: "What the sends of this month (UTC) have cost, a line for each platform, in US cents.",
        refuses: &[404],
        example: Example {
            request: r#"{"account_id":"acct_01kaj6s0hmfnttn2awnn5jfzv1"}"#,
            reply: r#"{"result":{"id":"preview_2026-06","amount_due":3000,"amount_paid":3000,"amount_remaining":0,
                "currency":"usd","invoice_lines":[{"amount":3000,"currency":"usd","description":"claude","period":{
                "start":1780272000,"end":1782864000},"pricing":{"unit_amount_decimal":null},"quantity":3,
                "pretax_credit_amounts":[{"amount":3000,"type":"credit_balance_transaction"}]}],
                "period_start":1780272000,"period_end":1782864000,"status":"draft"},"success":true,"errors":[],
                "messages":[]}"#,
        },
        ..of::<invoice::InvoicePreview>()
    },
    Operation {
        http: Some(("GET", billing!("/usage-history"))),
        surface: ResponseFormat::Cloudflare,
        summary: "Usage over time",
        description: "What sends have cost in each day or hour (UTC), at most 1,000 windows.",
        comment: "What sends have cost in each window (day or hour, UTC) from start_time until end_time (now), \
                  in US cents; at most 1,000 windows.",
        refuses: &[404],
        example: Example {
            request: r#"{"account_id":"acct_01kaj6s0hmfnttn2awnn5jfzv1","value_grouping_window":"day",
                "start_time":1781308800000,"end_time":1781395200000}"#,
            reply: r#"{"result":{"history":[{"id":"day_1781308800000","aggregated_value":0,"start_time":1781308800000,
                "end_time":1781395200000}]},"success":true,"errors":[],"messages":[]}"#,
        },
        ..of::<usage_history::UsageHistory>()
    },
    Operation {
        http: Some(("GET", billing!("/spending-limit"))),
        surface: ResponseFormat::Cloudflare,
        summary: "Look up the spending limit",
        description: "Null where none is set.",
        comment: "What all keys of the environment together may spend on sends in a time; null where there is \
                  no limit.",
        refuses: &[404],
        example: Example {
            request: r#"{"account_id":"acct_01kaj6s0hmfnttn2awnn5jfzv1"}"#,
            reply: r#"{"result":{"config":{"amount":1000000,"duration":"monthly","strategy":"fixed"},"enabled":true},
                "success":true,"errors":[],"messages":[]}"#,
        },
        ..of::<spending_limit::Get>()
    },
    Operation {
        http: Some(("POST", billing!("/spending-limit"))),
        surface: ResponseFormat::Cloudflare,
        terms: FUNDING,
        summary: "Set the spending limit",
        description: "What all keys of this environment together may spend on sends; beyond it they are refused with 2007.",
        comment: "Limits what all keys of the environment together spend on sends to amount_cents (at least \
                  100): duration daily, weekly or monthly; strategy fixed (by the UTC calendar) or sliding. \
                  Beyond it a send is 2007.",
        refuses: &[404, 422],
        example: Example {
            request: r#"{"account_id":"acct_01kaj6s0hmfnttn2awnn5jfzv1","amount":1000000,"duration":"monthly",
                "strategy":"fixed"}"#,
            reply: r#"{"result":{"config":{"amount":1000000,"duration":"monthly","strategy":"fixed"},"enabled":true},
                "success":true,"errors":[],"messages":[]}"#,
        },
        ..of::<spending_limit::Set>()
    },
    Operation {
        http: Some(("DELETE", billing!("/spending-limit"))),
        surface: ResponseFormat::Cloudflare,
        terms: FUNDING,
        summary: "Remove the spending limit",
        description: "Twice is fine.",
        comment: "Ends the spending limit; twice is fine.",
        refuses: &[404],
        example: Example {
            request: r#"{"account_id":"acct_01kaj6s0hmfnttn2awnn5jfzv1"}"#,
            reply: r#"{"result":{},"success":true,"errors":[],"messages":[]}"#,
        },
        ..of::<spending_limit::Delete>()
    },
];
