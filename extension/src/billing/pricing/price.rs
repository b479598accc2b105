//! The prices and entitlements of a product version, as clients write and read them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::amount::Amount;

/// A price: of usage, measured by events, or fixed, charged by the calendar.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    /// Given by us. A price of a later version that names it is the same price: its tiers go on counting and its
    /// renewals keep their dates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub name: String,
    pub r#type: PriceType,
    pub billing_model: BillingModel,
    /// `flat` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pricing_model: Option<PricingModel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tiering: Option<Tiering>,
    /// Of usage-based prices only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_calculation: Option<UsageCalculation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection: Option<Collection>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub funding_destination: Option<FundingDestination>,
    /// One for each asset; a customer pays in the first of them of which it has an account.
    pub pricing: Vec<AssetPricing>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PriceType {
    UsageBased,
    Fixed,
}

/// When a price is charged.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BillingModel {
    pub r#type: BillingType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recurring: Option<Recurring>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_time: Option<OneTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BillingType {
    OneTime,
    Recurring,
    RealTime,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Recurring {
    pub interval: Interval,
    /// 1 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_count: Option<i32>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OneTime {
    /// Kept and shown; it changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_period: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interval {
    Day,
    Week,
    Month,
    Year,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PricingModel {
    Flat,
    /// Graduated: each slice of the usage at its own tier.
    Tiered,
    /// All of the usage at the tier that it reaches.
    Bulk,
    /// By started packages.
    Package,
}

/// How the place in the tiers is counted.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Tiering {
    pub basis: Option<TierBasis>,
    /// When the count begins anew, in UTC. If not given: the interval of a recurring price, else `lifetime`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<TierCadence>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TierBasis {
    Unit,
    Volume,
    Package,
    Custom,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TierCadence {
    Lifetime,
    Monthly,
    Quarterly,
    Yearly,
    Custom,
}

/// Which events a price is for, and what it measures in them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UsageCalculation {
    pub event_type: String,
    pub usage_type: UsageType,
    /// `count`, if given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_aggregation: Option<String>,
    /// The field of `data` with the volume: a number, not negative.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_field: Option<String>,
    /// `sum`, if given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_aggregation: Option<String>,
    /// The fields of `data` by which prices differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billable_dimensions: Option<Vec<String>>,
    /// Kept and shown; it changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_reference_field: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UsageType {
    Unit,
    Volume,
    UnitAndVolume,
    Custom,
}

impl UsageType {
    /// The type of that name.
    pub fn parse(text: &str) -> Option<UsageType> {
        serde_json::from_value(text.into()).ok()
    }

    pub fn counts_units(self) -> bool {
        matches!(self, UsageType::Unit | UsageType::UnitAndVolume)
    }

    pub fn counts_volume(self) -> bool {
        matches!(self, UsageType::Volume | UsageType::UnitAndVolume)
    }
}

/// From where a price is collected.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Collection {
    pub r#type: CollectionType,
    /// Of recurring prices: at the beginning (if not given) or at the end of each period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// The name of the account that pays; `default` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CollectionType {
    Balance,
    Invoice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    InAdvance,
    InArrears,
}

/// Kept and shown; it changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FundingDestination {
    pub address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange_rate: Option<Amount>,
}

/// The prices in one asset.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AssetPricing {
    pub asset: String,
    pub values: Vec<Value>,
}

/// One value, one tier, or the values for some dimensions. Amounts are in major units of the asset.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Value {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of a tier: where it ends, that place included. The last tier has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_to: Option<Amount>,
    /// Of one event, of one package in the package model, or of one piece of a fixed price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_price: Option<Amount>,
    /// Of one unit of volume, or of `package_size` of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_rate: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package_size: Option<Amount>,
    /// The most that one event costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_amount: Option<Amount>,
    /// The least that one event costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_amount: Option<Amount>,
    /// Of fixed prices: how many; 1 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Amount>,
    /// For which events `values` are; `*` is any value, or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<Value>>,
}

/// Credit that comes with a product.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Entitlement {
    pub name: String,
    pub asset: String,
    pub amount: Amount,
    pub purpose: Purpose,
    pub lifecycle: Lifecycle,
    /// Kept and shown; it changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accounting: Option<Accounting>,
    /// Lower is used first; 0 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    Bundled,
    Promotion,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Lifecycle {
    pub duration: Interval,
    /// 1 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_count: Option<i32>,
    /// Without it, the credit comes once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Refresh>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Refresh {
    pub strategy: RefreshStrategy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefreshStrategy {
    ExpireAndReplace,
    Rollover,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Accounting {
    pub revenue_basis: Amount,
    pub cost_basis: String,
}

impl Price {
    pub fn pricing_model(&self) -> PricingModel {
        self.pricing_model.unwrap_or(PricingModel::Flat)
    }

    pub fn has_tiers(&self) -> bool {
        matches!(self.pricing_model(), PricingModel::Tiered | PricingModel::Bulk)
    }

    pub fn basis(&self) -> Option<TierBasis> {
        self.tiering.as_ref().and_then(|tiering| tiering.basis)
    }

    /// When the place in the tiers begins anew.
    pub fn cadence(&self) -> TierCadence {
        if let Some(period) = self.tiering.as_ref().and_then(|tiering| tiering.period) {
            return period;
        }
        let recurring = self.billing_model.recurring.as_ref();
        match recurring.map(|recurring| (recurring.interval, recurring.interval_count.unwrap_or(1))) {
            Some((Interval::Month, 1)) => TierCadence::Monthly,
            Some((Interval::Month, 3)) => TierCadence::Quarterly,
            Some((Interval::Month, 12) | (Interval::Year, 1)) => TierCadence::Yearly,
            _ => TierCadence::Lifetime,
        }
    }

    /// The name of the customer's account that pays.
    pub fn account_name(&self) -> &str {
        let address = self.collection.as_ref().and_then(|collection| collection.address.as_deref());
        address.unwrap_or("default")
    }

    pub fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }
}
