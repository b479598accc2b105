//! What a customer is subscribed to: the shapes, what may be subscribed to, and how a subscription begins.

use std::collections::BTreeSet;

use jiff::Timestamp;
use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::de::{Deserializer, Error as _, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use super::item;
use super::product::{Product, read_product};
use super::renewal;
use crate::pg::db::{self, DbResult, Row, args};
use crate::tenant::customer;
use crate::value::book::Book;
use crate::value::id::{self, Kind};
use crate::value::reply::{Failure, Refusal};
use crate::value::wire_time::WireTime;

const SUBSCRIPTIONS_MAX: usize = 20;
const PRODUCTS_MAX: usize = 20;
const URL_LENGTH_MAX: usize = 2000;

/// A subscription that is asked for.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct NewSubscription {
    /// Now if not given. Usage is priced from then on, also from a time that is past; fixed prices and
    /// entitlements begin now at the earliest.
    pub starts_at: Option<WireTime>,
    /// The end of the first period of recurring prices; if not given, one interval after the start.
    pub renews_at: Option<WireTime>,
    /// What is subscribed to: 1 to 20 products.
    pub products: Vec<WantedProduct>,
    /// Where a customer whose payment is missing is sent.
    pub return_url: Option<String>,
    /// Where a customer who gives up paying is sent.
    pub failure_url: Option<String>,
}

/// A product by its id or its code.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct WantedProduct {
    /// `prod_…`; or else the `code`.
    pub id: Option<String>,
    /// Your own code of the product; or else the `id`.
    pub code: Option<String>,
    /// The default version if not given.
    pub version: Option<VersionRef>,
}

/// A version by its number, or `default`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionRef {
    Number(i32),
    Default,
}

impl Serialize for VersionRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            VersionRef::Number(number) => serializer.serialize_i32(*number),
            VersionRef::Default => serializer.serialize_str("default"),
        }
    }
}

impl<'de> Deserialize<'de> for VersionRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrDefault;
        impl Visitor<'_> for NumberOrDefault {
            type Value = VersionRef;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the number of a version or \"default\"")
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<VersionRef, E> {
                i32::try_from(number).map(VersionRef::Number).map_err(E::custom)
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<VersionRef, E> {
                i32::try_from(number).map(VersionRef::Number).map_err(E::custom)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<VersionRef, E> {
                let known = (text == "default").then_some(VersionRef::Default);
                known.ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(NumberOrDefault).map_err(D::Error::custom)
    }
}

impl JsonSchema for VersionRef {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "VersionRef".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["integer", "string"], "description": "A number, or `default`." })
    }
}

/// A subscription as clients see it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Subscription {
    /// `sub_…`
    pub id: String,
    /// RFC 3339, UTC; null until it starts.
    pub started_at: Option<String>,
    /// When the next recurring price is charged; null where none is.
    pub renews_at: Option<String>,
    /// `scheduled`, `active`, `action_required` (a fixed price could not be collected) or `inactive`.
    pub status: String,
    /// The products and the versions that are subscribed to.
    pub products: Vec<SubscribedProduct>,
    /// What the customer must do before the subscription is active; empty where nothing is.
    pub required_actions: Vec<RequiredAction>,
}

/// A product of a subscription.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SubscribedProduct {
    /// `prod_…`
    pub id: String,
    /// Your own code of the product.
    pub code: String,
    /// The number of the version, from 1.
    pub version: i32,
}

/// What the customer must do.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RequiredAction {
    /// `payment`: credit the account that pays; it is collected again within a minute.
    pub r#type: &'static str,
    /// Where to send the customer for it.
    pub redirect_url: String,
}

/// A version of a product that can be subscribed to.
pub struct Subscribable {
    pub product: Product,
    pub version: i32,
}

/// Refuses what cannot be subscribed to. Whatever passes, [`create`] carries out.
pub fn check(book: &Book, wanted: &[NewSubscription]) -> Result<(), Failure> {
    if wanted.len() > SUBSCRIPTIONS_MAX {
        let message = format!("At most {SUBSCRIPTIONS_MAX} subscriptions.");
        return Err(Refusal::of_field(Code::InvalidRequest, "subscriptions", message).into());
    }
    for (n, one) in wanted.iter().enumerate() {
        resolve(book, one, &format!("subscriptions[{n}]."))?;
    }
    Ok(())
}

/// Subscribes a customer to what was checked.
pub fn create(
    book: &Book,
    customer_id: Uuid,
    wanted: &[NewSubscription],
) -> Result<Vec<Subscription>, Failure> {
    let mut subscriptions = Vec::with_capacity(wanted.len());
    for (n, one) in wanted.iter().enumerate() {
        subscriptions.push(open(book, customer_id, one, &format!("subscriptions[{n}]."))?);
    }
    Ok(subscriptions)
}

