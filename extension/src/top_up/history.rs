//! Status and history: top-ups as they stand now.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::operation::handler::Handler;
use crate::operation::page;
use crate::pg::db::{self, args};
use crate::tenant::caller::Caller;
use crate::top_up::model::{self, Status as State, TopUp, TopUpData, select_top_up};
use crate::value::id::Kind;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::{Outcome, Reply};

/// Which transaction.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransactionRequest {
    /// The `txn_…` of a top-up.
    pub transaction_id: String,
}

pub struct Status;

const BY_ID: &str = select_top_up!("and t.transaction_id = $4");

impl Handler for Status {
    const NAME: &'static str = "status";
    type Request = TransactionRequest;
    type Data = TopUpData;

    fn handle(caller: &Caller, request: &TransactionRequest) -> Outcome<TopUpData> {
        let id = Kind::Transaction.parse(&request.transaction_id).ok_or_else(model::not_found)?;
        let arguments = args![caller.tenant_id, caller.environment.as_str(), caller.wallet_id, id];
        let found = db::read_by_key(BY_ID, arguments, model::read)?.pop().ok_or_else(model::not_found)?;
        Ok(found.seen_by(caller).reply().with_http_status(200))
    }
}

/// Which top-ups, and how many of them.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryRequest {
    /// 1 to 50; 50 if not given.
    #[schemars(range(min = 1, max = 50))]
    pub limit: Option<i64>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only top-ups in this state.
    pub status: Option<State>,
    /// Only top-ups of this platform.
    pub platform: Option<String>,
}

/// A page of top-ups, newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HistoryData {
    /// The top-ups of this page.
    pub transactions: Vec<HistoryItem>,
    /// Null on the last page.
    pub next_cursor: Option<String>,
}

/// A top-up with its id, state and time.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HistoryItem {
    /// `txn_…`
    pub transaction_id: String,
    /// Where it stands now.
    pub status: State,
    /// The code of this state: 1001 delivered, 1002 pending, 1003 failed, 3001 cancelled.
    pub code: i16,
    /// RFC 3339, UTC.
    pub created_at: String,
    #[serde(flatten)]
    pub top_up: TopUpData,
}

impl HistoryItem {
    fn of(top_up: TopUp) -> Self {
        HistoryItem {
            transaction_id: Kind::Transaction.text(top_up.transaction_id),
            status: top_up.status,
            code: top_up.status.code().number(),
            created_at: PgTimestamp::from(top_up.created_at).rfc3339(),
            top_up: top_up.data,
        }
    }
}

pub struct History;

const FIRST_PAGE: &str = select_top_up!(
    "and ($4::text is null or t.status = $4) and ($5::text is null or t.platform = $5)
     order by t.tenant_id desc, t.environment desc, t.transaction_id desc limit $6"
);
const NEXT_PAGE: &str = select_top_up!(
    "and ($4::text is null or t.status = $4) and ($5::text is null or t.platform = $5) and t.transaction_id < $7
     order by t.tenant_id desc, t.environment desc, t.transaction_id desc limit $6"
);

impl Handler for History {
    const NAME: &'static str = "history";
    type Request = HistoryRequest;
    type Data = HistoryData;

    fn handle(caller: &Caller, request: &HistoryRequest) -> Outcome<HistoryData> {
        let limit = page::limit(request.limit)?;
        let cursor: Option<Uuid> = page::cursor(Kind::Transaction, request.cursor.as_deref())?;
        let (tenant_id, environment) = (caller.tenant_id, caller.environment.as_str());
        let (status, platform) = (request.status.map(State::as_str), request.platform.as_deref());
        let one_more = limit + 1;
        let found = match cursor {
            None => db::read_by_key(
                FIRST_PAGE,
                args![tenant_id, environment, caller.wallet_id, status, platform, one_more],
                model::read,
            )?,
            Some(cursor) => db::read_by_key(
                NEXT_PAGE,
                args![tenant_id, environment, caller.wallet_id, status, platform, one_more, cursor],
                model::read,
            )?,
        };
        let (found, last) = page::cut(found, limit);
        let next_cursor = last.map(|top_up| Kind::Transaction.text(top_up.transaction_id));
        let seen = found.into_iter().map(|top_up| top_up.seen_by(caller));
        let transactions = seen.map(HistoryItem::of).collect();
        Ok(Reply::new(Code::Success, HistoryData { transactions, next_cursor }))
    }
}
