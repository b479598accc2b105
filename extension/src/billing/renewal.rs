//! Renewals: what a subscription owes is collected from the customer's balance, and what it brings is granted, when
//! it starts and at each period's end. What the balance does not cover leaves it action_required, without the
//! credit, until it is covered and tried again.

use std::collections::{BTreeMap, BTreeSet};

use num_rational::BigRational;
use num_traits::{One, Zero};
use pgrx::prelude::*;
use serde::Serialize;
use uuid::Uuid;

use super::item::{self, Item, What};
use super::plan;
use super::pricing::{self, Entitlement, Price, RefreshStrategy};
use super::rollover;
use crate::ledger::account::{self, System};
use crate::ledger::asset;
use crate::ledger::grant::{GrantTerms, Purpose};
use crate::ledger::{self, Header, Posting};
use crate::pg::db::{self, Row, args, from_pg};
use crate::value::amount::Amount;
use crate::value::book::{Book, Environment};
use crate::value::id::{self, Kind};
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::{Failure, or_error};

/// How long after a failed collection the next one is tried; after each further one twice as long.
const RETRY_S: i32 = 60;
const RETRY_S_MAX: i32 = 3600;
/// Periods that are made up for at once, at most; the rest comes with the next run.
const PERIODS_MAX: usize = 24;

const LOCK: &str = "
    select customer_id, status, moves, starts_at <= clock_timestamp() from topup.subscription
     where tenant_id = $1 and environment = $2::topup.environment and subscription_id = $3 for update";

const SET: &str = "
    update topup.subscription s
       set status = $4, moves = $5,
           failures = case when $4 = 'action_required' then s.failures + 1 else 0 end,
           due_at = case when $4 = 'action_required'
                         then clock_timestamp() + make_interval(secs => least($6 * 2 ^ least(s.failures, 20), $7))
                         else (select min(i.next_at) from topup.subscription_item i
                                where i.tenant_id = s.tenant_id and i.environment = s.environment
                                  and i.subscription_id = s.subscription_id and i.is_part) end
     where s.tenant_id = $1 and s.environment = $2::topup.environment and s.subscription_id = $3";

/// A subscription under lock.
struct Locked<'a> {
    book: &'a Book,
    subscription_id: Uuid,
    customer_id: Uuid,
    moves: i32,
}

/// Does for a subscription what is due. One that has not started or has ended is left alone.
pub fn run(book: &Book, subscription_id: Uuid) -> Result<(), Failure> {
    let (tenant_id, environment) = (book.tenant_id, book.environment.as_str());
    let found = db::write(LOCK, args![tenant_id, environment, subscription_id], |row| {
        Ok((row.uuid(1)?, row.get::<String>(2)?, row.get::<i32>(3)?, row.get::<bool>(4)?))
    })?;
    let Some((customer_id, before, moves, has_started)) = found.into_iter().next() else { return Ok(()) };
    if before == "inactive" || !has_started {
        return Ok(());
    }
    let mut locked = Locked { book, subscription_id, customer_id, moves };
    let mut status = "active";
    // What could not be had when it was due begins now, price and credit alike.
    let late_from = (before == "action_required").then(PgTimestamp::now);
    for _ in 0..PERIODS_MAX {
        let items = item::due(book, customer_id, subscription_id)?;
        if items.is_empty() {
            break;
        }
        // Nothing is written before it is clear that all of it can be.
        let accounts = locked.lock_accounts(&items)?;
        if !locked.takes(&items, &accounts)? || !locked.collect(&items)? {
            status = "action_required";
            break;
        }
        for item in &items {
            match &item.what {
                What::Price(_) => {
                    item.advance(book, subscription_id, late_from)?;
                }
                What::Entitlement(entitlement) => locked.grant(item, entitlement, late_from)?,
            }
        }
    }
    db::execute(
        SET,
        args![tenant_id, environment, subscription_id, status, locked.moves, RETRY_S, RETRY_S_MAX],
    )?;
    Ok(())
}

/// What the journal keeps of a collection.
#[derive(Serialize)]
struct Detail<'a> {
    subscription_id: String,
    prices: &'a [Charge<'a>],
}

/// What was charged.
#[derive(Serialize)]
struct Charge<'a> {
    price_id: &'a str,
    price_name: &'a str,
    asset: &'a str,
    amount: Amount,
}

