//! Items of a subscription: each fixed price with the time when it is charged next, each entitlement with the
//! time when it is granted next. Periods are counted from an anchor, so that months do not drift.

use std::collections::BTreeSet;

use jiff::Timestamp;
use uuid::Uuid;

use super::plan;
use super::pricing::{BillingType, Entitlement, Interval, Price, PriceType, Timing};
use crate::ledger::account;
use crate::pg::db::{self, DbResult, Row, args};
use crate::value::book::Book;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::Failure;

/// Something that is due.
pub struct Item {
    pub product_id: Uuid,
    pub what: What,
    pub granted_by: Option<Uuid>,
}

pub enum What {
    Price(Box<Price>),
    Entitlement(Entitlement),
}

/// What a version has that runs by the calendar.
pub struct Contents {
    pub prices: Vec<Price>,
    pub entitlements: Vec<Entitlement>,
}

impl Contents {
    fn fixed_prices(&self) -> impl Iterator<Item = &Price> {
        self.prices.iter().filter(|price| price.r#type == PriceType::Fixed)
    }
}

const CONTENTS: &str = "
    select prices::text, entitlements::text from topup.product_version
     where tenant_id = $1 and environment = $2::topup.environment and product_id = $3 and version = $4";

pub fn contents(book: &Book, customer_id: Uuid, product_id: Uuid, version: i32) -> Result<Contents, Failure> {
    let arguments = args![book.tenant_id, book.environment.as_str(), product_id, version];
    let found = db::write(CONTENTS, arguments, |row| Ok((row.get::<String>(1)?, row.get::<String>(2)?)))?;
    let missing = || Failure::Fault("a version that is subscribed to is not there".to_owned());
    let (prices, entitlements) = found.into_iter().next().ok_or_else(missing)?;
    let mut contents = Contents {
        prices: serde_json::from_str(&prices)?,
        entitlements: serde_json::from_str(&entitlements)?,
    };
    plan::choose_assets(book, customer_id, contents.prices.iter_mut())?;
    Ok(contents)
}

/// An item that is there already goes on as it was. One that comes back goes on too; where its time has come
/// meanwhile, a period begins now.
const BEGIN: &str = "
    insert into topup.subscription_item as i (tenant_id, environment, subscription_id, product_id, kind, item, anchor, periods,
                                              next_at)
    select $1, $2::topup.environment, $3, $4, $5, $6, case when $7 is null then b.at else coalesce(s.first_renews_at, b.at) end,
           case when $7 is null or s.first_renews_at is not null then 0 else 1 end,
           case when $7 is null then b.at
                else coalesce(s.first_renews_at, (b.at at time zone 'UTC' + $7::interval) at time zone 'UTC') end
      from topup.subscription s, lateral (select greatest(s.starts_at, clock_timestamp()) as at) b
     where s.tenant_id = $1 and s.environment = $2::topup.environment and s.subscription_id = $3
    on conflict (tenant_id, environment, subscription_id, product_id, kind, item) do update
       set is_part = true,
           anchor = case when not i.is_part and i.next_at < clock_timestamp() then excluded.anchor else i.anchor end,
           periods = case when not i.is_part and i.next_at < clock_timestamp() then excluded.periods else i.periods end,
           next_at = case when not i.is_part and i.next_at < clock_timestamp() then excluded.next_at else i.next_at end";

/// What is no part of the version any more is kept, so that what was paid or granted once is not so again.
const END: &str = "
    update topup.subscription_item set is_part = false
     where tenant_id = $1 and environment = $2::topup.environment and subscription_id = $3 and product_id = $4
       and not (kind = 'price' and item = any ($5)) and not (kind = 'entitlement' and item = any ($6))";

/// Makes the items of a product's version, ends those of an earlier one that it does not have, and opens the
/// accounts that the customer will use.
pub fn begin(
    book: &Book,
    customer_id: Uuid,
    subscription_id: Uuid,
    product_id: Uuid,
    version: i32,
) -> Result<(), Failure> {
    let contents = contents(book, customer_id, product_id, version)?;
    let payers = contents.prices.iter().filter_map(plan::payer);
    let receivers = contents.entitlements.iter().map(|entitlement| ("default", entitlement.asset.as_str()));
    for (name, asset) in payers.chain(receivers).collect::<BTreeSet<_>>() {
        account::open_for_customer(book, customer_id, name, asset)?;
    }
    let (tenant_id, environment) = (book.tenant_id, book.environment.as_str());
    let prices: Vec<String> = contents.fixed_prices().map(|price| price.id().to_owned()).collect();
    let names: Vec<String> = contents.entitlements.iter().map(|it| it.name.clone()).collect();
    db::execute(END, args![tenant_id, environment, subscription_id, product_id, prices, names.clone()])?;
    let begin = |kind: &str, item: &str, waits: Option<String>| {
        let key = args![tenant_id, environment, subscription_id, product_id, kind, item, waits];
        db::execute(BEGIN, key)
    };
    for price in contents.fixed_prices() {
        let in_arrears = price.collection.as_ref().is_some_and(|it| it.timing == Some(Timing::InArrears));
        begin("price", price.id(), in_arrears.then(|| price_interval(price)).flatten())?;
    }
    for name in &names {
        begin("entitlement", name, None)?;
    }
    Ok(())
}

/// How long a period of a fixed price is, as SQL writes it; nothing where it is charged once.
pub fn price_interval(price: &Price) -> Option<String> {
    let recurring = price.billing_model.recurring.as_ref()?;
    let is_recurring = price.billing_model.r#type == BillingType::Recurring;
    is_recurring.then(|| interval(recurring.interval, recurring.interval_count))
}

pub fn interval(unit: Interval, count: Option<i32>) -> String {
    let unit = match unit {
        Interval::Day => "days",
        Interval::Week => "weeks",
        Interval::Month => "months",
        Interval::Year => "years",
    };
    format!("{} {unit}", count.unwrap_or(1))
}

const DUE: &str = "
    select i.product_id, i.kind, i.item, i.granted_by, p.version
      from topup.subscription_item i
      join topup.subscription_product p using (tenant_id, environment, subscription_id, product_id)
     where i.tenant_id = $1 and i.environment = $2::topup.environment and i.subscription_id = $3
       and p.valid_to is null and i.is_part and i.next_at <= clock_timestamp()
     order by i.kind desc, i.product_id, i.item";

/// What is due now: prices before entitlements.
pub fn due(book: &Book, customer_id: Uuid, subscription_id: Uuid) -> Result<Vec<Item>, Failure> {
    let arguments = args![book.tenant_id, book.environment.as_str(), subscription_id];
    let mut items = Vec::new();
    let mut read: Option<(Uuid, Contents)> = None;
    for (product_id, kind, name, granted_by, version) in db::write(DUE, arguments, read_due)? {
        let contents = match read.take() {
            Some((id, contents)) if id == product_id => contents,
            _ => contents(book, customer_id, product_id, version)?,
        };
        let price = contents.prices.iter().find(|price| kind == "price" && price.id() == name);
        let entitlement = contents.entitlements.iter().find(|it| kind == "entitlement" && it.name == name);
        let what =
            price.cloned().map(Box::new).map(What::Price).or(entitlement.cloned().map(What::Entitlement));
        items.extend(what.map(|what| Item { product_id, what, granted_by }));
        read = Some((product_id, contents));
    }
    Ok(items)
}

type Due = (Uuid, String, String, Option<Uuid>, i32);

fn read_due(row: &Row) -> DbResult<Due> {
    Ok((row.uuid(1)?, row.get(2)?, row.get(3)?, row.maybe_uuid(4)?, row.get(5)?))
}

/// The first period may have an end of its own; the ones after it are counted from there. A period that could
/// not be had in its time is not made up for: the next one is counted from now, or ends where the first was to.
const ADVANCE: &str = "
    update topup.subscription_item i
       set anchor = n.anchor, periods = n.periods,
           next_at = case when $7 is null then null
                          else (n.anchor at time zone 'UTC' + n.periods * $7::interval) at time zone 'UTC' end
      from topup.subscription s
     cross join lateral (
           select case when x.own_end then s.first_renews_at when $8::timestamptz is not null then $8 else x.anchor end as anchor,
                  case when x.own_end then 0 when $8::timestamptz is not null then 1 else x.periods + 1 end as periods
             from (select y.anchor, y.periods,
                          y.kind = 'price' and y.periods = 0 and y.anchor < s.first_renews_at
                              and ($8::timestamptz is null or s.first_renews_at > $8) as own_end
                     from topup.subscription_item y
                    where y.tenant_id = $1 and y.environment = $2::topup.environment and y.subscription_id = $3
                      and y.product_id = $4 and y.kind = $5 and y.item = $6) x) n
     where s.tenant_id = $1 and s.environment = $2::topup.environment and s.subscription_id = $3
       and i.tenant_id = $1 and i.environment = $2::topup.environment and i.subscription_id = $3
       and i.product_id = $4 and i.kind = $5 and i.item = $6
    returning (extract(epoch from coalesce(i.next_at, (clock_timestamp() at time zone 'UTC' + $9::interval) at time zone 'UTC'))
               * 1000000)::bigint";

impl Item {
    /// Sets the item to its next period, or to none; it begins when the one before ends, or at `from`. Returns when
    /// it ends.
    pub fn advance(
        &self,
        book: &Book,
        subscription_id: Uuid,
        from: Option<PgTimestamp>,
    ) -> Result<Option<Timestamp>, Failure> {
        let (kind, name, period, lifetime) = match &self.what {
            What::Price(price) => ("price", price.id(), price_interval(price), None),
            What::Entitlement(entitlement) => {
                let cycle = &entitlement.lifecycle;
                let lifetime = interval(cycle.duration, cycle.duration_count);
                let period = cycle.refresh.is_some().then(|| lifetime.clone());
                ("entitlement", entitlement.name.as_str(), period, Some(lifetime))
            }
        };
        let (tenant_id, environment) = (book.tenant_id, book.environment.as_str());
        let arguments = args![
            tenant_id,
            environment,
            subscription_id,
            self.product_id,
            kind,
            name,
            period,
            from,
            lifetime
        ];
        let ends = db::write(ADVANCE, arguments, |row| row.maybe::<i64>(1))?;
        Ok(ends.into_iter().flatten().next().and_then(|us| Timestamp::from_microsecond(us).ok()))
    }

    /// Remembers which transaction grants the credit of the period that begins.
    pub fn note_grant(&self, book: &Book, subscription_id: Uuid, transaction_id: Uuid) -> DbResult<()> {
        let What::Entitlement(entitlement) = &self.what else { return Ok(()) };
        let (tenant_id, environment) = (book.tenant_id, book.environment.as_str());
        let name = entitlement.name.as_str();
        db::execute(
            NOTE_GRANT,
            args![tenant_id, environment, subscription_id, self.product_id, name, transaction_id],
        )
    }
}

const NOTE_GRANT: &str = "
    update topup.subscription_item set granted_by = $6
     where tenant_id = $1 and environment = $2::topup.environment and subscription_id = $3 and product_id = $4
       and kind = 'entitlement' and item = $5";
