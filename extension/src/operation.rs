//! The catalog: every operation of the system, one row each. The gateway builds its routes and its
//! documents from it, and a new operation is one handler and one row.

use pgrx::JsonB;
use pgrx::prelude::*;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::caller::{Caller, Scope};
use crate::handler::{self, Handler, Terms};
use crate::idempotency::Keeps;
use crate::reply::{Failure, Rendered};
use crate::tool::{self, Tool};
use crate::{adjust, balance, cancel, delivery, fulfil, history, ping, redeem, send, validate, webhook};

/// A row of the catalog.
pub struct Operation {
    pub name: &'static str,
    /// Method and path; names in braces are fields of the request.
    pub http: Option<(&'static str, &'static str)>,
    pub terms: Terms,
    /// A field with a URL whose host the gateway resolves beforehand, into `resolved_addresses`.
    pub resolves: Option<&'static str>,
    /// The operation that tells the result of one that is answered with 202 first.
    pub completes_with: Option<&'static str>,
    pub mcp_tool: Option<&'static Tool>,
    pub summary: &'static str,
    pub description: &'static str,
    request_schema: fn() -> Value,
    reply_schema: fn() -> Value,
    pub run: fn(&Caller, Terms, &str, Option<&str>) -> Result<Rendered, Failure>,
}

const fn of<H: Handler>() -> Operation {
    Operation {
        name: H::NAME,
        http: None,
        terms: Terms { scope: Scope::Read, keeps: Keeps::Nothing },
        resolves: None,
        completes_with: None,
        mcp_tool: None,
        summary: "",
        description: "",
        request_schema: schema_of::<H::Request>,
        reply_schema: schema_of::<H::Data>,
        run: handler::run::<H>,
    }
}

fn schema_of<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}

/// The operation of that name.
pub fn find(name: &str) -> Option<&'static Operation> {
    CATALOG.iter().find(|operation| operation.name == name)
}

