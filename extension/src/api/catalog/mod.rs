//! The catalog: every operation of the system, one row each, a file for each surface. The gateway builds its
//! routes and its documents from it, and a new operation is one handler and one row.

mod billing;
mod event;
mod funding;
mod hold;
mod payment;
mod portal;
mod top_up;
mod wallet;
mod webhook;

use std::time::Duration;

use pgrx::JsonB;
use pgrx::prelude::*;

use crate::operation::definition::Operation;
use crate::operation::handler::OperationTerms;
use crate::operation::idempotency::Keeps;
use crate::operation::response_format::ResponseFormat;
use crate::tenant::caller::Scope;
use crate::value::pg_timestamp::PgTimestamp;

const OK: ResponseFormat = ResponseFormat::Credyt { success_status: 200 };
const CREATED: ResponseFormat = ResponseFormat::Credyt { success_status: 201 };
const NO_CONTENT: ResponseFormat = ResponseFormat::Credyt { success_status: 204 };

const WALLETS: OperationTerms = OperationTerms { scope: Scope::Wallets, keeps: Keeps::Nothing };
/// For what has no id of the caller's own by which a repetition would be known.
const WALLETS_KEYED: OperationTerms = OperationTerms { scope: Scope::Wallets, keeps: Keeps::ADay };

/// Operations that belong together, as the documents group them.
pub struct Section {
    name: &'static str,
    description: &'static str,
    operations: &'static [Operation],
}

/// Every operation, in the order in which the documents list them.
static SECTIONS: &[Section] = &[
    Section {
        name: "Top-ups",
        description: "Spend your wallet at your wholesale price: send AI credit to a recipient, or as a voucher.",
        operations: top_up::OPERATIONS,
    },
    Section {
        name: "Webhooks",
        description: "Endpoints of yours that are told what happens, and the log of what they were told.",
        operations: webhook::OPERATIONS,
    },
    Section {
        name: "Customers and wallets",
        description: "Your customers, the assets that they hold, and what is added to and taken from their wallets.",
        operations: wallet::OPERATIONS,
    },
    Section {
        name: "Holds and grants",
        description: "Credit that is set aside until it is known what a call costs, and credit that expires.",
        operations: hold::OPERATIONS,
    },
    Section {
        name: "Products and usage",
        description: "Prices, subscriptions to them, and the usage events that they price.",
        operations: billing::OPERATIONS,
    },
    Section {
        name: "Funding",
        description: "Your own wallet is filled: by hand, or by itself from a saved card.",
        operations: funding::OPERATIONS,
    },
    Section {
        name: "Payments",
        description: "Credit that your customers pay for.",
        operations: payment::OPERATIONS,
    },
    Section {
        name: "Billing portal",
        description: "A page on which a customer sees its credit, buys more and redeems vouchers.",
        operations: portal::OPERATIONS,
    },
];

/// Every operation, in the order in which the documents list them.
pub fn all() -> impl Iterator<Item = &'static Operation> {
    SECTIONS.iter().flat_map(|section| section.operations)
}

/// Where an example needs a time that is to come, it says `{soon}`.
const SOON: Duration = Duration::from_secs(30 * 86_400);

/// The text of an example, with a time where it wants one.
fn example(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.replace("{soon}", &PgTimestamp::now().plus(SOON).rfc3339()))
}

/// The operation of that name.
pub fn find(name: &str) -> Option<&'static Operation> {
    all().find(|operation| operation.name == name)
}

#[pg_extern(schema = "topup", stable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn operations() -> TableIterator<
    'static,
    (
        name!(name, String),
        name!(surface, String),
        name!(success_status, i16),
        name!(media_type, String),
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
        name!(section, String),
        name!(section_description, String),
        name!(refusal_statuses, Vec<i16>),
        name!(request_example, Option<String>),
        name!(reply_example, Option<String>),
        name!(batched, bool),
        name!(comment, String),
    ),
> {
    let rows = SECTIONS.iter().flat_map(|section| section.operations.iter().map(move |row| (section, row)));
    TableIterator::new(rows.map(|(section, operation)| {
        let own = |text: &str| text.to_owned();
        (
            own(operation.name),
            own(operation.surface.as_str()),
            operation.surface.success_status(),
            own(operation.surface.media_type()),
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
            own(section.name),
            own(section.description),
            operation.refusal_statuses(),
            example(operation.example.request),
            example(operation.example.reply),
            operation.batched,
            own(operation.comment),
        )
    }))
}
