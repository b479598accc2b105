//! What money buys: the credit for an amount, at a given rate or at the asset's own.

use pg_topup_contract::Code;

use super::currency;
use crate::ledger::asset::{self, is_fiat};
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::reply::{Failure, Refusal};
use crate::value::wire_time::WireTime;
use crate::wallet::asset_rate;
use crate::wallet::exchange::Rate;

const ONE: &str = "1";

/// What an amount buys.
pub struct Bought {
    pub asset: String,
    pub credit: Amount,
    /// Units of the asset for one unit of the currency.
    pub exchange_rate: Amount,
}

fn invalid(field: &str, message: impl Into<String>) -> Failure {
    Refusal::of_field(Code::InvalidRequest, field, message).into()
}

/// Refuses what no provider charges.
pub fn check_amount(currency: &str, amount: Amount) -> Result<(), Failure> {
    if !is_fiat(currency) {
        return Err(invalid("currency", "This is no currency (ISO 4217)."));
    }
    if currency::minor(amount, currency).is_some() {
        return Ok(());
    }
    let ((least, most), decimals) = (currency::limits(currency), currency::decimals(currency));
    let message =
        format!("The amount must be from {least} to {most} {currency}, with at most {decimals} decimals.");
    Err(Refusal::of_field(Code::AmountOutOfRange, "amount", message).into())
}

/// What an amount of a currency buys of an asset: at the given rate (units of the asset for one of the currency), else
/// at the asset's rate of now.
pub fn buy(
    book: &Book,
    code: &str,
    currency: &str,
    amount: Amount,
    given: Option<Amount>,
) -> Result<Bought, Failure> {
    let missing = || invalid("destination.asset", "There is no such asset.");
    let asset = asset::find(book, code)?.ok_or_else(missing)?;
    let given = given.map(Rate::Inverse);
    if let Some(rate) = given {
        asset_rate::check_rate(rate, "destination.exchange_rate")?;
    }
    let rate = if code == currency {
        of_itself(given)?
    } else {
        let known = match given {
            Some(rate) => Some(rate),
            None => asset_rate::at(book, code, currency, WireTime::now())?,
        };
        let no_rate = || {
            let message = format!("{code} has no rate in {currency}: tell an exchange_rate.");
            invalid("destination.exchange_rate", message)
        };
        known.ok_or_else(no_rate)?
    };
    let nothing = || {
        let message = format!("The amount buys no {code} at this rate, or more than an account can hold.");
        Failure::from(Refusal::of_field(Code::AmountOutOfRange, "amount", message))
    };
    let credit = rate.convert(amount, asset.precision).filter(|credit| *credit > Amount::ZERO);
    let (credit, exchange_rate) = credit.zip(rate.inverse()).ok_or_else(nothing)?;
    Ok(Bought { asset: asset.code, credit, exchange_rate })
}

/// A currency in itself is worth 1, and no other rate can be given.
fn of_itself(given: Option<Rate>) -> Result<Rate, Refusal> {
    let one = Rate::Inverse(ONE.parse().unwrap_or_default());
    if given.is_some_and(|given| given != one) {
        let message = "The exchange rate of a currency in itself is 1.";
        return Err(Refusal::new(Code::InvalidRequest, message));
    }
    Ok(one)
}
