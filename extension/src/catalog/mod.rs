//! The catalog: every operation of the system, one row each, a file for each surface. The gateway builds its
//! routes and its documents from it, and a new operation is one handler and one row.

mod billing;
mod funding;
mod hold;
mod payment;
mod portal;
mod top_up;
mod wallet;
mod webhook;

use pgrx::JsonB;
use pgrx::prelude::*;

use crate::caller::Scope;
use crate::handler::Terms;
use crate::idempotency::Keeps;
use crate::operation::Operation;
use crate::surface::Surface;

const OK: Surface = Surface::Credyt { success_status: 200 };
const CREATED: Surface = Surface::Credyt { success_status: 201 };
const NO_CONTENT: Surface = Surface::Credyt { success_status: 204 };

const WALLETS: Terms = Terms { scope: Scope::Wallets, keeps: Keeps::Nothing };
/// For what has no id of the caller's own by which a repetition would be known.
const WALLETS_KEYED: Terms = Terms { scope: Scope::Wallets, keeps: Keeps::ADay };

/// Every operation, in the order in which the documents list them.
pub fn all() -> impl Iterator<Item = &'static Operation> {
    let surfaces = [
        top_up::OPERATIONS,
        webhook::OPERATIONS,
        wallet::OPERATIONS,
        hold::OPERATIONS,
        billing::OPERATIONS,
        funding::OPERATIONS,
        payment::OPERATIONS,
        portal::OPERATIONS,
    ];
    surfaces.into_iter().flatten()
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
    ),
> {
    TableIterator::new(all().map(|operation| {
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
        )
    }))
}