/// Every operation, in the order in which the documents list them.
pub static CATALOG: &[Operation] = &[
    Operation {
        http: Some(("POST", "/api/public/v1/topup/send")),
        terms: Terms { scope: Scope::Send, keeps: Keeps::ForGood },
        mcp_tool: Some(&tool::SEND_TOPUP),
        summary: "Send a top-up",
        description: "Debits the wallet at the key's wholesale price and delivers AI credit: to a recipient's wallet, or as a \
                      voucher where no recipient is named. A platform with deferred delivery answers 1002 (pending).",
        ..of::<send::Send>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/topup/validate")),
        terms: Terms { scope: Scope::Send, keeps: Keeps::Nothing },
        summary: "Dry-run a payload",
        description: "Answers what send would: the price and the balance after it, or the very refusal. Writes nothing.",
        ..of::<validate::Validate>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/topup/cancel")),
        terms: Terms { scope: Scope::Cancel, keeps: Keeps::ADay },
        mcp_tool: Some(&tool::CANCEL_TOPUP),
        summary: "Cancel a pending top-up",
        description: "Returns the cost to the wallet and takes it out of the key's cap. Cancelling twice is fine.",
        ..of::<cancel::Cancel>()
    },
    Operation {
        http: Some(("GET", "/api/public/v1/topup/status/{transaction_id}")),
        mcp_tool: Some(&tool::GET_STATUS),
        summary: "Look up a top-up",
        description: "The top-up as it stands now; its code follows its status.",
        ..of::<history::Status>()
    },
    Operation {
        http: Some(("GET", "/api/public/v1/topup/balance")),
        mcp_tool: Some(&tool::CHECK_BALANCE),
        summary: "Wallet and key cap snapshot",
        description: "The wallet's balance, the key's tier and what is left of its cap in the current period.",
        ..of::<balance::Balance>()
    },
    Operation {
        http: Some(("GET", "/api/public/v1/topup/history")),
        summary: "Recent top-ups",
        description: "Newest first, in pages of up to 50; pass next_cursor as cursor for the next page.",
        ..of::<history::History>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/topup/redeem")),
        terms: Terms { scope: Scope::Redeem, keeps: Keeps::ADay },
        summary: "Redeem a voucher",
        description: "Credits the bearer of an unredeemed voucher, named by customer_id or by email.",
        ..of::<redeem::Redeem>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/topup/deliver")),
        terms: Terms { scope: Scope::Fulfil, keeps: Keeps::ADay },
        summary: "End a pending top-up: delivered",
        description: "For platforms with deferred delivery. Takes the platform's own voucher code, or makes one.",
        ..of::<fulfil::Deliver>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/topup/fail")),
        terms: Terms { scope: Scope::Fulfil, keeps: Keeps::ADay },
        summary: "End a pending top-up: failed",
        description: "For platforms with deferred delivery. The cost goes back to the wallet and out of the key's cap.",
        ..of::<fulfil::Fail>()
    },
    Operation {
        terms: Terms { scope: Scope::Wallets, keeps: Keeps::Nothing },
        summary: "Adjust a wallet",
        description: "Adds to or takes from a customer's account, once for each transaction_id.",
        ..of::<adjust::Adjust>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/webhooks/register")),
        terms: Terms { scope: Scope::Webhooks, keeps: Keeps::ADay },
        resolves: Some("url"),
        summary: "Register a webhook URL",
        description: "The reply is the only place where the signing secret is shown.",
        ..of::<webhook::Register>()
    },
    Operation {
        http: Some(("GET", "/api/public/v1/webhooks")),
        terms: Terms { scope: Scope::Webhooks, keeps: Keeps::Nothing },
        summary: "List webhooks",
        description: "Every endpoint of this environment, without secrets.",
        ..of::<webhook::List>()
    },
    Operation {
        http: Some(("DELETE", "/api/public/v1/webhooks/{id}")),
        terms: Terms { scope: Scope::Webhooks, keeps: Keeps::ADay },
        summary: "Delete a webhook",
        description: "Nothing more is delivered to it; its log stays.",
        ..of::<webhook::Delete>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/webhooks/{id}/rotate")),
        terms: Terms { scope: Scope::Webhooks, keeps: Keeps::ADay },
        summary: "Rotate a signing secret",
        description: "Gives a new secret; the old one goes on signing beside it until the overlap ends.",
        ..of::<webhook::Rotate>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/webhooks/{id}/test")),
        terms: Terms { scope: Scope::Webhooks, keeps: Keeps::ADay },
        completes_with: Some("webhook_test_result"),
        summary: "Send a ping now",
        description: "Delivers a ping and waits for it: 1000, or 5001 with what the receiver said.",
        ..of::<ping::Test>()
    },
    Operation {
        terms: Terms { scope: Scope::Webhooks, keeps: Keeps::Nothing },
        summary: "The result of a ping",
        description: "1002 while the ping is under way, then 1000 or 5001.",
        ..of::<ping::TestResult>()
    },
    Operation {
        http: Some(("GET", "/api/public/v1/webhooks/deliveries")),
        terms: Terms { scope: Scope::Webhooks, keeps: Keeps::Nothing },
        summary: "The delivery log",
        description: "Deliveries newest first, each with all its attempts.",
        ..of::<delivery::Log>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/webhooks/deliveries/{id}/replay")),
        terms: Terms { scope: Scope::Webhooks, keeps: Keeps::ADay },
        summary: "Replay a delivery",
        description: "Attempts it again now, with the same event id and body.",
        ..of::<delivery::Replay>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/webhooks/{id}/replay")),
        terms: Terms { scope: Scope::Webhooks, keeps: Keeps::ADay },
        summary: "Replay a range of deliveries",
        description: "Attempts again what was to be delivered to this endpoint since a time.",
        ..of::<delivery::ReplayRange>()
    },
];

#[pg_extern(schema = "topup", stable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn operations() -> TableIterator<
    'static,
    (
        name!(name, String),
        name!(surface, String),
        name!(method, Option<String>),
        name!(path, Option<String>),
        name!(scope, String),
        name!(idempotent, bool),
        name!(resolves, Option<String>),
        name!(completes_with, Option<String>),
        name!(mcp_tool, Option<JsonB>),
        name!(summary, String),
        name!(description, String),
        name!(request_schema, JsonB),
        name!(reply_schema, JsonB),
    ),
> {
    TableIterator::new(CATALOG.iter().map(|operation| {
        let own = |text: &str| text.to_owned();
        (
            own(operation.name),
            own("envelope"),
            operation.http.map(|(method, _)| own(method)),
            operation.http.map(|(_, path)| own(path)),
            own(operation.terms.scope.as_str()),
            operation.terms.keeps != Keeps::Nothing,
            operation.resolves.map(own),
            operation.completes_with.map(own),
            operation.mcp_tool.map(|tool| JsonB(tool.to_json())),
            own(operation.summary),
            own(operation.description),
            JsonB((operation.request_schema)()),
            JsonB((operation.reply_schema)()),
        )
    }))
}
