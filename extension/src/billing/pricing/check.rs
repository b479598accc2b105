//! What the prices and entitlements of a product must be like. Whatever passes can be billed.

use std::collections::{BTreeMap, BTreeSet};

use num_rational::BigRational;
use num_traits::One;
use pg_topup_contract::Code;

use super::price::{
    BillingModel, BillingType, CollectionType, Entitlement, Price, PriceType, PricingModel, TierBasis,
    TierCadence, Timing, UsageCalculation, UsageType, Value,
};
use crate::pg::interrupt;
use crate::value::amount::Amount;
use crate::value::reply::Refusal;

const PRICES_MAX: usize = 100;
const ENTITLEMENTS_MAX: usize = 20;
const ASSETS_MAX: usize = 20;
const VALUES_MAX: usize = 100;
const DIMENSIONS_MAX: usize = 10;
const NAME_LENGTH_MAX: usize = 200;
const ACCOUNT_NAME_LENGTH_MAX: usize = 100;
const COUNT_MAX: i32 = 1000;
/// Values of a version, over all prices, assets and dimensions.
const VALUES_IN_ALL_MAX: usize = 10_000;

type Checked = Result<(), Refusal>;

fn fault(path: impl Into<String>, message: impl Into<String>) -> Refusal {
    Refusal::of_field(Code::InvalidRequest, path, message)
}

fn ensure(holds: bool, path: impl Into<String>, message: impl Into<String>) -> Checked {
    if holds { Ok(()) } else { Err(fault(path, message)) }
}

/// Refuses prices and entitlements that cannot be billed, naming the field by its path. `precisions` holds the
/// assets there are, with their numbers of decimals.
pub fn check(prices: &[Price], entitlements: &[Entitlement], precisions: &BTreeMap<String, u32>) -> Checked {
    ensure(prices.len() <= PRICES_MAX, "prices", format!("At most {PRICES_MAX} prices."))?;
    let most = format!("At most {VALUES_IN_ALL_MAX} values in all prices of a version together.");
    ensure(prices.iter().map(count_values).sum::<usize>() <= VALUES_IN_ALL_MAX, "prices", most)?;
    for (n, price) in prices.iter().enumerate() {
        check_price(price, &format!("prices[{n}]"), precisions)?;
    }
    let most = format!("At most {ENTITLEMENTS_MAX} entitlements.");
    ensure(entitlements.len() <= ENTITLEMENTS_MAX, "entitlements", most)?;
    let mut names = BTreeSet::new();
    for (n, entitlement) in entitlements.iter().enumerate() {
        let at = format!("entitlements[{n}]");
        check_name(&entitlement.name, &format!("{at}.name"))?;
        ensure(names.insert(&entitlement.name), format!("{at}.name"), "Two entitlements have this name.")?;
        let precision = check_asset(&entitlement.asset, &at, precisions)?;
        let amount = entitlement.amount;
        let sound = amount > Amount::ZERO && amount.fits() && amount.decimals() <= precision;
        let message = format!("This must be above 0 and have at most {precision} decimals.");
        ensure(sound, format!("{at}.amount"), message)?;
        let count = entitlement.lifecycle.duration_count;
        check_count(count, &format!("{at}.lifecycle.duration_count"))?;
    }
    Ok(())
}

fn count_values(price: &Price) -> usize {
    let values = price.pricing.iter().flat_map(|pricing| &pricing.values);
    values.map(|value| value.values.as_ref().map_or(1, Vec::len)).sum()
}

fn check_name(name: &str, path: &str) -> Checked {
    let message = format!("This must have 1 to {NAME_LENGTH_MAX} characters.");
    ensure((1..=NAME_LENGTH_MAX).contains(&name.chars().count()), path, message)
}

fn check_count(count: Option<i32>, path: &str) -> Checked {
    let message = format!("This must be from 1 to {COUNT_MAX}.");
    ensure(count.is_none_or(|count| (1..=COUNT_MAX).contains(&count)), path, message)
}

