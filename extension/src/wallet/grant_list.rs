//! The credit grants of an account, as Credyt's clients ask for them.

use std::collections::BTreeMap;

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ledger::account::customer_account_id;
use crate::ledger::grant::Purpose;
use crate::operation::handler::Handler;
use crate::operation::offset_page::{Page, Range};
use crate::pg::db::{self, args};
use crate::tenant::caller::Caller;
use crate::tenant::customer;
use crate::value::amount::Amount;
use crate::value::id::Kind;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::{Outcome, Reply};
use crate::value::wire_time::WireTime;
use crate::wallet::account;

/// Which grants of which account.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GrantListRequest {
    /// A customer of yours (`cust_…`).
    pub customer_id: String,
    /// `{name}:{asset}`
    pub account_id: String,
    /// How many to leave out; 0 if not given.
    pub offset: Option<i64>,
    /// 1 to 100; 20 if not given.
    pub limit: Option<i64>,
    /// Only those of this purpose.
    pub purpose: Option<Purpose>,
    /// Leaves out those that have expired.
    pub exclude_expired: Option<bool>,
    /// Only those that take effect from this time on. RFC 3339.
    pub effective_from: Option<WireTime>,
    /// Only those that take effect before this time. RFC 3339.
    pub effective_to: Option<WireTime>,
    /// Only those that expire from this time on. RFC 3339.
    pub expired_from: Option<WireTime>,
    /// Only those that expire before this time. RFC 3339.
    pub expired_to: Option<WireTime>,
}

/// Credit that expires, or begins later.
#[derive(Debug, Serialize, JsonSchema)]
pub struct GrantItem {
    /// `grant_…`
    pub id: String,
    /// What can be spent of it now: 0 before it is in effect and when it has expired.
    pub available: Amount,
    /// RFC 3339, UTC.
    pub effective_at: String,
    /// Null: never.
    pub expires_at: Option<String>,
    /// What it was given for; it decides what is used first.
    pub purpose: Purpose,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// What was given.
    pub amount: Amount,
    /// Lower burns earlier among those of one purpose.
    pub priority: i32,
}

pub struct GrantList;

const LIST: &str = "
    select grant_id, amount::text, purpose, priority, effective_at, expires_at, created_at, count(*) over ()
      from topup.credit_grant
     where tenant_id = $1 and account_id = $2
       and ($3::text is null or purpose = $3)
       and (not $4 or expires_at is null or expires_at > $5)
       and ($6::timestamptz is null or effective_at >= $6) and ($7::timestamptz is null or effective_at < $7)
       and ($8::timestamptz is null or expires_at >= $8) and ($9::timestamptz is null or expires_at < $9)
     order by tenant_id desc, account_id desc, grant_id desc limit $10 offset $11";

const COUNT: &str = "
    select count(*)
      from topup.credit_grant
     where tenant_id = $1 and account_id = $2
       and ($3::text is null or purpose = $3)
       and (not $4 or expires_at is null or expires_at > $5)
       and ($6::timestamptz is null or effective_at >= $6) and ($7::timestamptz is null or effective_at < $7)
       and ($8::timestamptz is null or expires_at >= $8) and ($9::timestamptz is null or expires_at < $9)";

impl Handler for GrantList {
    const NAME: &'static str = "grant_list";
    type Request = GrantListRequest;
    type Data = Page<GrantItem>;

    fn handle(caller: &Caller, request: &GrantListRequest) -> Outcome<Page<GrantItem>> {
        let range = Range::of(request.limit, request.offset)?;
        let customer_id = customer::require(caller, &request.customer_id)?;
        let position = account::find_position(caller, customer_id, &request.account_id)?;
        let account_id = customer_account_id(customer_id, &position.name, &position.asset);
        let grants = position.credit.grants.iter();
        let in_effect: BTreeMap<Uuid, Amount> =
            grants.filter(|grant| !grant.pending).map(|grant| (grant.id, grant.remaining)).collect();
        let available = |id: Uuid| in_effect.get(&id).copied().unwrap_or_default();
        let at = |time: &Option<WireTime>| time.map(PgTimestamp::from);
        let purpose = request.purpose.map(Purpose::as_str);
        let exclude_expired = request.exclude_expired.unwrap_or(false);
        let (effective_from, effective_to) = (at(&request.effective_from), at(&request.effective_to));
        let (expired_from, expired_to) = (at(&request.expired_from), at(&request.expired_to));
        let filters = args![
            caller.tenant_id,
            account_id,
            purpose,
            exclude_expired,
            PgTimestamp::now(),
            effective_from,
            effective_to,
            expired_from,
            expired_to,
            range.limit,
            range.offset
        ];
        let rows = db::read_page(LIST, filters, |row| {
            let item = GrantItem {
                id: Kind::Grant.text(row.uuid(1)?),
                available: available(row.uuid(1)?),
                amount: row.amount(2)?,
                purpose: Purpose::parse(&row.get::<String>(3)?)
                    .ok_or(pgrx::spi::SpiError::InvalidPosition)?,
                priority: row.get(4)?,
                effective_at: row.timestamp(5)?.rfc3339(),
                expires_at: row.maybe_timestamp(6)?.map(PgTimestamp::rfc3339),
                created_at: row.timestamp(7)?.rfc3339(),
            };
            Ok((item, row.get::<i64>(8)?))
        })?;
        let total_count = match rows.first() {
            Some((_, count)) => *count,
            None if range.offset == 0 => 0,
            // A page beyond the last one has no row to tell it.
            None => db::read_page(COUNT, &filters[..9], |row| row.get(1))?.into_iter().next().unwrap_or(0),
        };
        let items = rows.into_iter().map(|(item, _)| item).collect();
        Ok(Reply::new(Code::Success, range.page(items, total_count)))
    }
}
