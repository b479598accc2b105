//! What a batch of events costs, and how it is booked: one transaction, a fee row for each event and price, and
//! the meters moved on.

use std::collections::{BTreeMap, BTreeSet};

use pg_topup_contract::Code;
use pgrx::spi::SpiError;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::plan::{self, Plan};
use super::pricing::{self, Day, MeterKey, Meters, Price};
use super::product::precisions;
use super::usage_event::{self, FeeBasis, UsageEvent};
use crate::ledger::account::{self, System};
use crate::ledger::{self, Header, Locked, Posting};
use crate::pg::db::{self, args};
use crate::pg::interrupt;
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::id;
use crate::value::reply::{Failure, Refusal};

/// A sum in one asset.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Total {
    /// The code of the asset, such as `USD`.
    pub asset: String,
    /// The sum, in major units of the asset.
    pub amount: Amount,
}

/// A fee on its way into the table.
#[derive(Serialize)]
struct FeeRow {
    event_id: String,
    position: usize,
    fee_id: Uuid,
    account_id: Uuid,
    product_id: Uuid,
    product_code: String,
    product_version: i32,
    #[serde(flatten)]
    basis: FeeBasis,
    quantity: Option<Amount>,
    period_day: Option<i32>,
}

/// The fees of a batch, and where they leave the meters.
pub struct Booking {
    fees: Vec<FeeRow>,
    meters: BTreeMap<MeterKey, Amount>,
}

impl Booking {
    /// Prices events in the order in which they come. It writes nothing.
    pub fn price(
        book: &Book,
        customer_id: Uuid,
        plans: &[Plan],
        events: &[(usize, &UsageEvent)],
    ) -> Result<Booking, Failure> {
        let assets = plans.iter().flat_map(|plan| &plan.prices).filter_map(plan::payer);
        let assets: BTreeSet<String> = assets.map(|(_, asset)| asset.to_owned()).collect();
        let precisions = precisions(book, &assets)?;
        let mut meters = read_meters(book, customer_id, plans, events)?;
        let mut booking = Booking { fees: Vec::new(), meters: BTreeMap::new() };
        for (n, event) in events {
            let of_event = |refusal| usage_event::of_event(refusal, *n);
            let usage = event.usage();
            let (mut priced_by, mut position) = (BTreeSet::new(), 0);
            for version in plans {
                // A product prices an event once, however often it is subscribed to.
                if !version.is_valid_at(usage.occurred_at) || !priced_by.insert(version.product_id) {
                    continue;
                }
                for fee in pricing::fees(&version.prices, &usage, &mut meters).map_err(of_event)? {
                    let Some(account_id) = plan::payer_id(customer_id, fee.price) else { continue };
                    let precision = precisions.get(fee.asset).copied().unwrap_or_default();
                    if let Some((key, _)) = &fee.metered {
                        booking.meters.insert(key.clone(), meters.reading(key));
                    }
                    booking.fees.push(FeeRow {
                        event_id: event.id.clone(),
                        position,
                        fee_id: id::new(),
                        account_id,
                        product_id: version.product_id,
                        product_code: version.product_code.clone(),
                        product_version: version.version,
                        basis: FeeBasis::of(&fee, event, precision).map_err(of_event)?,
                        quantity: fee.metered.as_ref().map(|(_, quantity)| *quantity),
                        period_day: fee.metered.map(|(key, _)| key.period_start.since_2000()),
                    });
                    position += 1;
                }
            }
            usage_event::check_fees(booking.fees.len(), events.len())?;
        }
        booking.totals()?;
        Ok(booking)
    }

    /// The ids of the events that something priced, be it at nothing.
    pub fn priced(&self) -> BTreeSet<&str> {
        self.fees.iter().map(|fee| fee.event_id.as_str()).collect()
    }

    /// What each account pays, with its asset.
    fn totals(&self) -> Result<BTreeMap<(Uuid, &str), Amount>, Failure> {
        let mut totals: BTreeMap<(Uuid, &str), Amount> = BTreeMap::new();
        for fee in &self.fees {
            interrupt::check();
            let total = totals.entry((fee.account_id, &fee.basis.currency)).or_default();
            let message = "Together these events cost more than an account can hold.";
            let beyond = || Refusal::of_field(Code::InvalidRequest, "events", message);
            *total = total.plus(fee.basis.amount).ok_or_else(beyond)?;
        }
        Ok(totals)
    }

    /// Refuses what would take an account below all that it can owe: nothing may be written before that.
    pub fn check(&self, locked: &[Locked]) -> Result<(), Failure> {
        let totals = self.totals()?;
        let borne = |((account_id, _), total): (&(Uuid, &str), &Amount)| {
            locked.iter().any(|account| account.account_id == *account_id && account.bears(*total))
        };
        if totals.iter().all(borne) {
            return Ok(());
        }
        let message = "With these events an account would owe more than it can hold.";
        Err(Refusal::of_field(Code::AmountOutOfRange, "events", message).into())
    }