fn check_asset(code: &str, at: &str, precisions: &BTreeMap<String, u32>) -> Result<usize, Refusal> {
    let precision = precisions.get(code).and_then(|precision| usize::try_from(*precision).ok());
    precision.ok_or_else(|| fault(format!("{at}.asset"), "There is no such asset."))
}

fn check_price(price: &Price, at: &str, precisions: &BTreeMap<String, u32>) -> Checked {
    check_name(&price.name, &format!("{at}.name"))?;
    check_billing(&price.billing_model, price.r#type, &format!("{at}.billing_model"))?;
    check_collection(price, at)?;
    match (price.r#type, &price.usage_calculation) {
        (PriceType::UsageBased, None) => {
            return Err(fault(format!("{at}.usage_calculation"), "Missing field `usage_calculation`."));
        }
        (PriceType::UsageBased, Some(calculation)) => {
            check_calculation(price, calculation, &format!("{at}.usage_calculation"))?;
            check_tiering(price, calculation, at)?;
        }
        (PriceType::Fixed, calculation) => {
            let path = format!("{at}.usage_calculation");
            ensure(calculation.is_none(), path, "A fixed price has none.")?;
            let is_flat = price.pricing_model() == PricingModel::Flat;
            ensure(is_flat, format!("{at}.pricing_model"), "A fixed price is flat.")?;
            ensure(price.tiering.is_none(), format!("{at}.tiering"), "A fixed price has none.")?;
        }
    }
    let count = price.pricing.len();
    let message = format!("This must list 1 to {ASSETS_MAX} assets.");
    ensure((1..=ASSETS_MAX).contains(&count), format!("{at}.pricing"), message)?;
    let mut assets = BTreeSet::new();
    for (n, pricing) in price.pricing.iter().enumerate() {
        let at = format!("{at}.pricing[{n}]");
        check_asset(&pricing.asset, &at, precisions)?;
        ensure(assets.insert(&pricing.asset), format!("{at}.asset"), "This asset is listed twice.")?;
        check_values(price, &pricing.values, &format!("{at}.values"))?;
    }
    Ok(())
}

fn check_billing(billing: &BillingModel, price_type: PriceType, at: &str) -> Checked {
    let is_real_time = billing.r#type == BillingType::RealTime;
    let fits = price_type == PriceType::UsageBased || !is_real_time;
    ensure(fits, format!("{at}.type"), "A fixed price is one_time or recurring.")?;
    if billing.r#type == BillingType::Recurring {
        let Some(recurring) = &billing.recurring else {
            return Err(fault(format!("{at}.recurring"), "Missing field `recurring`."));
        };
        check_count(recurring.interval_count, &format!("{at}.recurring.interval_count"))?;
    }
    Ok(())
}

fn check_collection(price: &Price, at: &str) -> Checked {
    let Some(collection) = &price.collection else { return Ok(()) };
    let from_balance = collection.r#type == CollectionType::Balance;
    ensure(from_balance, format!("{at}.collection.type"), "Only collection from the balance is supported.")?;
    let in_arrears = collection.timing == Some(Timing::InArrears);
    let once = price.r#type == PriceType::Fixed && price.billing_model.r#type == BillingType::OneTime;
    let message = "A one_time price is collected in advance.";
    ensure(!(in_arrears && once), format!("{at}.collection.timing"), message)?;
    let name = price.account_name();
    let sound = (1..=ACCOUNT_NAME_LENGTH_MAX).contains(&name.chars().count()) && !name.contains(':');
    let message = "The name of an account has 1 to 100 characters and no colon.";
    ensure(sound, format!("{at}.collection.address"), message)
}

