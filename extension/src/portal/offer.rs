//! What a customer can buy in the portal: credit for its accounts, in the currencies that have a rate.

use serde::Serialize;

use crate::ledger::asset::{self, is_fiat};
use crate::payment::currency;
use crate::pg::db::{self, DbResult, args};
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::reply::Failure;
use crate::value::wire_time::WireTime;
use crate::wallet::asset_rate;
use crate::wallet::movement::NAME_DEFAULT;

/// So many of the tenant's assets are offered beside the accounts that there are.
const ASSETS_MAX: i64 = 20;
const USD: &str = crate::ledger::account::USD;

/// Credit of an account for money.
#[derive(Serialize)]
pub struct Offer {
    /// `{name}:{asset}`
    pub account_id: String,
    pub account_name: String,
    pub asset: String,
    pub currency: String,
    /// How many decimals a charge in the currency has.
    pub decimals: u32,
    /// The least and the most that is charged at once.
    pub least: String,
    pub most: String,
    /// Units of the asset for one unit of the currency; null: it is the same.
    pub rate: Option<String>,
}

const SOURCES: &str = "
    select distinct source from topup.asset_rate
     where tenant_id = $1 and environment = $2::topup.environment and code = $3 order by source";

const ASSETS: &str = "
    select code from topup.asset
     where tenant_id = $1 and environment = $2::topup.environment order by created_at, code limit $3";

/// What there is for these accounts (name and asset), and then for default accounts that the customer could have too.
pub fn offers(book: &Book, accounts: &[(String, String)]) -> Result<Vec<Offer>, Failure> {
    let arguments = args![book.tenant_id, book.environment.as_str(), ASSETS_MAX];
    let mut wanted = accounts.to_vec();
    let mut codes = db::read(ASSETS, arguments, |row| row.get::<String>(1))?;
    codes.push(USD.to_owned());
    for code in codes {
        let account = (NAME_DEFAULT.to_owned(), code);
        if !wanted.contains(&account) {
            wanted.push(account);
        }
    }
    let mut offers = Vec::new();
    for (name, code) in &wanted {
        offers.extend(of_account(book, name, code)?);
    }
    Ok(offers)
}

fn of_account(book: &Book, name: &str, code: &str) -> Result<Vec<Offer>, Failure> {
    if is_fiat(code) {
        return Ok(vec![offer(name, code, code, None)]);
    }
    let Some(asset) = asset::find(book, code)? else { return Ok(Vec::new()) };
    let mut offers = Vec::new();
    for source in sources(book, code)? {
        let rate =
            asset_rate::at(book, &asset.code, &source, WireTime::now())?.and_then(|rate| rate.inverse());
        offers.extend(rate.map(|rate| offer(name, code, &source, Some(rate))));
    }
    Ok(offers)
}

fn sources(book: &Book, code: &str) -> DbResult<Vec<String>> {
    let arguments = args![book.tenant_id, book.environment.as_str(), code];
    let mut sources = db::read(SOURCES, arguments, |row| row.get::<String>(1))?;
    sources.retain(|source| is_fiat(source));
    Ok(sources)
}

fn offer(name: &str, asset: &str, currency: &str, rate: Option<Amount>) -> Offer {
    let (least, most) = currency::limits(currency);
    Offer {
        account_id: format!("{name}:{asset}"),
        account_name: name.to_owned(),
        asset: asset.to_owned(),
        currency: currency.to_owned(),
        decimals: currency::decimals(currency),
        least: least.to_string(),
        most: most.to_string(),
        rate: rate.map(|rate| rate.to_string()),
    }
}
