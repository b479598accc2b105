//! One adjustment, charge or refund, by the id that the caller gave it.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::operation::handler::Handler;
use crate::operation::request::Metadata;
use crate::pg::db::{self, args};
use crate::tenant::caller::Caller;
use crate::tenant::customer;
use crate::value::amount::Amount;
use crate::value::reply::{Outcome, Refusal, Reply};

/// Which transaction.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct TransactionRequest {
    /// `cust_…`.
    pub customer_id: String,
    /// Your own id of it.
    pub transaction_id: String,
}

/// What moved an account.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TransactionData {
    /// Your own id of it.
    pub id: String,
    /// `adjustment` or `fee`.
    pub r#type: Type,
    /// `{name}:{asset}`.
    pub account_id: String,
    /// A currency, or an asset of yours.
    pub asset: String,
    /// What the account gained, or lost where it is negative.
    pub amount: Amount,
    /// For people.
    pub description: Option<String>,
    /// An object of your own; null where there is none.
    #[schemars(with = "Option<Metadata>")]
    pub metadata: Option<Box<RawValue>>,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// When it took effect, or will.
    pub executed_at: String,
}

/// A charge and its refunds are fees; the sign tells them apart.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    Adjustment,
    Fee,
}

pub struct Transaction;

/// A refund may have its charge's id: the charge comes first. Credit that began later is found by its grant.
const FIND: &str = "
    select t.kind = 'adjust', m.name, m.asset, m.amount::text, t.detail ->> 'description', (t.detail -> 'metadata')::text,
           topup.rfc3339(t.created_at),
           topup.rfc3339(coalesce((t.detail ->> 'effective_at')::timestamptz, t.created_at))
      from topup.transaction t
     cross join lateral (
           select a.name, a.asset, e.amount
             from topup.entry e join topup.account a on a.tenant_id = e.tenant_id and a.account_id = e.account_id
            where e.tenant_id = t.tenant_id and e.transaction_id = t.transaction_id and a.customer_id = $4
            union all
           select a.name, a.asset, g.amount
             from topup.account a
             join topup.credit_grant g on g.tenant_id = a.tenant_id and g.account_id = a.account_id
            where a.tenant_id = t.tenant_id and a.environment = t.environment and a.customer_id = $4
              and g.transaction_id = t.transaction_id and (g.pending or g.activation_id is not null)) m
     where t.tenant_id = $1 and t.environment = $2::topup.environment and t.kind in ('adjust', 'charge', 'refund')
       and t.reference = $3
     order by t.kind = 'refund' limit 1";

impl Handler for Transaction {
    const NAME: &'static str = "wallet_transaction";
    type Request = TransactionRequest;
    type Data = TransactionData;

    fn handle(caller: &Caller, request: &TransactionRequest) -> Outcome<TransactionData> {
        let customer_id = customer::require(caller, &request.customer_id)?;
        let (environment, id) = (caller.environment.as_str(), request.transaction_id.as_str());
        let arguments = args![caller.tenant_id, environment, id, customer_id];
        let found = db::read(FIND, arguments, |row| {
            let asset: String = row.get(3)?;
            let metadata = row.maybe::<String>(6)?.filter(|text| text != "null");
            Ok(TransactionData {
                id: id.to_owned(),
                r#type: if row.get(1)? { Type::Adjustment } else { Type::Fee },
                account_id: format!("{}:{asset}", row.get::<String>(2)?),
                asset,
                amount: row.amount(4)?,
                description: row.maybe(5)?,
                metadata: metadata.and_then(|text| RawValue::from_string(text).ok()),
                created_at: row.get(7)?,
                executed_at: row.get(8)?,
            })
        })?;
        let missing = || Refusal::not_found("transaction_id", "The customer has no such transaction.");
        Ok(Reply::new(Code::Success, found.into_iter().next().ok_or_else(missing)?))
    }
}
