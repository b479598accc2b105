//! What a customer was subscribed to at a time, and from which accounts it pays.

use std::collections::BTreeSet;

use jiff::Timestamp;
use uuid::Uuid;

use super::pricing::Price;
use super::usage_event::UsageEvent;
use crate::ledger::account;
use crate::pg::db::{self, DbResult, Row, args};
use crate::value::book::Book;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::Failure;

/// A version of a product that a customer has, or had.
pub struct Plan {
    pub product_id: Uuid,
    pub product_code: String,
    pub version: i32,
    pub prices: Vec<Price>,
    valid_from_us: i64,
    valid_to_us: Option<i64>,
}

impl Plan {
    pub fn is_valid_at(&self, at: Timestamp) -> bool {
        let at_us = at.as_microsecond();
        self.valid_from_us <= at_us && self.valid_to_us.is_none_or(|end| at_us < end)
    }
}

const PLANS: &str = "
    select p.product_id, p.code, s.version, v.prices::text,
           (extract(epoch from s.valid_from) * 1000000)::bigint, (extract(epoch from s.valid_to) * 1000000)::bigint
      from topup.subscription b
      join topup.subscription_product s using (tenant_id, environment, subscription_id)
      join topup.product p using (tenant_id, environment, product_id)
      join topup.product_version v using (tenant_id, environment, product_id, version)
     where b.tenant_id = $1 and b.environment = $2::topup.environment and b.customer_id = $3
       and s.valid_from <= $5 and coalesce(s.valid_to > $4, true)
     order by b.subscription_id, s.product_id, s.valid_from";

/// The versions whose time touches that of the events; prices pay from what the customer has. Where two
/// subscriptions have the same product, the older one comes first.
pub fn at_events(book: &Book, customer_id: Uuid, events: &[&UsageEvent]) -> Result<Vec<Plan>, Failure> {
    let times = || events.iter().map(|event| event.occurred_at.timestamp());
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(Vec::new()) };
    let (tenant_id, environment) = (book.tenant_id, book.environment.as_str());
    let arguments =
        args![tenant_id, environment, customer_id, PgTimestamp::from(first), PgTimestamp::from(last)];
    let mut plans = Vec::new();
    for (mut version, prices) in db::write(PLANS, arguments, read_plan)? {
        version.prices = serde_json::from_str(&prices)?;
        plans.push(version);
    }
    choose_assets(book, customer_id, plans.iter_mut().flat_map(|plan| &mut plan.prices))?;
    Ok(plans)
}

fn read_plan(row: &Row) -> DbResult<(Plan, String)> {
    let plan = Plan {
        product_id: row.uuid(1)?,
        product_code: row.get(2)?,
        version: row.get(3)?,
        prices: Vec::new(),
        valid_from_us: row.get(5)?,
        valid_to_us: row.maybe(6)?,
    };
    Ok((plan, row.get(4)?))
}

const ACCOUNTS: &str = "
    select name, asset from topup.account
     where tenant_id = $1 and environment = $2::topup.environment and customer_id = $3";

/// Puts first, in each price, the asset in which the customer pays: the first listed of which it has an
/// account, else the first listed.
pub fn choose_assets<'a>(
    book: &Book,
    customer_id: Uuid,
    prices: impl Iterator<Item = &'a mut Price>,
) -> DbResult<()> {
    let mut open: Vec<&mut Price> = prices.filter(|price| price.pricing.len() > 1).collect();
    if open.is_empty() {
        return Ok(());
    }
    let arguments = args![book.tenant_id, book.environment.as_str(), customer_id];
    let accounts: BTreeSet<(String, String)> =
        db::write(ACCOUNTS, arguments, |row| Ok((row.get(1)?, row.get(2)?)))?.into_iter().collect();
    for price in &mut open {
        let name = price.account_name().to_owned();
        let has = |asset: &str| accounts.contains(&(name.clone(), asset.to_owned()));
        let chosen = price.pricing.iter().position(|pricing| has(&pricing.asset)).unwrap_or(0);
        price.pricing.swap(0, chosen);
    }
    Ok(())
}

/// The name and asset of the account that pays a price whose asset is chosen.
pub fn payer(price: &Price) -> Option<(&str, &str)> {
    Some((price.account_name(), price.pricing.first()?.asset.as_str()))
}

/// The account that pays a price whose asset is chosen.
pub fn payer_id(customer_id: Uuid, price: &Price) -> Option<Uuid> {
    payer(price).map(|(name, asset)| account::customer_account_id(customer_id, name, asset))
}
