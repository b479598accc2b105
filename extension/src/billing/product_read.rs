//! Products as they are shown: one, a version of one, all of them, and who is subscribed.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pricing::{Entitlement, Price};
use super::product::{ProductRequest, VersionRequest, VersionStatus, no_product, no_version, parse_id};
use crate::operation::handler::Handler;
use crate::operation::offset_page::{Page, Range};
use crate::pg::db::{self, Row, args};
use crate::tenant::caller::Caller;
use crate::value::book::Book;
use crate::value::id::Kind;
use crate::value::reply::{Failure, Outcome, Reply};

/// A product with its default version.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProductData {
    /// `prod_…`
    pub id: String,
    /// Your own code of it.
    pub code: String,
    /// What people call it.
    pub name: String,
    /// Null until a version is published.
    pub default_version: Option<DefaultVersion>,
    /// Newest first.
    pub versions: Vec<VersionReference>,
}

/// The version that is subscribed to where none is named.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DefaultVersion {
    /// Its number, from 1.
    pub version: i32,
    /// The credit that comes with it.
    pub entitlements: Vec<Entitlement>,
    /// What it costs.
    pub prices: Vec<Price>,
}

/// A version in the list of a product.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct VersionReference {
    /// Its number, from 1.
    pub version: i32,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// Draft, published or archived.
    pub status: VersionStatus,
}

pub struct GetProduct;

const VERSIONS: &str = "
    select version, topup.rfc3339(created_at), status from topup.product_version
     where tenant_id = $1 and environment = $2::topup.environment and product_id = $3 order by version desc";

impl Handler for GetProduct {
    const NAME: &'static str = "product_get";
    type Request = ProductRequest;
    type Data = ProductData;

    fn handle(caller: &Caller, request: &ProductRequest) -> Outcome<ProductData> {
        let id = parse_id(&request.product_id)?;
        let key = args![caller.tenant_id, caller.environment.as_str(), id];
        let found = db::read(FIND, key, |row| {
            Ok((row.get::<String>(1)?, row.get::<String>(2)?, row.maybe::<i32>(3)?))
        })?;
        let (code, name, default) = found.into_iter().next().ok_or_else(|| no_product("product_id"))?;
        let versions = db::read(VERSIONS, key, |row| {
            let status = VersionStatus::parse(&row.get::<String>(3)?);
            Ok(VersionReference { version: row.get(1)?, created_at: row.get(2)?, status })
        })?;
        let default_version = match default {
            None => None,
            Some(version) => {
                let VersionData { prices, entitlements, .. } =
                    version_data(caller, &request.product_id, version)?;
                Some(DefaultVersion { version, entitlements, prices })
            }
        };
        let id = request.product_id.clone();
        Ok(Reply::new(Code::Success, ProductData { id, code, name, default_version, versions }))
    }
}

const FIND: &str = "
    select code, name, default_version from topup.product
     where tenant_id = $1 and environment = $2::topup.environment and product_id = $3 and deleted_at is null";

/// A version with its prices.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VersionData {
    /// `prod_…`, of the product.
    pub id: String,
    /// The number of the version, from 1.
    pub version: i32,
    /// Your own code of the product.
    pub code: String,
    /// What people call the product.
    pub name: String,
    /// What it costs.
    pub prices: Vec<Price>,
    /// The credit that comes with it.
    pub entitlements: Vec<Entitlement>,
    /// Draft, published or archived.
    pub status: VersionStatus,
    /// Whether it is subscribed to where no version is named.
    pub is_default: bool,
}

pub struct GetVersion;

impl Handler for GetVersion {
    const NAME: &'static str = "product_version_get";
    type Request = VersionRequest;
    type Data = VersionData;

    fn handle(caller: &Caller, request: &VersionRequest) -> Outcome<VersionData> {
        Ok(Reply::new(Code::Success, version_data(caller, &request.product_id, request.version)?))
    }
}

const VERSION: &str = "
    select p.code, p.name, v.status, v.version is not distinct from p.default_version, v.prices::text,
           v.entitlements::text
      from topup.product p
      left join topup.product_version v on v.tenant_id = p.tenant_id and v.environment = p.environment
                                       and v.product_id = p.product_id and v.version = $4
     where p.tenant_id = $1 and p.environment = $2::topup.environment and p.product_id = $3
       and p.deleted_at is null";

/// A version by the product's id and its number; 404 where it is not there.
pub fn version_data(book: &Book, product_id: &str, version: i32) -> Result<VersionData, Failure> {
    let id = parse_id(product_id)?;
    let arguments = args![book.tenant_id, book.environment.as_str(), id, version];
    let found = db::read(VERSION, arguments, |row| {
        let text = |column| row.maybe::<String>(column);
        Ok((row.get::<String>(1)?, row.get::<String>(2)?, text(3)?, row.get::<bool>(4)?, text(5)?, text(6)?))
    })?;
    let (code, name, status, is_default, prices, entitlements) =
        found.into_iter().next().ok_or_else(|| no_product("product_id"))?;
    let status = VersionStatus::parse(&status.ok_or_else(|| no_version("version"))?);
    let prices = serde_json::from_str(&prices.unwrap_or_default())?;
    let entitlements = serde_json::from_str(&entitlements.unwrap_or_default())?;
    let id = product_id.to_owned();
    Ok(VersionData { id, version, code, name, prices, entitlements, status, is_default })
}

/// Which products.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListProductsRequest {
    /// How many to leave out; 0 if not given.
    pub offset: Option<i64>,
    /// 1 to 100; 20 if not given.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<i64>,
    /// Only the product with this code.
    pub code: Option<String>,
}

