//! Subscriptions of a customer: to begin one, to end and resume it, and to change the version of a product.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::customer_subscription::{self, NewSubscription, Subscription, VersionRef, WantedProduct};
use super::item;
use super::product::{self, no_product, read_product};
use super::renewal;
use crate::operation::handler::Handler;
use crate::operation::nothing::Nothing;
use crate::pg::db::{self, args};
use crate::tenant::caller::Caller;
use crate::tenant::customer;
use crate::value::book::Book;
use crate::value::id::Kind;
use crate::value::reply::{Failure, Outcome, Refusal, Reply};
use crate::value::wire_time::WireTime;

/// A new subscription of a customer.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreateRequest {
    /// A customer of yours (`cust_…`).
    pub customer_id: String,
    /// Now if not given.
    pub starts_at: Option<WireTime>,
    /// The end of the first period; if not given, one interval after the start.
    pub renews_at: Option<WireTime>,
    /// What is subscribed to: 1 to 20 products.
    pub products: Vec<WantedProduct>,
    /// Where a customer whose payment is missing is sent.
    pub return_url: Option<String>,
    /// Where a customer who gives up paying is sent.
    pub failure_url: Option<String>,
}

pub struct Create;

impl Handler for Create {
    const NAME: &'static str = "subscription_create";
    type Request = CreateRequest;
    type Data = Subscription;

    fn handle(caller: &Caller, request: &CreateRequest) -> Outcome<Subscription> {
        let customer_id = customer::require(caller, &request.customer_id)?;
        let product = |wanted: &WantedProduct| WantedProduct {
            id: wanted.id.clone(),
            code: wanted.code.clone(),
            version: wanted.version,
        };
        let wanted = NewSubscription {
            starts_at: request.starts_at,
            renews_at: request.renews_at,
            products: request.products.iter().map(product).collect(),
            return_url: request.return_url.clone(),
            failure_url: request.failure_url.clone(),
        };
        Ok(Reply::new(Code::Success, customer_subscription::open(caller, customer_id, &wanted, "")?))
    }
}

/// Whether the subscription goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WantedStatus {
    Active,
    Inactive,
}

/// What becomes of a subscription.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct UpdateRequest {
    /// A customer of yours (`cust_…`).
    pub customer_id: String,
    /// `sub_…`, one of the customer's.
    pub subscription_id: String,
    /// `inactive` ends it now; `active` resumes it, or tries at once to collect what is owed.
    pub status: WantedStatus,
}

pub struct Update;

impl Handler for Update {
    const NAME: &'static str = "subscription_update";
    type Request = UpdateRequest;
    type Data = Nothing;

    fn handle(caller: &Caller, request: &UpdateRequest) -> Outcome<Nothing> {
        let (subscription_id, status) = lock(caller, &request.customer_id, &request.subscription_id)?;
        let key = args![caller.tenant_id, caller.environment.as_str(), subscription_id];
        match (request.status, status.as_str()) {
            (WantedStatus::Inactive, "inactive") => {}
            (WantedStatus::Inactive, _) => {
                // What is due by now is still owed, and given.
                renewal::run(caller, subscription_id)?;
                db::execute(END_PRODUCTS, key)?;
                db::execute(END, key)?;
            }
            (WantedStatus::Active, "inactive") => {
                if db::write(LOCK_PRODUCTS, key, |_| Ok(()))?.is_empty() {
                    let message = "The products of this subscription were deleted.";
                    return Err(Refusal::conflict("status", message).into());
                }
                db::execute(REOPEN_PRODUCTS, key)?;
                db::execute(RESUME_PRODUCTS, key)?;
                db::execute(RESUME, key)?;
                renewal::run(caller, subscription_id)?;
            }
            (WantedStatus::Active, _) => renewal::run(caller, subscription_id)?,
        }
        Ok(Reply::new(Code::Success, Nothing {}))
    }
}

const LOCK: &str = "
    select status from topup.subscription
     where tenant_id = $1 and environment = $2::topup.environment and subscription_id = $3 and customer_id = $4
       for update";

/// A subscription that is scheduled never was: what it would have had ends where it would have begun.
const END_PRODUCTS: &str = "
    update topup.subscription_product set valid_to = greatest(clock_timestamp(), valid_from)
     where tenant_id = $1 and environment = $2::topup.environment and subscription_id = $3 and valid_to is null";

const END: &str = "
    update topup.subscription set status = 'inactive', ended_at = clock_timestamp(), due_at = null
     where tenant_id = $1 and environment = $2::topup.environment and subscription_id = $3";

/// Shared, so that a product is not deleted while its subscription is resumed.
const LOCK_PRODUCTS: &str = "
    select p.product_id from topup.product p
     where p.tenant_id = $1 and p.environment = $2::topup.environment and p.deleted_at is null
       and exists (select from topup.subscription_product s
                    where s.tenant_id = $1 and s.environment = $2::topup.environment and s.subscription_id = $3
                      and s.product_id = p.product_id)
     order by p.product_id for share";

/// What ended before it began goes on as it was planned.
const REOPEN_PRODUCTS: &str = "
    update topup.subscription_product s set valid_to = null
      from topup.product p
     where s.tenant_id = $1 and s.environment = $2::topup.environment and s.subscription_id = $3
       and s.valid_to = s.valid_from and s.valid_from > clock_timestamp()
       and p.tenant_id = s.tenant_id and p.environment = s.environment and p.product_id = s.product_id
       and p.deleted_at is null";

