//! What one event costs by each price that is for it.

use std::collections::BTreeMap;

use num_rational::BigRational;
use num_traits::{One, Zero};
use pg_topup_contract::Code;

use super::meter::{MeterKey, Meters};
use super::price::{Price, PricingModel, TierBasis, UsageCalculation, Value};
use super::usage::Usage;
use crate::pg::interrupt;
use crate::value::amount::Amount;
use crate::value::reply::Refusal;

/// What an event costs by one price.
#[derive(Debug)]
pub struct Fee<'a> {
    pub price: &'a Price,
    pub calculation: &'a UsageCalculation,
    pub asset: &'a str,
    /// The dimensions that were matched, as the price writes them.
    pub dimensions: Option<&'a BTreeMap<String, String>>,
    /// The value used; with tiers, the last tier that the event reached.
    pub value: &'a Value,
    pub input_volume: Option<Amount>,
    /// The meter that the event moved on, and by how much.
    pub metered: Option<(MeterKey, Amount)>,
    /// Not yet rounded.
    exact: BigRational,
}

impl Fee<'_> {
    /// The fee, rounded to the precision of its asset; nothing where no account could hold it.
    pub fn amount(&self, precision: u32) -> Option<Amount> {
        Amount::rounded(&self.exact, precision)
    }
}

/// The fees of an event by these prices, in their order. It moves the meters on. A field of the event that a
/// price needs and cannot use is refused by its name, such as `data.input_tokens`.
pub fn fees<'a>(prices: &'a [Price], usage: &Usage, meters: &mut Meters) -> Result<Vec<Fee<'a>>, Refusal> {
    let mut fees = Vec::new();
    for price in prices {
        interrupt::check();
        let Some(calculation) = &price.usage_calculation else { continue };
        if calculation.event_type != usage.event_type {
            continue;
        }
        let Some(pricing) = price.pricing.first() else { continue };
        let Some((dimensions, tiers)) = matching(calculation, &pricing.values, usage) else { continue };
        let measure = Measure::take(price, calculation, usage)?;
        let key = price.has_tiers().then(|| MeterKey::new(price, dimensions, usage.occurred_at));
        let position = key.as_ref().map(|key| meters.reading(key)).unwrap_or_default();
        let Some(priced) = measure.priced(tiers, position) else { continue };
        let metered = key.zip(priced.quantity);
        if let Some((key, quantity)) = &metered
            && !meters.advance(key, *quantity)
        {
            return Err(measure.beyond());
        }
        fees.push(Fee {
            price,
            calculation,
            asset: &pricing.asset,
            dimensions,
            value: priced.value,
            input_volume: measure.volume,
            metered,
            exact: priced.exact,
        });
    }
    Ok(fees)
}

type Matching<'a> = (Option<&'a BTreeMap<String, String>>, &'a [Value]);

/// The values for the event's dimensions: of those that match, the ones with the fewest wildcards, and of these
/// the first. A dimension that a price leaves out is a wildcard.
fn matching<'a>(calculation: &UsageCalculation, values: &'a [Value], usage: &Usage) -> Option<Matching<'a>> {
    if values.iter().all(|value| value.dimensions.is_none()) {
        return Some((None, values));
    }
    let names = calculation.billable_dimensions.as_deref().unwrap_or_default();
    let given: Vec<Option<String>> =
        names.iter().map(|name| usage.data.and_then(|data| data.name(name))).collect();
    let wildcards = |value: &Value| -> Option<usize> {
        let wanted = value.dimensions.as_ref()?;
        let mut wildcards = 0;
        for (name, given) in names.iter().zip(&given) {
            match wanted.get(name).map(String::as_str) {
                None | Some("*") => wildcards += 1,
                Some(wanted) if given.as_deref() == Some(wanted) => {}
                Some(_) => return None,
            }
        }
        Some(wildcards)
    };
    let best = values.iter().filter_map(|value| Some((wildcards(value)?, value))).min_by_key(|(n, _)| *n)?.1;
    Some((best.dimensions.as_ref(), best.values.as_deref()?))
}

/// What a price measures in an event.
struct Measure<'a> {
    price: &'a Price,
    calculation: &'a UsageCalculation,
    volume: Option<Amount>,
}

/// The outcome, before rounding.
struct Priced<'a> {
    value: &'a Value,
    exact: BigRational,
    /// By how much a meter goes on.
    quantity: Option<Amount>,
}

impl<'a> Measure<'a> {
    fn take(price: &'a Price, calculation: &'a UsageCalculation, usage: &Usage) -> Result<Self, Refusal> {
        let needs_volume = calculation.usage_type.counts_volume()
            || price.has_tiers() && matches!(price.basis(), Some(TierBasis::Volume | TierBasis::Package));
        let mut measure = Measure { price, calculation, volume: None };
        if needs_volume {
            let field = calculation.volume_field.as_deref().unwrap_or_default();
            let volume = usage.data.and_then(|data| data.number(field)).filter(|it| *it >= Amount::ZERO);
            let message = format!("The price '{}' needs this number, not negative.", price.name);
            measure.volume = Some(volume.ok_or_else(|| measure.fault(message))?);
        }
        Ok(measure)
    }

    fn fault(&self, message: String) -> Refusal {
        let field = self.calculation.volume_field.as_deref().unwrap_or_default();
        Refusal::of_field(Code::InvalidRequest, format!("data.{field}"), message)
    }

