//! Ids: UUIDv7 inside, TypeIDs (`txn_01j…`) at the edge.

use std::str::FromStr;

use type_safe_id::{DynamicType, TypeSafeId};
use uuid::Uuid;

/// What an id names; its prefix is part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tenant,
    Key,
    Transaction,
    Customer,
    Endpoint,
    Event,
    Delivery,
    Grant,
    Hold,
    Product,
    Price,
    Subscription,
    Fee,
    /// A customer's payment.
    TopUp,
    /// The tenant's own payment.
    Invoice,
    PaymentRefund,
    Dispute,
}

impl Kind {
    /// The prefix of the kind's ids.
    pub fn prefix(self) -> &'static str {
        match self {
            Kind::Tenant => "acct",
            Kind::Key => "key",
            Kind::Transaction => "txn",
            Kind::Customer => "cust",
            Kind::Endpoint => "whk",
            Kind::Event => "evt",
            Kind::Delivery => "dlv",
            Kind::Grant => "grant",
            Kind::Hold => "hold",
            Kind::Product => "prod",
            Kind::Price => "price",
            Kind::Subscription => "sub",
            Kind::Fee => "fee",
            Kind::TopUp => "top",
            Kind::Invoice => "in",
            Kind::PaymentRefund => "re",
            Kind::Dispute => "dp",
        }
    }

    /// The id as clients see it.
    pub fn text(self, id: Uuid) -> String {
        format(self.prefix(), id)
    }

    /// The id that a client sent; nothing where it is not one of this kind.
    pub fn parse(self, text: &str) -> Option<Uuid> {
        parse(self.prefix(), text)
    }
}

/// A new id. Later ids sort after earlier ones.
pub fn new() -> Uuid {
    Uuid::now_v7()
}

/// The nth id after another, for what belongs to it.
pub fn following(id: Uuid, n: u8) -> Uuid {
    Uuid::from_u128(id.as_u128().wrapping_add(u128::from(n)))
}

/// The nth id before another.
pub fn preceding(id: Uuid, n: u8) -> Uuid {
    Uuid::from_u128(id.as_u128().wrapping_sub(u128::from(n)))
}

/// The least id that can be made from a time on, in milliseconds since 1970.
pub fn first_since(unix_ms: i64) -> Uuid {
    let ms = u128::try_from(unix_ms).unwrap_or(0).min((1 << 48) - 1);
    Uuid::from_u128(ms << 80)
}

/// The id under any prefix.
pub fn format(prefix: &str, id: Uuid) -> String {
    match DynamicType::new(prefix) {
        Ok(prefix) => TypeSafeId::from_type_and_uuid(prefix, id).to_string(),
        Err(_) => id.to_string(),
    }
}

/// The id in a text under that prefix.
pub fn parse(prefix: &str, text: &str) -> Option<Uuid> {
    let id = TypeSafeId::<DynamicType>::from_str(text).ok()?;
    (id.type_prefix() == prefix).then(|| id.uuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_time_are_none_before_it_and_all_from_it_on() {
        let ms = |id: Uuid| i64::try_from(id.as_u128() >> 80).unwrap();
        let id = new();
        assert!(first_since(ms(id)) < id && first_since(ms(id) + 1) > id);
        assert_eq!(first_since(-1), Uuid::nil());
    }

    #[test]
    fn an_id_reads_back_as_itself_and_as_no_other_kind() {
        let id = new();
        let text = Kind::Transaction.text(id);
        assert_eq!(text.len(), "txn_".len() + 26);
        assert_eq!(Kind::Transaction.parse(&text), Some(id));
        assert_eq!(Kind::Key.parse(&text), None);
        for wrong in ["", "txn_", "txn_abc", "txn-01", &text.to_uppercase(), &format!("{text}0")] {
            assert_eq!(Kind::Transaction.parse(wrong), None, "{wrong}");
        }
    }
}