impl Locked<'_> {
    /// The caller's own id of the next move of credit.
    fn next_reference(&mut self) -> String {
        self.moves += 1;
        format!("{}/{}", Kind::Subscription.text(self.subscription_id), self.moves)
    }

    /// Locks all accounts of these items at once: one after the other could meet another's in the other order.
    fn lock_accounts(&self, items: &[Item]) -> Result<Vec<ledger::Locked>, Failure> {
        let accounts: BTreeSet<Uuid> = items.iter().filter_map(|item| self.account_id(item)).collect();
        let accounts: Vec<Uuid> = accounts.into_iter().collect();
        if accounts.is_empty() { Ok(Vec::new()) } else { ledger::lock(self.book, &accounts) }
    }

    /// Whether the accounts have room for the credit of all entitlements among these items.
    fn takes(&self, items: &[Item], accounts: &[ledger::Locked]) -> Result<bool, Failure> {
        let mut wanted: BTreeMap<Uuid, (Amount, usize)> = BTreeMap::new();
        for item in items {
            let What::Entitlement(entitlement) = &item.what else { continue };
            let Some(account_id) = self.account_id(item) else { continue };
            let Some(credit) = entitlement.amount.plus(self.left_over(item, entitlement)?) else {
                return Ok(false);
            };
            let (sum, count) = wanted.get(&account_id).copied().unwrap_or_default();
            let Some(sum) = sum.plus(credit) else { return Ok(false) };
            wanted.insert(account_id, (sum, count + 1));
        }
        let takes = |(account_id, (sum, count)): (&Uuid, &(Amount, usize))| {
            let account = accounts.iter().find(|account| account.account_id == *account_id);
            account.is_some_and(|account| account.takes_grants(*sum, *count))
        };
        Ok(wanted.iter().all(takes))
    }

    /// What is left of the period before, of an entitlement that rolls over. The account is locked.
    fn left_over(&self, item: &Item, entitlement: &Entitlement) -> Result<Amount, Failure> {
        let strategy = entitlement.lifecycle.refresh.as_ref().map(|refresh| refresh.strategy);
        let earlier = item.granted_by.filter(|_| strategy == Some(RefreshStrategy::Rollover));
        let (Some(earlier), Some(account_id)) = (earlier, self.account_id(item)) else {
            return Ok(Amount::ZERO);
        };
        rollover::left_over(self.book, account_id, earlier)
    }

    /// The account that pays for an item, or receives it.
    fn account_id(&self, item: &Item) -> Option<Uuid> {
        match &item.what {
            What::Price(price) => plan::payer_id(self.customer_id, price),
            What::Entitlement(entitlement) => {
                Some(account::customer_account_id(self.customer_id, "default", &entitlement.asset))
            }
        }
    }

    /// Charges all prices among the items in one transaction; false, and nothing written, where a balance does
    /// not cover them.
    fn collect(&mut self, items: &[Item]) -> Result<bool, Failure> {
        let mut charges = Vec::new();
        let mut owed: BTreeMap<(Uuid, &str), Amount> = BTreeMap::new();
        for item in items {
            let What::Price(price) = &item.what else { continue };
            let Some((_, asset)) = plan::payer(price) else { continue };
            let Some(amount) = self.fixed_amount(price, asset)? else { return Ok(false) };
            let Some(account_id) = plan::payer_id(self.customer_id, price) else { continue };
            let sum = owed.entry((account_id, asset)).or_default();
            let Some(total) = sum.plus(amount) else { return Ok(false) };
            *sum = total;
            charges.push(Charge { price_id: price.id(), price_name: &price.name, asset, amount });
        }
        owed.retain(|_, amount| *amount != Amount::ZERO);
        if owed.is_empty() {
            return Ok(true);
        }
        let accounts: Vec<Uuid> = owed.keys().map(|(account_id, _)| *account_id).collect();
        let locked = ledger::lock(self.book, &accounts)?;
        let covered = owed.iter().all(|((account_id, _), amount)| {
            locked.iter().any(|account| account.account_id == *account_id && account.covers(*amount))
        });
        if !covered {
            return Ok(false);
        }
        let mut postings = Vec::new();
        let mut earned: BTreeMap<&str, Amount> = BTreeMap::new();
        for ((account_id, asset), amount) in &owed {
            postings.push(Posting::new(*account_id, -*amount));
            let sum = earned.entry(asset).or_default();
            *sum = sum.plus(*amount).ok_or_else(beyond)?;
        }
        for (asset, amount) in earned {
            postings.push(Posting::new(
                account::system_id(self.book.tenant_id, self.book.environment, System::Revenue, asset),
                amount,
            ));
        }
        let subscription_id = Kind::Subscription.text(self.subscription_id);
        let detail = serde_json::to_string(&Detail { subscription_id, prices: &charges })?;
        let reference = self.next_reference();
        let header = Header {
            transaction_id: id::new(),
            kind: "subscription",
            top_up_id: None,
            reference: Some(&reference),
            detail: Some(detail),
        };
        ledger::post(self.book, header, &locked, &postings)?;
        Ok(true)
    }

    /// What a fixed price comes to, rounded to the precision of its asset; none where no account could hold it.
    fn fixed_amount(&self, price: &Price, asset: &str) -> Result<Option<Amount>, Failure> {
        let values = price.pricing.first().map(|pricing| pricing.values.as_slice()).unwrap_or_default();
        let exact = values.iter().fold(BigRational::zero(), |sum, value| {
            let quantity = value.quantity.map_or_else(BigRational::one, Amount::to_fraction);
            sum + value.unit_price.unwrap_or_default().to_fraction() * quantity
        });
        let precision = asset::find(self.book, asset)?.map(|asset| asset.precision).unwrap_or_default();
        Ok(Amount::rounded(&exact, precision))
    }

    /// Grants an entitlement for the period that begins. One that rolls over takes along what was left.
    fn grant(
        &mut self,
        item: &Item,
        entitlement: &Entitlement,
        late_from: Option<PgTimestamp>,
    ) -> Result<(), Failure> {
        let expires_at = item.advance(self.book, self.subscription_id, late_from)?;
        if expires_at.is_none_or(|expires_at| expires_at <= jiff::Timestamp::now()) {
            // The worker was away for the whole of this period. What was left before it rolls over still.
            return Ok(());
        }
        let transaction_id = id::new();
        item.note_grant(self.book, self.subscription_id, transaction_id)?;
        let asset = &entitlement.asset;
        let account_id = account::customer_account_id(self.customer_id, "default", asset);
        let locked = ledger::lock(self.book, &[account_id])?;
        let left = self.left_over(item, entitlement)?;
        let credit = entitlement.amount.plus(left).ok_or_else(beyond)?;
        let given = account::system_id(self.book.tenant_id, self.book.environment, System::Adjustment, asset);
        let mut postings = vec![Posting::new(account_id, credit), Posting::new(given, -entitlement.amount)];
        if left != Amount::ZERO {
            let breakage =
                account::system_id(self.book.tenant_id, self.book.environment, System::Breakage, asset);
            postings.push(Posting::new(breakage, -left));
        }
        let purpose = match entitlement.purpose {
            pricing::Purpose::Bundled => Purpose::Bundled,
            pricing::Purpose::Promotion => Purpose::Promotional,
        };
        let priority = entitlement.priority.unwrap_or(0);
        let terms =
            GrantTerms { purpose, priority, effective_at: None, expires_at: expires_at.map(Into::into) };
        let subscription_id = Kind::Subscription.text(self.subscription_id);
        let detail =
            serde_json::json!({ "subscription_id": subscription_id, "entitlement": entitlement.name });
        let reference = self.next_reference();
        let header = Header {
            transaction_id,
            kind: "entitlement",
            top_up_id: None,
            reference: Some(&reference),
            detail: Some(detail.to_string()),
        };
        let posted = ledger::post_granting(self.book, header, &locked, &postings, &[(account_id, terms)]);
        // It was looked at before the first write, so this cannot be refused; and must not, with half of it done.
        posted.map(drop).map_err(|failure| match failure {
            Failure::Refused(refusal) => {
                Failure::Fault(format!("an entitlement was refused: {}", refusal.message))
            }
            fault => fault,
        })
    }
}

