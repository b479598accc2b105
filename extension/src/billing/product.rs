//! Products: what is sold, in versions that can no longer be changed once they are published.

use std::collections::{BTreeMap, BTreeSet};

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::pricing::{self, Entitlement, Price};
use crate::ledger::asset;
use crate::operation::handler::Handler;
use crate::operation::nothing::Nothing;
use crate::pg::db::{self, DbResult, Row, args};
use crate::tenant::caller::Caller;
use crate::value::book::Book;
use crate::value::id::{self, Kind};
use crate::value::reply::{Failure, Outcome, Refusal, Reply};

const CODE_LENGTH_MAX: usize = 100;
const NAME_LENGTH_MAX: usize = 200;

/// A draft can be changed, a published version subscribed to, an archived one no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VersionStatus {
    Draft,
    Published,
    Archived,
}

impl VersionStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            VersionStatus::Draft => "draft",
            VersionStatus::Published => "published",
            VersionStatus::Archived => "archived",
        }
    }

    pub fn parse(text: &str) -> VersionStatus {
        match text {
            "published" => VersionStatus::Published,
            "archived" => VersionStatus::Archived,
            _ => VersionStatus::Draft,
        }
    }
}

/// A new product with its first version.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreateProductRequest {
    /// What people call it: 1 to 200 characters.
    pub name: String,
    /// Your own, unique name of it: 1 to 100 letters, digits, dots, hyphens and underscores.
    pub code: String,
    /// What it costs: at most 100 prices.
    pub prices: Vec<Price>,
    /// The credit that comes with it: at most 20; none if not given.
    pub entitlements: Option<Vec<Entitlement>>,
    /// Whether it can be subscribed to at once; it can then no longer be changed.
    pub publish: Option<bool>,
}

/// A version, just made.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VersionMade {
    /// `prod_…`, of the product.
    pub id: String,
    /// Your own code of the product.
    pub code: String,
    /// The number of the version, from 1.
    pub version: i32,
    /// Draft, published or archived.
    pub status: VersionStatus,
    /// Whether it is subscribed to where no version is named.
    pub is_default: bool,
}

pub struct CreateProduct;

const CREATE: &str = "
    insert into topup.product (tenant_id, environment, product_id, code, name)
    values ($1, $2::topup.environment, $3, $4, $5) on conflict do nothing returning true";

impl Handler for CreateProduct {
    const NAME: &'static str = "product_create";
    type Request = CreateProductRequest;
    type Data = VersionMade;

    fn handle(caller: &Caller, request: &CreateProductRequest) -> Outcome<VersionMade> {
        check_text(&request.name, "name", NAME_LENGTH_MAX, |_| true)?;
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        check_text(&request.code, "code", CODE_LENGTH_MAX, is_plain)?;
        let entitlements = request.entitlements.as_deref().unwrap_or_default();
        check_prices(caller, &request.prices, entitlements)?;
        let product_id = id::new();
        let (code, name) = (request.code.as_str(), request.name.as_str());
        let arguments = args![caller.tenant_id, caller.environment.as_str(), product_id, code, name];
        if db::write(CREATE, arguments, |_| Ok(()))?.is_empty() {
            let message = "Another product has this code.";
            return Err(Refusal::of_field(Code::DuplicateTransaction, "code", message).into());
        }
        let prices = with_ids(&request.prices, &BTreeSet::new());
        let published = request.publish.unwrap_or(false);
        let product = Product { product_id, code: request.code.clone(), default_version: None };
        let made = add_version(caller, &product, 1, published, &prices, entitlements)?;
        Ok(Reply::new(Code::Success, made))
    }
}

/// A new version of a product.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreateVersionRequest {
    /// `prod_…`
    pub product_id: String,
    /// What it costs: at most 100 prices.
    pub prices: Vec<Price>,
    /// The credit that comes with it: at most 20; none if not given.
    pub entitlements: Option<Vec<Entitlement>>,
    /// Whether it can be subscribed to at once; it can then no longer be changed.
    pub publish: Option<bool>,
}

pub struct CreateVersion;

const NEXT_VERSION: &str = "
    select coalesce(max(version), 0) + 1 from topup.product_version
     where tenant_id = $1 and environment = $2::topup.environment and product_id = $3";

const PRICE_IDS: &str = "
    select distinct p ->> 'id' from topup.product_version v, jsonb_array_elements(v.prices) p
     where v.tenant_id = $1 and v.environment = $2::topup.environment and v.product_id = $3";

impl Handler for CreateVersion {
    const NAME: &'static str = "product_version_create";
    type Request = CreateVersionRequest;
    type Data = VersionMade;