    fn beyond(&self) -> Refusal {
        self.fault(format!("The price '{}' cannot count this far.", self.price.name))
    }

    fn priced(&self, values: &'a [Value], position: Amount) -> Option<Priced<'a>> {
        let (value, exact, quantity) = match self.price.pricing_model() {
            PricingModel::Flat | PricingModel::Package => {
                let value = values.first()?;
                (value, self.units(value) + self.volumes(value, self.volume()), None)
            }
            PricingModel::Bulk => {
                let quantity = self.quantity(values)?;
                let end = position.to_fraction() + &quantity;
                let reached = values.get(tier_where(values, |up_to| end <= up_to))?;
                (reached, self.slice(reached, &quantity) + self.besides(reached), Some(quantity))
            }
            PricingModel::Tiered => {
                let quantity = self.quantity(values)?;
                let (reached, exact) = self.graduated(values, position.to_fraction(), &quantity)?;
                (reached, exact, Some(quantity))
            }
        };
        let least = value.min_amount.map(Amount::to_fraction);
        let most = value.max_amount.map(Amount::to_fraction);
        let exact = least.map_or(exact.clone(), |least| exact.max(least));
        let exact = most.map_or(exact.clone(), |most| exact.min(most));
        // Quantities are whole, or volumes with the decimals that they were given.
        let quantity = quantity.and_then(|quantity| Amount::rounded(&quantity, 18));
        Some(Priced { value, exact, quantity })
    }

    /// Each slice at its own tier; what is not sliced, at the tier in which the event begins.
    fn graduated(
        &self,
        tiers: &'a [Value],
        position: BigRational,
        quantity: &BigRational,
    ) -> Option<(&'a Value, BigRational)> {
        let place = tier_where(tiers, |up_to| position < up_to);
        let first = tiers.get(place)?;
        let mut exact = self.besides(first);
        let (mut reached, mut from) = (first, position.clone());
        let end = position + quantity;
        for tier in tiers.iter().skip(place) {
            let to = tier.up_to.map_or(end.clone(), |up_to| up_to.to_fraction().min(end.clone()));
            if to > from {
                exact += self.slice(tier, &(&to - &from));
                (reached, from) = (tier, to);
            }
            if from >= end {
                break;
            }
        }
        Some((reached, exact))
    }

    fn volume(&self) -> BigRational {
        self.volume.unwrap_or_default().to_fraction()
    }

    /// What an event adds to the place in the tiers.
    fn quantity(&self, values: &[Value]) -> Option<BigRational> {
        match self.price.basis()? {
            TierBasis::Unit => Some(BigRational::one()),
            TierBasis::Volume => Some(self.volume()),
            TierBasis::Package => Some(packages(values.first()?, self.volume())),
            TierBasis::Custom => None,
        }
    }

    /// The price of a part of the event, in terms of what the tiers count.
    fn slice(&self, tier: &Value, quantity: &BigRational) -> BigRational {
        match self.price.basis() {
            Some(TierBasis::Unit) if self.calculation.usage_type.counts_units() => {
                fraction(tier.unit_price) * quantity
            }
            Some(TierBasis::Volume) if self.calculation.usage_type.counts_volume() => {
                fraction(tier.volume_rate) * quantity / package_size(tier)
            }
            Some(TierBasis::Package) => self.package_price(tier) * quantity,
            _ => BigRational::zero(),
        }
    }

    /// The price of what the tiers do not count.
    fn besides(&self, tier: &Value) -> BigRational {
        match self.price.basis() {
            Some(TierBasis::Unit) => self.volumes(tier, self.volume()),
            _ => self.units(tier),
        }
    }

    /// The price of the event itself.
    fn units(&self, value: &Value) -> BigRational {
        if self.calculation.usage_type.counts_units() {
            fraction(value.unit_price)
        } else {
            BigRational::zero()
        }
    }

    /// The price of its volume: pro rata, or by started packages.
    fn volumes(&self, value: &Value, volume: BigRational) -> BigRational {
        if !self.calculation.usage_type.counts_volume() {
            BigRational::zero()
        } else if self.counts_packages() {
            self.package_price(value) * packages(value, volume)
        } else {
            fraction(value.volume_rate) * volume / package_size(value)
        }
    }

    fn counts_packages(&self) -> bool {
        let by_tier = self.price.has_tiers() && self.price.basis() == Some(TierBasis::Package);
        by_tier || self.price.pricing_model() == PricingModel::Package
    }

    /// A package costs the volume rate; where there is none, the unit price.
    fn package_price(&self, value: &Value) -> BigRational {
        fraction(value.volume_rate.or(value.unit_price))
    }
}

fn fraction(amount: Option<Amount>) -> BigRational {
    amount.unwrap_or_default().to_fraction()
}

fn package_size(value: &Value) -> BigRational {
    value.package_size.filter(|size| *size > Amount::ZERO).map_or_else(BigRational::one, Amount::to_fraction)
}

fn packages(value: &Value, volume: BigRational) -> BigRational {
    (volume / package_size(value)).ceil()
}

/// The place of the first tier whose end passes the test. Each tier ends after the one before it, and the last has no end.
fn tier_where(tiers: &[Value], passes: impl Fn(BigRational) -> bool) -> usize {
    tiers.partition_point(|tier| tier.up_to.is_some_and(|up_to| !passes(up_to.to_fraction())))
}
