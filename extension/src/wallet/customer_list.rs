//! Customers, newest first, by what is asked of them.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::billing::customer_subscription::active_subscriptions;
use crate::operation::handler::Handler;
use crate::operation::offset_page::{Page, Range};
use crate::pg::db::{self, args};
use crate::tenant::caller::Caller;
use crate::value::id::Kind;
use crate::value::reply::{Outcome, Reply};

/// Whether a customer has an active subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Active,
    Inactive,
}

/// Which customers, and which part of them.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListRequest {
    /// 1 to 100; 20 if not given.
    pub limit: Option<i64>,
    /// How many to leave out; 0 if not given.
    pub offset: Option<i64>,
    /// Only this customer (`cust_…`).
    pub customer_id: Option<String>,
    /// Only the customer with this id of your own.
    pub external_id: Option<String>,
    /// The whole address, whatever the case of its ASCII letters.
    pub email: Option<String>,
    /// A part of the name, whatever the letter case.
    pub name: Option<String>,
    /// With an active subscription, or without.
    pub status: Option<Status>,
}

/// A customer in a list.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListItem {
    /// `cust_…`
    pub id: String,
    /// Your own id of the customer; null where it has none.
    pub external_id: Option<String>,
    /// The customer's name.
    pub name: String,
    /// The customer's address; null where it has none.
    pub email: Option<String>,
    /// How many subscriptions are active now.
    pub active_subscription_count: i64,
}

pub struct List;

macro_rules! from_matching {
    () => {
        concat!(
            " from topup.customer c where c.tenant_id = $1 and c.environment = $2::topup.environment
               and ($3::uuid is null or c.customer_id = $3) and ($4::text is null or c.external_id = $4)
               and ($5::text is null or lower(c.email collate \"C\") = lower($5 collate \"C\"))
               and ($6::text is null or strpos(lower(c.name), lower($6)) > 0)
               and ($7::boolean is null or $7 = (",
            active_subscriptions!(),
            " > 0)) "
        )
    };
}

const COUNT: &str = concat!("select count(*)", from_matching!());

const PAGE: &str = concat!(
    "select c.customer_id, c.external_id, c.name, c.email, ",
    active_subscriptions!(),
    from_matching!(),
    "order by c.tenant_id desc, c.environment desc, c.customer_id desc limit $8 offset $9"
);

impl Handler for List {
    const NAME: &'static str = "customer_list";
    type Request = ListRequest;
    type Data = Page<ListItem>;

    fn handle(caller: &Caller, request: &ListRequest) -> Outcome<Page<ListItem>> {
        let range = Range::of(request.limit, request.offset)?;
        let (tenant_id, environment) = (caller.tenant_id, caller.environment.as_str());
        // What is no id of a customer is that of none.
        let id = request.customer_id.as_deref();
        let id = id.map(|text| Kind::Customer.parse(text).unwrap_or(Uuid::nil()));
        let (external_id, email) = (request.external_id.as_deref(), request.email.as_deref());
        let (name, active) = (request.name.as_deref(), request.status.map(|status| status == Status::Active));
        let filter = args![tenant_id, environment, id, external_id, email, name, active];
        let count = db::read_page(COUNT, filter, |row| row.get::<i64>(1))?;
        let (limit, offset) = (range.limit, range.offset);
        let filter = args![tenant_id, environment, id, external_id, email, name, active, limit, offset];
        let items = db::read_page(PAGE, filter, |row| {
            Ok(ListItem {
                id: Kind::Customer.text(row.uuid(1)?),
                external_id: row.maybe(2)?,
                name: row.get(3)?,
                email: row.maybe(4)?,
                active_subscription_count: row.get(5)?,
            })
        })?;
        Ok(Reply::new(Code::Success, range.page(items, count.into_iter().sum())))
    }
}