fn check_calculation(price: &Price, calculation: &UsageCalculation, at: &str) -> Checked {
    check_name(&calculation.event_type, &format!("{at}.event_type"))?;
    let known = calculation.usage_type != UsageType::Custom;
    ensure(known, format!("{at}.usage_type"), "Usage type custom is not supported.")?;
    for (name, given, wanted) in [
        ("unit_aggregation", &calculation.unit_aggregation, "count"),
        ("volume_aggregation", &calculation.volume_aggregation, "sum"),
    ] {
        let message = format!("Only '{wanted}' is supported.");
        ensure(given.as_deref().is_none_or(|given| given == wanted), format!("{at}.{name}"), message)?;
    }
    let counts_volume = calculation.usage_type.counts_volume()
        || price.has_tiers() && matches!(price.basis(), Some(TierBasis::Volume | TierBasis::Package));
    if counts_volume || calculation.volume_field.is_some() {
        let field = calculation.volume_field.as_deref().unwrap_or_default();
        check_name(field, &format!("{at}.volume_field"))?;
    }
    let dimensions = calculation.billable_dimensions.as_deref().unwrap_or_default();
    let path = format!("{at}.billable_dimensions");
    ensure(dimensions.len() <= DIMENSIONS_MAX, &path, format!("At most {DIMENSIONS_MAX} dimensions."))?;
    let distinct: BTreeSet<&String> = dimensions.iter().collect();
    ensure(distinct.len() == dimensions.len(), &path, "A dimension is listed twice.")?;
    dimensions.iter().enumerate().try_for_each(|(n, name)| check_name(name, &format!("{path}[{n}]")))
}

fn check_tiering(price: &Price, calculation: &UsageCalculation, at: &str) -> Checked {
    let counts_volume = calculation.usage_type.counts_volume();
    if price.pricing_model() == PricingModel::Package {
        let path = format!("{at}.usage_calculation.usage_type");
        ensure(counts_volume, path, "The package model needs a volume.")?;
    }
    if !price.has_tiers() {
        return Ok(());
    }
    let path = format!("{at}.tiering.basis");
    match price.basis() {
        None => return Err(fault(path, "Missing field `basis`: unit, volume or package.")),
        Some(TierBasis::Custom) => return Err(fault(path, "Basis custom is not supported.")),
        Some(TierBasis::Package) => ensure(counts_volume, path, "Packages need a volume.")?,
        Some(TierBasis::Unit | TierBasis::Volume) => {}
    }
    let known = price.cadence() != TierCadence::Custom;
    ensure(known, format!("{at}.tiering.period"), "Period custom is not supported.")
}

fn check_values(price: &Price, values: &[Value], at: &str) -> Checked {
    interrupt::check();
    let sound = (1..=VALUES_MAX).contains(&values.len());
    ensure(sound, at, format!("This must list 1 to {VALUES_MAX} values."))?;
    if values.iter().all(|value| value.dimensions.is_none() && value.values.is_none()) {
        return check_tiers(price, values, at);
    }
    let calculation = price.usage_calculation.as_ref();
    let names = calculation.and_then(|it| it.billable_dimensions.as_deref()).unwrap_or_default();
    let mut seen = BTreeSet::new();
    for (n, value) in values.iter().enumerate() {
        let at = format!("{at}[{n}]");
        let Some(dimensions) = &value.dimensions else {
            return Err(fault(format!("{at}.dimensions"), "Missing field `dimensions`."));
        };
        for name in dimensions.keys() {
            let path = format!("{at}.dimensions.{name}");
            ensure(names.contains(name), path, "This is not one of the billable_dimensions.")?;
        }
        ensure(seen.insert(dimensions), format!("{at}.dimensions"), "These dimensions are listed twice.")?;
        let tiers = value.values.as_deref().unwrap_or_default();
        let sound = (1..=VALUES_MAX).contains(&tiers.len());
        ensure(sound, format!("{at}.values"), format!("This must list 1 to {VALUES_MAX} values."))?;
        let nested = tiers.iter().position(|tier| tier.dimensions.is_some() || tier.values.is_some());
        if let Some(tier) = nested {
            return Err(fault(format!("{at}.values[{tier}]"), "Dimensions cannot be nested."));
        }
        check_tiers(price, tiers, &format!("{at}.values"))?;
    }
    Ok(())
}