    fn handle(caller: &Caller, request: &CreateVersionRequest) -> Outcome<VersionMade> {
        let entitlements = request.entitlements.as_deref().unwrap_or_default();
        check_prices(caller, &request.prices, entitlements)?;
        let product = lock(caller, &request.product_id)?;
        let key = args![caller.tenant_id, caller.environment.as_str(), product.product_id];
        let version: i32 = db::write(NEXT_VERSION, key, |row| row.get::<i32>(1))?.into_iter().sum();
        let known = db::write(PRICE_IDS, key, |row| row.get::<String>(1))?.into_iter().collect();
        let prices = with_ids(&request.prices, &known);
        let published = request.publish.unwrap_or(false);
        let made = add_version(caller, &product, version, published, &prices, entitlements)?;
        Ok(Reply::new(Code::Success, made))
    }
}

/// What becomes of a version.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct UpdateVersionRequest {
    /// `prod_…`
    pub product_id: String,
    /// The number of the version, from 1.
    pub version: i32,
    /// True publishes a draft.
    pub publish: Option<bool>,
    /// True makes a published version the one that is subscribed to where none is named.
    pub make_default: Option<bool>,
}

pub struct UpdateVersion;

const SET_STATUS: &str = "
    update topup.product_version set status = $5
     where tenant_id = $1 and environment = $2::topup.environment and product_id = $3 and version = $4";

impl Handler for UpdateVersion {
    const NAME: &'static str = "product_version_update";
    type Request = UpdateVersionRequest;
    type Data = Nothing;

    fn handle(caller: &Caller, request: &UpdateVersionRequest) -> Outcome<Nothing> {
        let product = lock(caller, &request.product_id)?;
        let before = status_of(caller, &product, request.version)?;
        let publishes = request.publish == Some(true);
        if publishes && before == VersionStatus::Archived {
            return Err(Refusal::conflict("publish", "This version is archived.").into());
        }
        let published = publishes || before == VersionStatus::Published;
        let makes_default = request.make_default == Some(true);
        if makes_default && !published {
            return Err(
                Refusal::conflict("make_default", "Only a published version can be the default.").into()
            );
        }
        if publishes && before == VersionStatus::Draft {
            set_status(caller, &product, request.version, VersionStatus::Published)?;
        }
        if makes_default || (publishes && product.default_version.is_none()) {
            set_default(caller, &product, request.version)?;
        }
        Ok(Reply::new(Code::Success, Nothing {}))
    }
}

/// Which version.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct VersionRequest {
    /// `prod_…`
    pub product_id: String,
    /// The number of the version, from 1.
    pub version: i32,
}

pub struct ArchiveVersion;

impl Handler for ArchiveVersion {
    const NAME: &'static str = "product_version_archive";
    type Request = VersionRequest;
    type Data = Nothing;

    fn handle(caller: &Caller, request: &VersionRequest) -> Outcome<Nothing> {
        let product = lock(caller, &request.product_id)?;
        status_of(caller, &product, request.version)?;
        if product.default_version == Some(request.version) {
            return Err(
                Refusal::conflict("version", "This is the default: make another one it first.").into()
            );
        }
        set_status(caller, &product, request.version, VersionStatus::Archived)?;
        Ok(Reply::new(Code::Success, Nothing {}))
    }
}

/// Which product.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ProductRequest {
    /// `prod_…`
    pub product_id: String,
}

pub struct DeleteProduct;

const SUBSCRIBED: &str = "
    select true from topup.subscription_product p
      join topup.subscription s using (tenant_id, environment, subscription_id)
     where p.tenant_id = $1 and p.environment = $2::topup.environment and p.product_id = $3
       and p.valid_to is null and s.status <> 'inactive' limit 1";

const DELETE: &str = "
    update topup.product set deleted_at = clock_timestamp()
     where tenant_id = $1 and environment = $2::topup.environment and product_id = $3";

impl Handler for DeleteProduct {
    const NAME: &'static str = "product_delete";
    type Request = ProductRequest;
    type Data = Nothing;

    fn handle(caller: &Caller, request: &ProductRequest) -> Outcome<Nothing> {
        let product = lock(caller, &request.product_id)?;
        let key = args![caller.tenant_id, caller.environment.as_str(), product.product_id];
        if !db::write(SUBSCRIBED, key, |_| Ok(()))?.is_empty() {
            return Err(Refusal::conflict("product_id", "Customers are subscribed to this product.").into());
        }
        db::execute(DELETE, key)?;
        Ok(Reply::new(Code::Success, Nothing {}))
    }
}

/// A product, locked: its versions are numbered one after the other.
pub struct Product {
    pub product_id: Uuid,
    pub code: String,
    pub default_version: Option<i32>,
}

const LOCK: &str = "
    select product_id, code, default_version from topup.product
     where tenant_id = $1 and environment = $2::topup.environment and product_id = $3 and deleted_at is null
       for update";

fn lock(book: &Book, product_id: &str) -> Result<Product, Failure> {
    let id = parse_id(product_id)?;
    let found = db::write(LOCK, args![book.tenant_id, book.environment.as_str(), id], read_product)?;
    found.into_iter().next().ok_or_else(|| no_product("product_id").into())
}

pub fn read_product(row: &Row) -> DbResult<Product> {
    Ok(Product { product_id: row.uuid(1)?, code: row.get(2)?, default_version: row.maybe(3)? })
}