const RESUME_PRODUCTS: &str = "
    insert into topup.subscription_product (tenant_id, environment, subscription_id, product_id, version, valid_from)
    select l.tenant_id, l.environment, l.subscription_id, l.product_id, l.version, greatest(clock_timestamp(), l.valid_to)
      from (select distinct on (product_id) * from topup.subscription_product
             where tenant_id = $1 and environment = $2::topup.environment and subscription_id = $3
             order by product_id, valid_from desc) l
      join topup.product p using (tenant_id, environment, product_id)
     where p.deleted_at is null and l.valid_to is not null";

/// One that had begun is resumed as action_required: a period that ended meanwhile is not made up for, the next
/// one begins now.
const RESUME: &str = "
    update topup.subscription
       set status = case when starts_at > clock_timestamp() then 'scheduled' else 'action_required' end,
           ended_at = null, due_at = greatest(starts_at, clock_timestamp())
     where tenant_id = $1 and environment = $2::topup.environment and subscription_id = $3";

/// The subscription of a customer, locked, with its status.
fn lock(book: &Book, customer_id: &str, subscription_id: &str) -> Result<(Uuid, String), Failure> {
    let customer_id = customer::require(book, customer_id)?;
    let missing = || Refusal::not_found("subscription_id", "The customer has no such subscription.");
    let id = Kind::Subscription.parse(subscription_id).ok_or_else(missing)?;
    customer::lock(book, customer_id)?;
    let arguments = args![book.tenant_id, book.environment.as_str(), id, customer_id];
    let found = db::write(LOCK, arguments, |row| row.get::<String>(1))?;
    Ok((id, found.into_iter().next().ok_or_else(missing)?))
}

/// Another version of a product.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct UpdateProductRequest {
    /// A customer of yours (`cust_…`).
    pub customer_id: String,
    /// `sub_…`, one of the customer's.
    pub subscription_id: String,
    /// `prod_…`, one of the subscription.
    pub product_id: String,
    /// The version from now on: a published one.
    pub version: VersionRef,
}

pub struct UpdateProduct;

const CURRENT: &str = "
    select version, valid_from > clock_timestamp() from topup.subscription_product
     where tenant_id = $1 and environment = $2::topup.environment and subscription_id = $3 and product_id = $4
       and valid_to is null";

const PRODUCT: &str = "
    select product_id, code, default_version from topup.product
     where tenant_id = $1 and environment = $2::topup.environment and product_id = $3 for share";

const CLOSE: &str = "
    update topup.subscription_product set valid_to = clock_timestamp()
     where tenant_id = $1 and environment = $2::topup.environment and subscription_id = $3 and product_id = $4
       and valid_to is null";

const CONTINUE: &str = "
    insert into topup.subscription_product (tenant_id, environment, subscription_id, product_id, version, valid_from)
    select tenant_id, environment, subscription_id, product_id, $5, max(valid_to) from topup.subscription_product
     where tenant_id = $1 and environment = $2::topup.environment and subscription_id = $3 and product_id = $4
     group by tenant_id, environment, subscription_id, product_id";

const REPLACE: &str = "
    update topup.subscription_product set version = $5
     where tenant_id = $1 and environment = $2::topup.environment and subscription_id = $3 and product_id = $4
       and valid_to is null";

impl Handler for UpdateProduct {
    const NAME: &'static str = "subscription_product_update";
    type Request = UpdateProductRequest;
    type Data = Nothing;

    fn handle(caller: &Caller, request: &UpdateProductRequest) -> Outcome<Nothing> {
        let (subscription_id, status) = lock(caller, &request.customer_id, &request.subscription_id)?;
        let product_id = product::parse_id(&request.product_id)?;
        let (tenant_id, environment) = (caller.tenant_id, caller.environment.as_str());
        if status == "inactive" {
            return Err(Refusal::conflict("subscription_id", "This subscription has ended.").into());
        }
        let key = args![tenant_id, environment, subscription_id, product_id];
        let current = db::write(CURRENT, key, |row| Ok((row.get::<i32>(1)?, row.get::<bool>(2)?)))?;
        let not_part = || Refusal::not_found("product_id", "The subscription does not have this product.");
        let (before, is_ahead) = current.into_iter().next().ok_or_else(not_part)?;
        let product = db::write(PRODUCT, args![tenant_id, environment, product_id], read_product)?;
        let product = product.into_iter().next().ok_or_else(|| no_product("product_id"))?;
        if request.version == VersionRef::Number(before) {
            return Ok(Reply::new(Code::Success, Nothing {}));
        }
        let version =
            customer_subscription::subscribable_version(caller, &product, request.version, "version")?;
        if version != before {
            // What is due by now is of the version before.
            renewal::run(caller, subscription_id)?;
            let next = args![tenant_id, environment, subscription_id, product_id, version];
            if is_ahead {
                db::execute(REPLACE, next)?;
            } else {
                db::execute(CLOSE, key)?;
                db::execute(CONTINUE, next)?;
            }
            let customer_id = customer::require(caller, &request.customer_id)?;
            item::begin(caller, customer_id, subscription_id, product_id, version)?;
            renewal::run(caller, subscription_id)?;
        }
        Ok(Reply::new(Code::Success, Nothing {}))
    }
}
