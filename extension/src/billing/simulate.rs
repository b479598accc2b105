//! Simulate usage: what events would cost by a version of a product, for a customer that has used nothing yet.
//! It is the code that bills; nothing is written.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pricing::{self, Meters};
use super::product::precisions;
use super::product_read::version_data;
use super::usage_event::{self, FeeBasis, UsageEvent};
use crate::operation::handler::Handler;
use crate::tenant::caller::Caller;
use crate::value::reply::{Outcome, Reply};

/// Events to be priced by a version.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SimulateRequest {
    /// `prod_…`
    pub product_id: String,
    /// The number of the version, from 1.
    pub version: i32,
    /// 1 to 1,000, in the order in which they would come.
    pub events: Vec<UsageEvent>,
}

/// What the events would cost.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SimulateData {
    /// What each event would cost, one by each price that is for it.
    pub fees: Vec<CalculatedFee>,
    /// The events that nothing prices.
    pub warnings: Vec<String>,
}

/// What an event would cost by one price.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CalculatedFee {
    /// The id of the event.
    pub usage_id: String,
    /// The type of the event.
    pub event_type: String,
    #[serde(flatten)]
    pub basis: FeeBasis,
}

pub struct Simulate;

impl Handler for Simulate {
    const NAME: &'static str = "simulate_usage";
    type Request = SimulateRequest;
    type Data = SimulateData;

    fn handle(caller: &Caller, request: &SimulateRequest) -> Outcome<SimulateData> {
        usage_event::check(&request.events)?;
        let prices = version_data(caller, &request.product_id, request.version)?.prices;
        let assets = prices.iter().flat_map(|price| &price.pricing).map(|pricing| &pricing.asset);
        let precisions = precisions(caller, assets)?;
        let (mut meters, mut fees, mut warnings) = (Meters::default(), Vec::new(), Vec::new());
        let events = usage_event::distinct(&request.events)?;
        let count = events.len();
        for (n, event) in events {
            let of_event = |refusal| usage_event::of_event(refusal, n);
            let priced = pricing::fees(&prices, &event.usage(), &mut meters).map_err(of_event)?;
            if priced.is_empty() {
                warnings.push(format!("events[{n}] ({}): nothing prices it.", event.id));
            }
            for fee in &priced {
                let precision = precisions.get(fee.asset).copied().unwrap_or_default();
                let basis = FeeBasis::of(fee, event, precision).map_err(of_event)?;
                let (usage_id, event_type) = (event.id.clone(), event.event_type.clone());
                fees.push(CalculatedFee { usage_id, event_type, basis });
            }
            usage_event::check_fees(fees.len(), count)?;
        }
        Ok(Reply::new(Code::Success, SimulateData { fees, warnings }))
    }
}
