//! The prices and entitlements of a product version, as clients write and read them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::amount::Amount;

/// A price: of usage, measured by events, or fixed, charged by the calendar.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    /// Given by us. A price of a later version that names it is the same price: its tiers go on counting and its
    /// renewals keep their dates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What fees call it: 1 to 200 characters.
    pub name: String,
    /// Whether usage or the calendar is charged.
    pub r#type: PriceType,
    /// When it is charged.
    pub billing_model: BillingModel,
    /// `flat` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pricing_model: Option<PricingModel>,
    /// Of tiered, bulk and package prices: how the place in the tiers is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tiering: Option<Tiering>,
    /// Of usage-based prices only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_calculation: Option<UsageCalculation>,
    /// From where it is collected; the account `default` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection: Option<Collection>,
    /// Kept and shown; it changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub funding_destination: Option<FundingDestination>,
    /// One for each asset; a customer pays in the first of them of which it has an account.
    pub pricing: Vec<AssetPricing>,
}

/// `usage_based`: each event is charged. `fixed`: charged by the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PriceType {
    UsageBased,
    Fixed,
}

/// When a price is charged.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BillingModel {
    /// `real_time` for usage, `recurring` or `one_time` for fixed prices.
    pub r#type: BillingType,
    /// How often, where the type is `recurring`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recurring: Option<Recurring>,
    /// More of it, where the type is `one_time`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_time: Option<OneTime>,
}

/// Once, in every period, or with each event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BillingType {
    OneTime,
    Recurring,
    RealTime,
}

/// The length of a period: so many intervals.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Recurring {
    /// The unit of the period.
    pub interval: Interval,
    /// 1 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_count: Option<i32>,
}

/// More of a price that is charged once.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OneTime {
    /// Kept and shown; it changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_period: Option<String>,
}

/// A unit of the calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interval {
    Day,
    Week,
    Month,
    Year,
}

/// How usage becomes an amount.
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
    /// What is counted. Required where there are tiers.
    pub basis: Option<TierBasis>,
    /// When the count begins anew, in UTC. If not given: the interval of a recurring price, else `lifetime`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<TierCadence>,
}

/// What the place in the tiers is counted in: events (`unit`), volume or packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TierBasis {
    Unit,
    Volume,
    Package,
    Custom,
}

/// When the count in the tiers begins anew, in UTC.
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
    /// The `event_type` of the events that are charged.
    pub event_type: String,
    /// What is measured in an event.
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

/// `unit`: each event counts as one. `volume`: the `volume_field` counts. `unit_and_volume`: both do.
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
    /// How it is collected; `balance` is what can be.
    pub r#type: CollectionType,
    /// Of recurring prices: at the beginning (if not given) or at the end of each period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// The name of the account that pays; `default` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// From the customer's balance, or by an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CollectionType {
    Balance,
    Invoice,
}

/// At the beginning or at the end of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    InAdvance,
    InArrears,
}

/// Kept and shown; it changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FundingDestination {
    /// The name of an account.
    pub address: String,
    /// The code of an asset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Units of one asset for one unit of the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange_rate: Option<Amount>,
}

/// The prices in one asset.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AssetPricing {
    /// A currency (ISO 4217), or an asset of yours.
    pub asset: String,
    /// One value; one for each tier; or one for each combination of dimensions. 1 to 100.
    pub values: Vec<Value>,
}

/// One value, one tier, or the values for some dimensions. Amounts are in major units of the asset.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Value {
    /// What fees call it.
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
    /// Of the package model: units of volume in one package. Elsewhere: what `volume_rate` is the price of.
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
    /// The prices for these dimensions: one value, or one for each tier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<Value>>,
}

/// Credit that comes with a product.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Entitlement {
    /// What it is called: 1 to 200 characters.
    pub name: String,
    /// The asset that is given.
    pub asset: String,
    /// How much of it, in major units of the asset.
    pub amount: Amount,
    /// Which kind of credit it is; it decides what is used first.
    pub purpose: Purpose,
    /// How long it lasts, and whether it comes again.
    pub lifecycle: Lifecycle,
    /// Kept and shown; it changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accounting: Option<Accounting>,
    /// Lower is used first; 0 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
}

/// Part of what is paid for (`bundled`), or given on top (`promotion`), which is used first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    Bundled,
    Promotion,
}

/// How long credit of an entitlement lasts.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Lifecycle {
    /// The unit of the time that it lasts.
    pub duration: Interval,
    /// 1 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_count: Option<i32>,
    /// Without it, the credit comes once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Refresh>,
}

/// What happens when the time is over.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Refresh {
    /// What becomes of what is left then.
    pub strategy: RefreshStrategy,
}

/// What is left expires and new credit comes (`expire_and_replace`), or stays beside it (`rollover`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefreshStrategy {
    ExpireAndReplace,
    Rollover,
}

/// How you account for an entitlement.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Accounting {
    /// Your revenue for one unit.
    pub revenue_basis: Amount,
    /// Your own word for what it costs you.
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
