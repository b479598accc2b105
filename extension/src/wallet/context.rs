//! Who the key speaks for, as Credyt's clients ask it.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::Serialize;

use crate::operation::handler::Handler;
use crate::operation::nothing::Nothing;
use crate::pg::db::{self, args};
use crate::tenant::caller::Caller;
use crate::value::book::Environment;
use crate::value::id::Kind;
use crate::value::reply::{Outcome, Reply};

/// The tenant and environment of the key.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ContextData {
    /// The tenant, `acct_…`.
    pub account_id: String,
    /// `live`, or `test` for a staging key.
    pub environment: &'static str,
    /// The tenant's name.
    pub name: String,
}

pub struct Context;

const NAME: &str = "select name from topup.tenant where tenant_id = $1";

impl Handler for Context {
    const NAME: &'static str = "account_self";
    type Request = Nothing;
    type Data = ContextData;

    fn handle(caller: &Caller, _: &Nothing) -> Outcome<ContextData> {
        let name = db::read(NAME, args![caller.tenant_id], |row| row.get::<String>(1))?;
        let data = ContextData {
            account_id: Kind::Tenant.text(caller.tenant_id),
            environment: match caller.environment {
                Environment::Live => "live",
                Environment::Staging => "test",
            },
            name: name.into_iter().next().unwrap_or_default(),
        };
        Ok(Reply::new(Code::Success, data))
    }
}