const INSERT: &str = "
    insert into topup.subscription (tenant_id, environment, subscription_id, customer_id, status, starts_at,
                                    first_renews_at, return_url, failure_url, due_at)
    select $1, $2::topup.environment, $3, $4, case when s.at > clock_timestamp() then 'scheduled' else 'active' end, s.at,
           $6, $7, $8, greatest(s.at, clock_timestamp())
      from (select coalesce($5, clock_timestamp()) as at) s";

const INSERT_PRODUCT: &str = "
    insert into topup.subscription_product (tenant_id, environment, subscription_id, product_id, version, valid_from)
    select tenant_id, environment, subscription_id, $4, $5, starts_at from topup.subscription
     where tenant_id = $1 and environment = $2::topup.environment and subscription_id = $3";

/// Subscribes a customer. `path` leads to the fields of the request.
pub fn open(
    book: &Book,
    customer_id: Uuid,
    wanted: &NewSubscription,
    path: &str,
) -> Result<Subscription, Failure> {
    customer::lock(book, customer_id)?;
    let products = resolve(book, wanted, path)?;
    let subscription_id = id::new();
    let (tenant_id, environment) = (book.tenant_id, book.environment.as_str());
    let (starts_at, renews_at) = (wanted.starts_at, wanted.renews_at);
    let (return_url, failure_url) = (wanted.return_url.as_deref(), wanted.failure_url.as_deref());
    db::execute(
        INSERT,
        args![
            tenant_id,
            environment,
            subscription_id,
            customer_id,
            starts_at,
            renews_at,
            return_url,
            failure_url
        ],
    )?;
    for Subscribable { product, version } in &products {
        let key = args![tenant_id, environment, subscription_id, product.product_id, *version];
        db::execute(INSERT_PRODUCT, key)?;
        item::begin(book, customer_id, subscription_id, product.product_id, *version)?;
    }
    renewal::run(book, subscription_id)?;
    let found = read_all(db::write, book, customer_id, Some(subscription_id))?;
    found.into_iter().next().ok_or_else(|| Failure::Fault("the subscription is not there".to_owned()))
}

/// The versions that a subscription is to have.
fn resolve(book: &Book, wanted: &NewSubscription, path: &str) -> Result<Vec<Subscribable>, Failure> {
    let fault = |field: &str, message: &str| {
        Failure::from(Refusal::of_field(Code::InvalidRequest, format!("{path}{field}"), message))
    };
    if !(1..=PRODUCTS_MAX).contains(&wanted.products.len()) {
        return Err(fault("products", &format!("A subscription has 1 to {PRODUCTS_MAX} products.")));
    }
    for (field, url) in [("return_url", &wanted.return_url), ("failure_url", &wanted.failure_url)] {
        if url.as_ref().is_some_and(|url| url.len() > URL_LENGTH_MAX) {
            return Err(fault(field, &format!("A URL has at most {URL_LENGTH_MAX} characters.")));
        }
    }
    let starts_at = wanted.starts_at.map(WireTime::timestamp);
    let earliest = starts_at.unwrap_or(Timestamp::MIN).max(Timestamp::now());
    if wanted.renews_at.as_ref().is_some_and(|renews_at| renews_at.timestamp() <= earliest) {
        return Err(fault("renews_at", "This must be after the start, and in the future."));
    }
    let mut products = Vec::with_capacity(wanted.products.len());
    let mut seen = BTreeSet::new();
    for (n, product) in wanted.products.iter().enumerate() {
        let at = format!("{path}products[{n}]");
        let found = find_product(book, product, &at)?;
        if !seen.insert(found.product_id) {
            return Err(fault(&format!("products[{n}]"), "This product is listed twice."));
        }
        let version = product.version.unwrap_or(VersionRef::Default);
        let version = subscribable_version(book, &found, version, &format!("{at}.version"))?;
        products.push(Subscribable { product: found, version });
    }
    Ok(products)
}

/// Shared, so that a product is not deleted while someone subscribes to it.
const FIND_PRODUCT: &str = "
    select product_id, code, default_version from topup.product
     where tenant_id = $1 and environment = $2::topup.environment and deleted_at is null
       and (product_id = $3 or $3 is null) and (code = $4 or $4 is null)
       for share";