/// The id in a path; what is no such id names no product.
pub fn parse_id(product_id: &str) -> Result<Uuid, Refusal> {
    Kind::Product.parse(product_id).ok_or_else(|| no_product("product_id"))
}

pub fn no_product(field: impl Into<String>) -> Refusal {
    Refusal::not_found(field, "There is no such product.")
}

pub fn no_version(field: impl Into<String>) -> Refusal {
    Refusal::not_found(field, "The product has no such version.")
}

const STATUS: &str = "
    select status from topup.product_version
     where tenant_id = $1 and environment = $2::topup.environment and product_id = $3 and version = $4";

fn status_of(book: &Book, product: &Product, version: i32) -> Result<VersionStatus, Failure> {
    let arguments = args![book.tenant_id, book.environment.as_str(), product.product_id, version];
    let found = db::write(STATUS, arguments, |row| row.get::<String>(1))?;
    let status = found.into_iter().next().ok_or_else(|| no_version("version"))?;
    Ok(VersionStatus::parse(&status))
}

fn set_status(book: &Book, product: &Product, version: i32, status: VersionStatus) -> DbResult<()> {
    let key = (book.tenant_id, book.environment.as_str(), product.product_id);
    db::execute(SET_STATUS, args![key.0, key.1, key.2, version, status.as_str()])
}

const SET_DEFAULT: &str = "
    update topup.product set default_version = $4
     where tenant_id = $1 and environment = $2::topup.environment and product_id = $3";

fn set_default(book: &Book, product: &Product, version: i32) -> DbResult<()> {
    db::execute(SET_DEFAULT, args![book.tenant_id, book.environment.as_str(), product.product_id, version])
}

const ADD_VERSION: &str = "
    insert into topup.product_version (tenant_id, environment, product_id, version, status, prices, entitlements)
    values ($1, $2::topup.environment, $3, $4, $5, $6::jsonb, $7::jsonb)";

/// The first version that is published becomes the default; later ones when they are made it.
fn add_version(
    book: &Book,
    product: &Product,
    version: i32,
    published: bool,
    prices: &[Price],
    entitlements: &[Entitlement],
) -> Result<VersionMade, Failure> {
    let status = if published { VersionStatus::Published } else { VersionStatus::Draft };
    let (prices, entitlements) = (serde_json::to_string(prices)?, serde_json::to_string(entitlements)?);
    let key = (book.tenant_id, book.environment.as_str(), product.product_id);
    let arguments = args![key.0, key.1, key.2, version, status.as_str(), prices, entitlements];
    db::execute(ADD_VERSION, arguments)?;
    let is_default = published && product.default_version.is_none();
    if is_default {
        set_default(book, product, version)?;
    }
    let (id, code) = (Kind::Product.text(product.product_id), product.code.clone());
    Ok(VersionMade { id, code, version, status, is_default })
}

/// Prices with their ids: those that an earlier version had are kept, the others get new ones.
fn with_ids(prices: &[Price], known: &BTreeSet<String>) -> Vec<Price> {
    let mut used = BTreeSet::new();
    let id_of = |price: &Price| price.id.clone().filter(|id| known.contains(id));
    let kept: Vec<Option<String>> =
        prices.iter().map(|price| id_of(price).filter(|id| used.insert(id.clone()))).collect();
    let with_id = |(price, id): (&Price, Option<String>)| {
        let id = id.unwrap_or_else(|| Kind::Price.text(id::new()));
        Price { id: Some(id), ..price.clone() }
    };
    prices.iter().zip(kept).map(with_id).collect()
}

fn check_prices(book: &Book, prices: &[Price], entitlements: &[Entitlement]) -> Result<(), Failure> {
    let of_prices = prices.iter().flat_map(|price| &price.pricing).map(|pricing| &pricing.asset);
    let codes: BTreeSet<&String> = of_prices.chain(entitlements.iter().map(|it| &it.asset)).collect();
    Ok(pricing::check(prices, entitlements, &precisions(book, codes)?)?)
}

/// The assets that there are among these codes, with their numbers of decimals.
pub fn precisions<'a>(
    book: &Book,
    codes: impl IntoIterator<Item = &'a String>,
) -> DbResult<BTreeMap<String, u32>> {
    let mut precisions = BTreeMap::new();
    for code in codes {
        if let Some(asset) = asset::find(book, code)? {
            precisions.insert(asset.code, asset.precision);
        }
    }
    Ok(precisions)
}

fn check_text(
    text: &str,
    field: &str,
    length_max: usize,
    is_allowed: impl Fn(char) -> bool,
) -> Result<(), Refusal> {
    if (1..=length_max).contains(&text.chars().count()) && text.chars().all(is_allowed) {
        return Ok(());
    }
    let message = format!("A {field} has 1 to {length_max} characters of those that it may have.");
    Err(Refusal::of_field(Code::InvalidRequest, field, message))
}
