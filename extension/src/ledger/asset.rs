//! Assets: what an account can hold, and how finely.

use pgrx::prelude::*;

use crate::pg::db::{self, DbResult, args};
use crate::value::book::Book;
use crate::value::reply::{Failure, Refusal};

/// Fiat money is kept to the billionth.
const FIAT_PRECISION: u32 = 9;

/// ISO 4217, the currencies in use.
const FIAT: &[&str] = &[
    "AED", "AFN", "ALL", "AMD", "ANG", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BGN", "BHD",
    "BIF", "BMD", "BND", "BOB", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHF", "CLP", "CNY",
    "COP", "CRC", "CUP", "CVE", "CZK", "DJF", "DKK", "DOP", "DZD", "EGP", "ERN", "ETB", "EUR", "FJD", "FKP",
    "GBP", "GEL", "GHS", "GIP", "GMD", "GNF", "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR", "ILS", "INR",
    "IQD", "IRR", "ISK", "JMD", "JOD", "JPY", "KES", "KGS", "KHR", "KMF", "KPW", "KRW", "KWD", "KYD", "KZT",
    "LAK", "LBP", "LKR", "LRD", "LSL", "LYD", "MAD", "MDL", "MGA", "MKD", "MMK", "MNT", "MOP", "MRU", "MUR",
    "MVR", "MWK", "MXN", "MYR", "MZN", "NAD", "NGN", "NIO", "NOK", "NPR", "NZD", "OMR", "PAB", "PEN", "PGK",
    "PHP", "PKR", "PLN", "PYG", "QAR", "RON", "RSD", "RUB", "RWF", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD",
    "SHP", "SLE", "SOS", "SRD", "SSP", "STN", "SVC", "SYP", "SZL", "THB", "TJS", "TMT", "TND", "TOP", "TRY",
    "TTD", "TWD", "TZS", "UAH", "UGX", "USD", "UYU", "UZS", "VES", "VND", "VUV", "WST", "XAF", "XCD", "XOF",
    "XPF", "YER", "ZAR", "ZMW", "ZWG",
];

/// Something that accounts hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    pub code: String,
    /// The number of decimals that the ledger keeps of it.
    pub precision: u32,
}

pub fn is_fiat(code: &str) -> bool {
    FIAT.binary_search(&code).is_ok()
}

/// For the audit.
#[pg_extern(schema = "topup", immutable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn is_currency(code: &str) -> bool {
    is_fiat(code)
}

const FIND: &str = "
    select precision::int from topup.asset
     where tenant_id = $1 and environment = $2::topup.environment and code = $3";

/// The asset of that code: a fiat currency, or one of the tenant's own.
pub fn find(book: &Book, code: &str) -> DbResult<Option<Asset>> {
    let asset = |precision| Asset { code: code.to_owned(), precision };
    if is_fiat(code) {
        return Ok(Some(asset(FIAT_PRECISION)));
    }
    let arguments = args![book.tenant_id, book.environment.as_str(), code];
    let found = db::read(FIND, arguments, |row| row.get::<i32>(1))?;
    Ok(found.into_iter().next().and_then(|precision| u32::try_from(precision).ok()).map(asset))
}

/// The asset that a path names; 404 where there is none.
pub fn require(book: &Book, code: &str) -> Result<Asset, Failure> {
    let missing = || Refusal::not_found("code", "There is no such asset.");
    Ok(find(book, code)?.ok_or_else(missing)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fiat_codes_are_found_by_bisection() {
        assert!(FIAT.is_sorted());
        assert!(is_fiat("USD") && is_fiat("AED") && is_fiat("ZWG"));
        assert!(!is_fiat("usd") && !is_fiat("TOK") && !is_fiat(""));
    }
}