/// A product of a list.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProductItem {
    /// `prod_…`
    pub id: String,
    /// Your own code of it.
    pub code: String,
    /// What people call it.
    pub name: String,
}

pub struct ListProducts;

const LIST: &str = "
    select p.product_id, p.code, p.name from topup.product p
     where p.tenant_id = $1 and p.environment = $2::topup.environment and p.deleted_at is null
       and ($3::text is null or p.code = $3)
     order by p.product_id desc offset $4 limit $5";

const COUNT: &str = "
    select count(*) from topup.product p
     where p.tenant_id = $1 and p.environment = $2::topup.environment and p.deleted_at is null
       and ($3::text is null or p.code = $3)";

impl Handler for ListProducts {
    const NAME: &'static str = "product_list";
    type Request = ListProductsRequest;
    type Data = Page<ProductItem>;

    fn handle(caller: &Caller, request: &ListProductsRequest) -> Outcome<Page<ProductItem>> {
        let range = Range::of(request.limit, request.offset)?;
        let (tenant_id, environment) = (caller.tenant_id, caller.environment.as_str());
        let code = request.code.as_deref();
        let arguments = args![tenant_id, environment, code, range.offset, range.limit];
        let items = db::read_page(LIST, arguments, |row| {
            Ok(ProductItem { id: Kind::Product.text(row.uuid(1)?), code: row.get(2)?, name: row.get(3)? })
        })?;
        let total = db::read_page(COUNT, args![tenant_id, environment, code], |row| row.get::<i64>(1))?;
        Ok(Reply::new(Code::Success, range.page(items, total.into_iter().sum())))
    }
}

/// Whose subscribers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SubscribersRequest {
    /// `prod_…`
    pub product_id: String,
    /// How many to leave out; 0 if not given.
    pub offset: Option<i64>,
    /// 1 to 100; 20 if not given.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<i64>,
}

/// A customer that is subscribed to a product.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Subscriber {
    /// `cust_…`
    pub customer_id: String,
    /// The customer's name.
    pub customer_name: String,
    /// Your own id of the customer; null where it has none.
    pub external_id: Option<String>,
    /// The customer's address; null where it has none.
    pub email: Option<String>,
    /// `sub_…`
    pub subscription_id: String,
    /// `scheduled`, `active`, `action_required` or `inactive`.
    pub subscription_status: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// When the next recurring price is charged; null where none is. RFC 3339, UTC.
    pub renews_at: Option<String>,
    /// The product and its version, with a colon between them.
    pub product_rate_plan_id: String,
    /// The number of the version that is subscribed to.
    pub version: i32,
}

pub struct Subscribers;

const SUBSCRIBERS: &str = "
    select s.customer_id, coalesce(c.name, c.email, ''), c.external_id, c.email, s.subscription_id, s.status,
           topup.rfc3339(s.starts_at), topup.rfc3339(r.renews_at), p.version
      from topup.subscription_product p
      join topup.subscription s using (tenant_id, environment, subscription_id)
      join topup.customer c on c.tenant_id = s.tenant_id and c.environment = s.environment and c.customer_id = s.customer_id
     cross join lateral (select coalesce(min(i.next_at), s.first_renews_at) as renews_at from topup.subscription_item i
                          where i.tenant_id = s.tenant_id and i.environment = s.environment
                            and i.subscription_id = s.subscription_id and i.kind = 'price') r
     where p.tenant_id = $1 and p.environment = $2::topup.environment and p.product_id = $3
       and p.valid_to is null and s.status <> 'inactive'
     order by s.subscription_id desc offset $4 limit $5";

const COUNT_SUBSCRIBERS: &str = "
    select count(*) from topup.subscription_product p
      join topup.subscription s using (tenant_id, environment, subscription_id)
     where p.tenant_id = $1 and p.environment = $2::topup.environment and p.product_id = $3
       and p.valid_to is null and s.status <> 'inactive'";

impl Handler for Subscribers {
    const NAME: &'static str = "product_subscribers";
    type Request = SubscribersRequest;
    type Data = Page<Subscriber>;

    fn handle(caller: &Caller, request: &SubscribersRequest) -> Outcome<Page<Subscriber>> {
        let range = Range::of(request.limit, request.offset)?;
        let id = parse_id(&request.product_id)?;
        let (tenant_id, environment) = (caller.tenant_id, caller.environment.as_str());
        let key = args![tenant_id, environment, id];
        if db::read(FIND, key, |_| Ok(()))?.is_empty() {
            return Err(no_product("product_id").into());
        }
        let arguments = args![tenant_id, environment, id, range.offset, range.limit];
        let items = db::read_page(SUBSCRIBERS, arguments, |row| read_subscriber(row, &request.product_id))?;
        let total = db::read_page(COUNT_SUBSCRIBERS, key, |row| row.get::<i64>(1))?;
        Ok(Reply::new(Code::Success, range.page(items, total.into_iter().sum())))
    }
}

fn read_subscriber(row: &Row, product_id: &str) -> db::DbResult<Subscriber> {
    let version = row.get(9)?;
    Ok(Subscriber {
        customer_id: Kind::Customer.text(row.uuid(1)?),
        customer_name: row.get(2)?,
        external_id: row.maybe(3)?,
        email: row.maybe(4)?,
        subscription_id: Kind::Subscription.text(row.uuid(5)?),
        subscription_status: row.get(6)?,
        started_at: row.get(7)?,
        renews_at: row.maybe(8)?,
        product_rate_plan_id: format!("{product_id}:{version}"),
        version,
    })
}