fn beyond() -> Failure {
    Failure::Fault("a subscription moves more than an account can hold".to_owned())
}

const TRY_AGAIN: &str = "
    update topup.subscription set due_at = clock_timestamp()
     where tenant_id = $1 and environment = $2::topup.environment and customer_id = $3 and status = 'action_required'";

/// The customer is about to get credit: what could not be collected is tried again. Before its accounts are locked.
pub fn try_again(book: &Book, customer_id: Uuid) -> Result<(), Failure> {
    Ok(db::execute(TRY_AGAIN, args![book.tenant_id, book.environment.as_str(), customer_id])?)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn renew(tenant_id: pgrx::Uuid, environment: &str, wallet_id: pgrx::Uuid, subscription_id: pgrx::Uuid) {
    let Some(environment) = Environment::parse(environment) else { error!("no such environment") };
    let book = Book { tenant_id: from_pg(tenant_id), environment, wallet_id: from_pg(wallet_id) };
    or_error(run(&book, from_pg(subscription_id)));
}

const RENEW_DUE: &str = "select topup.renew_due()";

/// Does for one subscription, of any tenant, what is due; false where nothing is.
pub fn run_due() -> Result<bool, Failure> {
    Ok(db::write_range(RENEW_DUE, args![], |row: &Row| row.get(1))?.into_iter().any(|found| found))
}