    /// Books the fees and returns what they come to in each asset. It is checked already.
    pub fn post(
        self,
        book: &Book,
        customer_id: Uuid,
        locked: &[Locked],
        events: usize,
    ) -> Result<Vec<Total>, Failure> {
        if self.fees.is_empty() {
            return Ok(Vec::new());
        }
        let totals = self.totals()?;
        let (mut postings, mut sums) = (Vec::new(), BTreeMap::<&str, Amount>::new());
        for ((account_id, asset), total) in totals.iter().filter(|(_, total)| **total != Amount::ZERO) {
            postings.push(Posting::overdrawing(*account_id, -*total));
            let sum = sums.entry(asset).or_default();
            *sum = sum.plus(*total).ok_or_else(|| Failure::Fault("a sum beyond all accounts".to_owned()))?;
        }
        for (asset, sum) in &sums {
            postings.push(Posting::new(
                account::system_id(book.tenant_id, book.environment, System::Revenue, asset),
                *sum,
            ));
        }
        let transaction_id = id::new();
        if !postings.is_empty() {
            let detail = Some(format!(r#"{{"events": {events}, "fees": {}}}"#, self.fees.len()));
            let header = Header { transaction_id, kind: "usage", top_up_id: None, reference: None, detail };
            ledger::post(book, header, locked, &postings)?;
        }
        let booked_by = (!postings.is_empty()).then_some(transaction_id);
        let (tenant_id, environment) = (book.tenant_id, book.environment.as_str());
        let fees = serde_json::to_string(&self.fees)?;
        db::execute(KEEP_FEES, args![tenant_id, environment, booked_by, fees])?;
        if !self.meters.is_empty() {
            let meters: Vec<MeterRow> = self.meters.iter().map(MeterRow::of).collect();
            let arguments = args![tenant_id, environment, customer_id, serde_json::to_string(&meters)?];
            db::execute(SET_METERS, arguments)?;
        }
        Ok(sums.into_iter().map(|(asset, amount)| Total { asset: asset.to_owned(), amount }).collect())
    }
}

const KEEP_FEES: &str = "
    insert into topup.usage_fee (tenant_id, environment, transaction_id, event_id, position, fee_id, account_id, product_id,
                                 product_code, product_version, price_id, price_name, asset, dimensions, usage_type,
                                 volume_field, input_volume, unit_price, volume_rate, package_size, amount, quantity,
                                 period_start)
    select $1, $2::topup.environment, $3, event_id, position, fee_id, account_id, product_id, product_code, product_version,
           price_id, price_name, currency, nullif(dimensions, 'null'), usage_type, volume_field, input_volume, unit_price, volume_rate,
           package_size, amount, quantity, date '2000-01-01' + period_day
      from jsonb_to_recordset($4::jsonb) as f (event_id text, position integer, fee_id uuid, account_id uuid,
           product_id uuid, product_code text, product_version integer, price_id text, price_name text, currency text,
           dimensions jsonb, usage_type text, volume_field text, input_volume numeric, unit_price numeric,
           volume_rate numeric, package_size numeric, amount numeric, quantity numeric, period_day integer)";

/// A meter on its way into the table.
#[derive(Serialize)]
struct MeterRow<'a> {
    price_id: &'a str,
    dimensions: &'a str,
    period_day: i32,
    quantity: Amount,
}

impl<'a> MeterRow<'a> {
    fn of((key, quantity): (&'a MeterKey, &Amount)) -> MeterRow<'a> {
        MeterRow {
            price_id: &key.price_id,
            dimensions: &key.dimensions,
            period_day: key.period_start.since_2000(),
            quantity: *quantity,
        }
    }
}

const SET_METERS: &str = "
    insert into topup.usage_meter (tenant_id, environment, customer_id, price_id, dimensions, period_start, quantity)
    select $1, $2::topup.environment, $3, price_id, dimensions, date '2000-01-01' + period_day, quantity
      from jsonb_to_recordset($4::jsonb) as m (price_id text, dimensions text, period_day integer, quantity numeric)
    on conflict (tenant_id, environment, customer_id, price_id, dimensions, period_start) do update
       set quantity = excluded.quantity";

const METERS: &str = "
    select price_id, dimensions, period_start - date '2000-01-01', quantity::text from topup.usage_meter
     where tenant_id = $1 and environment = $2::topup.environment and customer_id = $3
       and price_id = any ($4) and period_start = any (array(select date '2000-01-01' + day from unnest($5) day))";

/// The meters that these events may move on; none where no price has tiers.
fn read_meters(
    book: &Book,
    customer_id: Uuid,
    plans: &[Plan],
    events: &[(usize, &UsageEvent)],
) -> Result<Meters, Failure> {
    let tiered: Vec<&Price> =
        plans.iter().flat_map(|plan| &plan.prices).filter(|price| price.has_tiers()).collect();
    if tiered.is_empty() || events.is_empty() {
        return Ok(Meters::default());
    }
    let prices: BTreeSet<String> = tiered.iter().map(|price| price.id().to_owned()).collect();
    let mut periods = BTreeSet::new();
    for (_, event) in events {
        let at = event.occurred_at.timestamp();
        periods.extend(tiered.iter().map(|price| MeterKey::new(price, None, at).period_start));
    }
    let prices: Vec<String> = prices.into_iter().collect();
    let periods: Vec<i32> = periods.into_iter().map(Day::since_2000).collect();
    let arguments = args![book.tenant_id, book.environment.as_str(), customer_id, prices, periods];
    let readings = db::write(METERS, arguments, |row| {
        let period_start = Day::from_days_since_2000(row.get(3)?).ok_or(SpiError::InvalidPosition)?;
        let key = MeterKey { price_id: row.get(1)?, dimensions: row.get(2)?, period_start };
        Ok((key, row.amount(4)?))
    })?;
    Ok(Meters::new(readings))
}