fn check_tiers(price: &Price, tiers: &[Value], at: &str) -> Checked {
    if !price.has_tiers() {
        ensure(tiers.len() == 1, at, "Only the tiered and the bulk model take more than one value.")?;
    }
    let whole = matches!(price.basis(), Some(TierBasis::Unit | TierBasis::Package));
    let mut from = Amount::ZERO;
    interrupt::check();
    for (n, tier) in tiers.iter().enumerate() {
        let at = format!("{at}[{n}]");
        check_value(price, tier, &at)?;
        let path = format!("{at}.up_to");
        match tier.up_to {
            None => ensure(n + 1 == tiers.len(), path, "Only the last tier has no end.")?,
            Some(up_to) => {
                ensure(n + 1 < tiers.len(), &path, "The last tier has no end: leave out up_to.")?;
                ensure(up_to > from && up_to.fits(), &path, "Each tier must end after the one before it.")?;
                ensure(!whole || up_to.decimals() == 0, &path, "This must be a whole number.")?;
                from = up_to;
            }
        }
        let same_size = tier.package_size == tiers.first().and_then(|first| first.package_size);
        let counts_packages = price.has_tiers() && price.basis() == Some(TierBasis::Package);
        let path = format!("{at}.package_size");
        ensure(same_size || !counts_packages, path, "All tiers must have the same package_size.")?;
    }
    Ok(())
}

fn check_value(price: &Price, value: &Value, at: &str) -> Checked {
    let at = |field: &str| format!("{at}.{field}");
    for (name, amount) in [
        ("unit_price", value.unit_price),
        ("volume_rate", value.volume_rate),
        ("package_size", value.package_size),
        ("min_amount", value.min_amount),
        ("max_amount", value.max_amount),
        ("quantity", value.quantity),
    ] {
        let sound = amount.is_none_or(|amount| amount >= Amount::ZERO && amount.fits());
        ensure(sound, at(name), "This must not be negative, nor beyond what an account can hold.")?;
    }
    ensure(value.package_size != Some(Amount::ZERO), at("package_size"), "This must be above 0.")?;
    let ordered = value.min_amount.zip(value.max_amount).is_none_or(|(least, most)| least <= most);
    ensure(ordered, at("max_amount"), "This is below min_amount.")?;
    let Some(calculation) = &price.usage_calculation else {
        let unused = [value.volume_rate, value.package_size, value.min_amount, value.max_amount];
        let message = "A fixed price has a unit_price and a quantity only.";
        ensure(unused.iter().all(Option::is_none), at("unit_price"), message)?;
        let Some(unit_price) = value.unit_price else {
            return Err(fault(at("unit_price"), "Missing field `unit_price`."));
        };
        let quantity = value.quantity.map_or_else(BigRational::one, Amount::to_fraction);
        let holds = Amount::rounded(&(unit_price.to_fraction() * quantity), 0).is_some();
        return ensure(holds, at("quantity"), "Together this is more than an account can hold.");
    };
    ensure(value.quantity.is_none(), at("quantity"), "Only a fixed price has a quantity.")?;
    let by_tier = price.has_tiers() && price.basis() == Some(TierBasis::Package);
    let counts_packages = by_tier || price.pricing_model() == PricingModel::Package;
    let (unit, volume) = (value.unit_price.is_some(), value.volume_rate.is_some());
    let missing_size = counts_packages && value.package_size.is_none();
    ensure(!missing_size, at("package_size"), "Missing field `package_size`.")?;
    match calculation.usage_type {
        UsageType::Unit => {
            ensure(unit, at("unit_price"), "Missing field `unit_price`.")?;
            ensure(!volume, at("volume_rate"), "Usage type unit has no volume.")
        }
        UsageType::Volume if counts_packages => {
            ensure(unit != volume, at("unit_price"), "A package has one price: unit_price or volume_rate.")
        }
        UsageType::UnitAndVolume if counts_packages => {
            ensure(unit && volume, at("unit_price"), "This needs a unit_price and a volume_rate.")
        }
        UsageType::UnitAndVolume => ensure(unit || volume, at("unit_price"), "This needs a price."),
        _ => {
            ensure(volume, at("volume_rate"), "Missing field `volume_rate`.")?;
            ensure(!unit, at("unit_price"), "Usage type volume has no unit_price.")
        }
    }
}