fn find_product(book: &Book, wanted: &WantedProduct, at: &str) -> Result<Product, Failure> {
    let fault = |field: &str, message: &str| {
        Failure::from(Refusal::of_field(Code::InvalidRequest, format!("{at}.{field}"), message))
    };
    let field = if wanted.id.is_some() { "id" } else { "code" };
    if wanted.id.is_none() && wanted.code.is_none() {
        return Err(fault("id", "Name the product by its id or its code."));
    }
    let no_product = || fault(field, "There is no such product.");
    let id = match &wanted.id {
        Some(text) => Some(Kind::Product.parse(text).ok_or_else(no_product)?),
        None => None,
    };
    let arguments = args![book.tenant_id, book.environment.as_str(), id, wanted.code.as_deref()];
    db::write(FIND_PRODUCT, arguments, read_product)?.into_iter().next().ok_or_else(no_product)
}

const IS_PUBLISHED: &str = "
    select true from topup.product_version
     where tenant_id = $1 and environment = $2::topup.environment and product_id = $3 and version = $4
       and status = 'published'";

/// The number of a published version.
pub fn subscribable_version(
    book: &Book,
    product: &Product,
    wanted: VersionRef,
    path: &str,
) -> Result<i32, Failure> {
    let fault =
        |message: &str| Failure::from(Refusal::of_field(Code::InvalidRequest, path.to_owned(), message));
    let version = match wanted {
        VersionRef::Number(number) => number,
        VersionRef::Default => {
            product.default_version.ok_or_else(|| fault("No version of this product is published."))?
        }
    };
    let arguments = args![book.tenant_id, book.environment.as_str(), product.product_id, version];
    if db::write(IS_PUBLISHED, arguments, |_| Ok(()))?.is_empty() {
        return Err(fault("There is no such version that is published."));
    }
    Ok(version)
}

/// The subscriptions of a customer, newest first.
pub fn of_customer(book: &Book, customer_id: Uuid) -> Result<Vec<Subscription>, Failure> {
    read_all(db::read, book, customer_id, None)
}

const READ: &str = "
    select s.subscription_id,
           case when s.starts_at <= clock_timestamp() then topup.rfc3339(s.starts_at) end,
           topup.rfc3339(coalesce((select min(i.next_at) from topup.subscription_item i
                                    where i.tenant_id = s.tenant_id and i.environment = s.environment
                                      and i.subscription_id = s.subscription_id and i.kind = 'price'), s.first_renews_at)),
           s.status,
           (select coalesce(jsonb_agg(jsonb_build_object('id', topup.format_id('prod', p.product_id), 'code', d.code,
                                                         'version', p.version) order by p.product_id), '[]')::text
              from (select distinct on (product_id) product_id, version from topup.subscription_product
                     where tenant_id = s.tenant_id and environment = s.environment and subscription_id = s.subscription_id
                     order by product_id, valid_from desc) p
              join topup.product d on d.tenant_id = s.tenant_id and d.environment = s.environment and d.product_id = p.product_id),
           case when s.status = 'action_required' then coalesce(s.return_url, s.failure_url, '') end
      from topup.subscription s
     where s.tenant_id = $1 and s.environment = $2::topup.environment and s.customer_id = $3
       and (s.subscription_id = $4 or $4 is null)
     order by s.subscription_id desc";

/// As the calling statement sees them, or as they are with what it has written.
type Query = fn(
    &'static str,
    &[db::Arg],
    fn(&Row) -> DbResult<(Subscription, String)>,
) -> DbResult<Vec<(Subscription, String)>>;

fn read_all(
    query: Query,
    book: &Book,
    customer_id: Uuid,
    only: Option<Uuid>,
) -> Result<Vec<Subscription>, Failure> {
    let arguments = args![book.tenant_id, book.environment.as_str(), customer_id, only];
    let found = query(READ, arguments, read_one)?;
    found
        .into_iter()
        .map(|(subscription, products)| {
            Ok(Subscription { products: serde_json::from_str(&products)?, ..subscription })
        })
        .collect()
}

fn read_one(row: &Row) -> DbResult<(Subscription, String)> {
    let action =
        row.maybe::<String>(6)?.map(|redirect_url| RequiredAction { r#type: "payment", redirect_url });
    let subscription = Subscription {
        id: Kind::Subscription.text(row.uuid(1)?),
        started_at: row.maybe(2)?,
        renews_at: row.maybe(3)?,
        status: row.get(4)?,
        products: Vec::new(),
        required_actions: action.into_iter().collect(),
    };
    Ok((subscription, row.get(5)?))
}

/// As SQL: how many active subscriptions a customer `c` has; for the lists of customers.
macro_rules! active_subscriptions {
    () => {
        "(select count(*) from topup.subscription s
           where s.tenant_id = c.tenant_id and s.environment = c.environment and s.customer_id = c.customer_id
             and s.status = 'active')"
    };
}
pub(crate) use active_subscriptions;
