//! Accounts of the ledger: ids that follow from owner, name and asset, and the opening of new ones.

use pgrx::spi::SpiError;
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::pg::db::{self, DbResult, Row, args};
use crate::pg::table::{self, By, Found, row};
use crate::value::book::{Book, Environment};

/// The asset of every price: US dollars.
pub const USD: &str = "USD";

/// Accounts that a tenant's environment has once for each asset. They keep no running balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    Cash,
    Discount,
    Voucher,
    Pending,
    Adjustment,
    /// What customers paid with credit: charges and usage.
    Revenue,
    /// Credit that expired.
    Breakage,
    /// Credit set aside: holds, and grants that are not in effect yet.
    Held,
}

impl System {
    pub const ALL: [System; 8] = [
        System::Cash,
        System::Discount,
        System::Voucher,
        System::Pending,
        System::Adjustment,
        System::Revenue,
        System::Breakage,
        System::Held,
    ];

    /// The account's kind, as `topup.account` names it.
    pub fn kind(self) -> &'static str {
        match self {
            System::Cash => "cash",
            System::Discount => "discount",
            System::Voucher => "voucher",
            System::Pending => "pending",
            System::Adjustment => "adjustment",
            System::Revenue => "revenue",
            System::Breakage => "breakage",
            System::Held => "held",
        }
    }

    /// The kind of that name.
    pub fn parse(kind: &str) -> Option<System> {
        System::ALL.into_iter().find(|system| system.kind() == kind)
    }
}

/// The first byte of a derived id. Locks are taken in id order, and a wallet before every customer's
/// account: whatever holds the one may go on to the other, never the reverse.
const RANK_WALLET: u8 = 0x00;
const RANK_SYSTEM: u8 = 0x01;
const RANK_CUSTOMER: u8 = 0x02;

/// The account of a tenant's own wallet.
pub fn wallet_id(tenant_id: Uuid, environment: Environment) -> Uuid {
    derive(RANK_WALLET, &[tenant_id.as_bytes(), environment.as_str().as_bytes()])
}

/// A system account.
pub fn system_id(tenant_id: Uuid, environment: Environment, system: System, asset: &str) -> Uuid {
    let owner: &[&[u8]] =
        &[tenant_id.as_bytes(), environment.as_str().as_bytes(), system.kind().as_bytes(), asset.as_bytes()];
    derive(RANK_SYSTEM, owner)
}

/// A customer's account of a name and asset.
pub fn customer_account_id(customer_id: Uuid, name: &str, asset: &str) -> Uuid {
    derive(RANK_CUSTOMER, &[customer_id.as_bytes(), name.as_bytes(), asset.as_bytes()])
}

fn derive(rank: u8, parts: &[&[u8]]) -> Uuid {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    bytes[0] = rank;
    Builder::from_custom_bytes(bytes).into_uuid()
}

const OPEN_SYSTEMS: &str = "
    insert into topup.account (tenant_id, account_id, environment, kind, name, asset)
    select $1, account_id, $2::topup.environment, kind, kind, $3 from unnest($4::uuid[], $5::text[]) s (account_id, kind)
    on conflict do nothing";

/// Opens the system accounts of an asset. Those of US dollars are there from the beginning. An account of
/// a customer is never without them, so that a posting need not look.
pub fn open_systems(book: &Book, asset: &str) -> DbResult<()> {
    if asset == USD {
        return Ok(());
    }
    let (tenant_id, environment) = (book.tenant_id, book.environment);
    let ids = System::ALL.map(|system| system_id(tenant_id, environment, system, asset));
    let kinds: Vec<String> = System::ALL.iter().map(|system| system.kind().to_owned()).collect();
    db::execute(OPEN_SYSTEMS, args![tenant_id, environment.as_str(), asset, ids.as_slice(), kinds])
}

const OPEN_CUSTOMER_ACCOUNT: &str = "
    with
    -- None where another transaction has opened the account meanwhile.
    opened as (
        insert into topup.account (tenant_id, account_id, environment, kind, customer_id, name, asset)
        values ($1, $2, $3::topup.environment, 'customer', $4, $5, $6)
        on conflict do nothing returning account_id)
    insert into topup.balance (tenant_id, account_id) select $1, account_id from opened";

const HAS_BALANCE: &str = "select true from topup.balance where tenant_id = $1 and account_id = $2";

/// Whether the customer has an account of that name and asset.
pub fn customer_has(book: &Book, customer_id: Uuid, name: &str, asset: &str) -> DbResult<bool> {
    let account_id = customer_account_id(customer_id, name, asset);
    match table::find_latest(c"balance", By::PrimaryKey, &row![book.tenant_id, account_id]) {
        Found::Row(_) => Ok(true),
        Found::NoRow => Ok(false),
        Found::ByStatement => {
            Ok(!db::write(HAS_BALANCE, args![book.tenant_id, account_id], |_| Ok(()))?.is_empty())
        }
    }
}

/// The customer's account of that name and asset, opened if it is not there yet.
pub fn open_for_customer(book: &Book, customer_id: Uuid, name: &str, asset: &str) -> DbResult<Uuid> {
    let account_id = customer_account_id(customer_id, name, asset);
    if !customer_has(book, customer_id, name, asset)? {
        open_systems(book, asset)?;
        let (tenant_id, environment) = (book.tenant_id, book.environment.as_str());
        db::execute(
            OPEN_CUSTOMER_ACCOUNT,
            args![tenant_id, account_id, environment, customer_id, name, asset],
        )?;
    }
    Ok(account_id)
}

/// Whose an account is, and what it holds.
pub struct Facts {
    pub asset: String,
    pub name: String,
    /// None: it is the tenant's own wallet.
    pub customer_id: Option<Uuid>,
}

const FACTS: &str = "
    select asset, name, customer_id from topup.account where tenant_id = $1 and account_id = $2";

/// What is known of an account that exists.
pub fn facts(book: &Book, account_id: Uuid) -> DbResult<Facts> {
    let read =
        |row: &Row| Ok(Facts { asset: row.get(1)?, name: row.get(2)?, customer_id: row.maybe_uuid(3)? });
    let found = db::write(FACTS, args![book.tenant_id, account_id], read)?;
    found.into_iter().next().ok_or(SpiError::InvalidPosition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_sorts_before_every_customers_account() {
        let wallet = wallet_id(crate::value::id::new(), Environment::Live);
        let account = customer_account_id(crate::value::id::new(), "claude", USD);
        assert!(wallet < account);
    }

    #[test]
    fn owner_name_and_asset_each_make_another_account() {
        let customer = crate::value::id::new();
        let account = customer_account_id(customer, "ab", "c");
        assert_eq!(account, customer_account_id(customer, "ab", "c"));
        assert_ne!(account, customer_account_id(customer, "a", "bc"));
        assert_ne!(account, customer_account_id(crate::value::id::new(), "ab", "c"));
    }
}
