//! Balance: the wallet, and what the key may still spend of it.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::Serialize;

use crate::ledger::account::USD;
use crate::operation::handler::Handler;
use crate::operation::nothing::NoFields;
use crate::pg::db::{self, args};
use crate::tenant::caller::Caller;
use crate::tenant::key_usage;
use crate::value::amount::{Amount, Bps, Cents};
use crate::value::book::Book;
use crate::value::id::Kind;
use crate::value::reply::{Failure, Outcome, Reply};

/// The tenant's wallet in this environment and the key that asks.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BalanceData {
    /// Rounded down to the cent.
    pub balance_cents: Cents,
    /// ISO 4217; always `USD`.
    pub currency: &'static str,
    /// `balance.low` is sent when the balance falls below it.
    pub low_balance_threshold_cents: Cents,
    /// `staging` or `live`.
    pub environment: &'static str,
    /// The key that asks.
    pub key: KeyData,
}

/// The key's price and limits.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KeyData {
    /// `key_…`
    pub id: String,
    /// The name that the key was given.
    pub name: String,
    /// `standard`, `silver`, `gold` or `platinum`.
    pub tier: String,
    /// The tier's discount off the list price, in basis points (1/100 %).
    pub discount_bps: Bps,
    /// The most this key may spend in a period; null: no cap.
    pub cap_cents: Option<Cents>,
    /// `day`, `month` (both UTC) or `total`.
    pub cap_period: String,
    /// What the key has spent in the current period, in US cents.
    pub cap_used_cents: Cents,
    /// Null where there is no cap.
    pub cap_remaining_cents: Option<Cents>,
    /// List price sent in the current month (UTC).
    pub month_volume_cents: Cents,
    /// List price less cost, over the key's life.
    pub margin_cents: Cents,
}

pub struct Balance;

impl Handler for Balance {
    const NAME: &'static str = "balance";
    type Request = NoFields;
    type Data = BalanceData;

    fn handle(caller: &Caller, _: &NoFields) -> Outcome<BalanceData> {
        let wallet = wallet(caller)?;
        let usage = key_usage::of_key(caller)?;
        let key = &caller.key;
        let data = BalanceData {
            balance_cents: wallet.balance.floor_cents(),
            currency: USD,
            low_balance_threshold_cents: wallet.low_balance_threshold.floor_cents(),
            environment: caller.environment.as_str(),
            key: KeyData {
                id: Kind::Key.text(key.id),
                name: key.name.clone(),
                tier: key.tier.clone(),
                discount_bps: key.discount,
                cap_cents: key.cap,
                cap_period: key.cap_period.clone(),
                cap_used_cents: usage.cap_used,
                cap_remaining_cents: key.cap.map(|cap| Cents((cap.0 - usage.cap_used.0).max(0))),
                month_volume_cents: usage.month_volume,
                margin_cents: usage.margin,
            },
        };
        Ok(Reply::new(Code::Success, data))
    }
}

/// The tenant's own wallet, not locked.
pub struct Wallet {
    pub balance: Amount,
    pub credit_limit: Amount,
    pub low_balance_threshold: Amount,
}

const WALLET: &str = "
    select balance::text, credit_limit::text, coalesce(low_balance_threshold, 0)::text
      from topup.balance where tenant_id = $1 and account_id = $2";

/// Reads the wallet as it stands.
pub fn wallet(book: &Book) -> Result<Wallet, Failure> {
    let found = db::read_by_key(WALLET, args![book.tenant_id, book.wallet_id], |row| {
        let amount = |column| row.amount(column);
        Ok(Wallet { balance: amount(1)?, credit_limit: amount(2)?, low_balance_threshold: amount(3)? })
    })?;
    found.into_iter().next().ok_or_else(|| Failure::Fault("the wallet does not exist".to_owned()))
}
