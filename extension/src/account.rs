//! Accounts of the ledger: ids that follow from owner, name and asset, and the opening of new ones.

use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::book::{Book, Environment};
use crate::db::{self, DbResult, args};

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
}

impl System {
    /// The account's kind, as `topup.account` names it.
    pub fn kind(self) -> &'static str {
        match self {
            System::Cash => "cash",
            System::Discount => "discount",
            System::Voucher => "voucher",
            System::Pending => "pending",
            System::Adjustment => "adjustment",
        }
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

const OPEN_CUSTOMER_ACCOUNT: &str = "
    with opened as (
        insert into topup.account (tenant_id, account_id, environment, kind, customer_id, name, asset)
        values ($1, $2, $3::topup.environment, 'customer', $4, $5, $6)
        on conflict do nothing returning account_id)
    insert into topup.balance (tenant_id, account_id) select $1, account_id from opened";

const EXISTS: &str = "select true from topup.balance where tenant_id = $1 and account_id = $2";

/// Whether the customer has an account of that name and asset.
pub fn customer_has(book: &Book, customer_id: Uuid, name: &str, asset: &str) -> DbResult<bool> {
    let account_id = customer_account_id(customer_id, name, asset);
    Ok(!db::write(EXISTS, args![book.tenant_id, account_id], |_| Ok(()))?.is_empty())
}

/// The customer's account of that name and asset, opened if it is not there yet.
pub fn open_for_customer(book: &Book, customer_id: Uuid, name: &str, asset: &str) -> DbResult<Uuid> {
    let account_id = customer_account_id(customer_id, name, asset);
    if !customer_has(book, customer_id, name, asset)? {
        let (tenant_id, environment) = (book.tenant_id, book.environment.as_str());
        db::execute(
            OPEN_CUSTOMER_ACCOUNT,
            args![tenant_id, account_id, environment, customer_id, name, asset],
        )?;
    }
    Ok(account_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_sorts_before_every_customers_account() {
        let wallet = wallet_id(crate::id::new(), Environment::Live);
        let account = customer_account_id(crate::id::new(), "claude", USD);
        assert!(wallet < account);
    }

    #[test]
    fn owner_name_and_asset_each_make_another_account() {
        let customer = crate::id::new();
        let account = customer_account_id(customer, "ab", "c");
        assert_eq!(account, customer_account_id(customer, "ab", "c"));
        assert_ne!(account, customer_account_id(customer, "a", "bc"));
        assert_ne!(account, customer_account_id(crate::id::new(), "ab", "c"));
    }
}
