//! Usage events as they are shown: one with its fees, and lists.

use pg_topup_contract::Code;
use pgrx::spi::SpiError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::pricing::UsageType;
use super::usage_event::FeeBasis;
use crate::operation::handler::Handler;
use crate::operation::offset_page::{Page, Range};
use crate::pg::db::{self, DbResult, Row, args};
use crate::tenant::caller::Caller;
use crate::tenant::customer;
use crate::value::amount::Amount;
use crate::value::id::Kind;
use crate::value::reply::{Outcome, Refusal, Reply};

/// Which event.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct EventRequest {
    /// Your own id of it.
    pub event_id: String,
}

/// An event and what it cost.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EventData {
    /// Your own id of it.
    pub id: String,
    /// What was used.
    pub event_type: String,
    /// RFC 3339, UTC.
    pub occurred_at: String,
    /// What it is about.
    pub subject: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// What prices measure, and anything else, as it was sent.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub data: Option<Box<RawValue>>,
    /// Who used it: `cust_…`.
    pub customer_id: String,
    /// When it was recorded. RFC 3339, UTC.
    pub created_at: String,
    /// Whether something prices it, be it at nothing. What nothing prices is free.
    pub priced: bool,
    /// What it cost, one by each price that is for it; empty where nothing prices it.
    pub fees: Vec<EventFee>,
}

/// What an event cost by one price.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EventFee {
    /// The id of the fee.
    pub id: String,
    /// `prod_…`, of the product that priced it.
    pub product_id: String,
    /// Your own code of the product.
    pub product_code: String,
    /// The number of the version that priced it.
    pub product_version: i32,
    #[serde(flatten)]
    pub basis: FeeBasis,
}

pub struct GetEvent;

const EVENT: &str = "
    select event_type, topup.rfc3339(occurred_at), subject, description, data::text, customer_id,
           topup.rfc3339(created_at), priced
      from topup.usage_event where tenant_id = $1 and environment = $2::topup.environment and event_id = $3";

const FEES: &str = "
    select fee_id, product_id, product_code, product_version, price_id, price_name, asset, dimensions::text, usage_type,
           volume_field, input_volume::text, unit_price::text, volume_rate::text, package_size::text, amount::text
      from topup.usage_fee
     where tenant_id = $1 and environment = $2::topup.environment and event_id = $3 order by position";

impl Handler for GetEvent {
    const NAME: &'static str = "usage_event_get";
    type Request = EventRequest;
    type Data = EventData;

    fn handle(caller: &Caller, request: &EventRequest) -> Outcome<EventData> {
        let key = args![caller.tenant_id, caller.environment.as_str(), request.event_id.as_str()];
        let found = db::read(EVENT, key, |row| {
            Ok((
                EventData {
                    id: request.event_id.clone(),
                    event_type: row.get(1)?,
                    occurred_at: row.get(2)?,
                    subject: row.maybe(3)?,
                    description: row.maybe(4)?,
                    data: None,
                    customer_id: Kind::Customer.text(row.uuid(6)?),
                    created_at: row.get(7)?,
                    priced: row.get(8)?,
                    fees: Vec::new(),
                },
                row.maybe::<String>(5)?,
            ))
        })?;
        let no_event = || Refusal::not_found("event_id", "There is no such event.");
        let (mut event, data) = found.into_iter().next().ok_or_else(no_event)?;
        event.data = data.map(RawValue::from_string).transpose()?;
        for (mut fee, dimensions) in db::read(FEES, key, read_fee)? {
            fee.basis.dimensions = dimensions.as_deref().map(serde_json::from_str).transpose()?;
            fee.basis.description = event.description.clone();
            event.fees.push(fee);
        }
        Ok(Reply::new(Code::Success, event))
    }
}

fn read_fee(row: &Row) -> DbResult<(EventFee, Option<String>)> {
    let amount = |column| row.maybe_amount(column);
    let fee = EventFee {
        id: Kind::Fee.text(row.uuid(1)?),
        product_id: Kind::Product.text(row.uuid(2)?),
        product_code: row.get(3)?,
        product_version: row.get(4)?,
        basis: FeeBasis {
            price_id: row.get(5)?,
            price_name: row.get(6)?,
            currency: row.get(7)?,
            dimensions: None,
            usage_type: UsageType::parse(&row.get::<String>(9)?).ok_or(SpiError::InvalidPosition)?,
            volume_field: row.maybe(10)?,
            input_volume: amount(11)?,
            unit_price: amount(12)?,
            volume_rate: amount(13)?,
            package_size: amount(14)?,
            description: None,
            amount: amount(15)?.unwrap_or_default(),
        },
    };
    Ok((fee, row.maybe(8)?))
}

/// Which events.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListEventsRequest {
    /// How many to leave out; 0 if not given.
    pub offset: Option<i64>,
    /// 1 to 100; 20 if not given.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<i64>,
    /// Only the event with this id.
    pub event_id: Option<String>,
    /// Only events of this customer (`cust_…`).
    pub customer_id: Option<String>,
    /// Only events of the customer with this id of your own.
    pub customer_external_id: Option<String>,
    /// Only events with this subject.
    pub subject: Option<String>,
    /// The first day (UTC) on which they occurred, such as `2026-01-31`.
    pub period_from: Option<Day>,
    /// The last day (UTC).
    pub period_to: Option<Day>,
    /// One type, or several with commas between them.
    pub event_types: Option<String>,
    /// Only events that something prices; false: those that nothing prices.
    pub has_fees: Option<bool>,
}

/// A day of the calendar.
#[derive(Debug)]
pub struct Day(jiff::civil::Date);

impl Serialize for Day {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_string())
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let day = text.parse().ok().filter(|_| text.len() == "2026-01-31".len());
        day.map(Day).ok_or_else(|| serde::de::Error::custom("expected a day such as 2026-01-31"))
    }
}

impl JsonSchema for Day {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Day".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date", "description": "A day (UTC)." })
    }
}

/// An event of a list.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EventItem {
    /// Your own id of it.
    pub id: String,
    /// Who used it: `cust_…`.
    pub customer_id: String,
    /// The customer's; empty where it has none.
    pub external_id: String,
    /// What was used.
    pub event_type: String,
    /// What it is about.
    pub subject: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// RFC 3339, UTC.
    pub occurred_at: String,
    /// When it was recorded. RFC 3339, UTC.
    pub created_at: String,
    /// Null where fees were paid in several assets, or none were.
    pub total_fees: Option<Amount>,
    /// The asset of `total_fees`.
    pub fee_currency: Option<String>,
    /// Whether any price was for it.
    pub has_fees: bool,
}

pub struct ListEvents;

/// One customer's by the index that has them in order; everybody's by the other one; what nothing prices by its own.
macro_rules! from_events {
    ($select:literal, $customer:literal, $rest:literal) => {
        concat!(
            $select,
            " from topup.usage_event e where e.tenant_id = $1 and e.environment = $2::topup.environment and ",
            $customer,
            " and ($4::text is null or e.event_id = $4) and ($5::text is null or e.subject = $5)
              and ($6::text is null or e.occurred_at >= $6::date::timestamp at time zone 'UTC')
              and ($7::text is null or e.occurred_at < ($7::date + 1)::timestamp at time zone 'UTC')
              and ($8::text is null or e.event_type = any (string_to_array($8, ',')))
              and ($9::boolean is null or e.priced = $9) ",
            $rest
        )
    };
}

macro_rules! page_of_events {
    ($customer:literal) => {
        concat!(
            "select p.event_id, p.customer_id, coalesce(c.external_id, ''), p.event_type, p.subject, p.description,
                    topup.rfc3339(p.occurred_at), topup.rfc3339(p.created_at),
                    case when f.assets = 1 then f.amount::text end, case when f.assets = 1 then f.asset end, f.fees > 0
               from (",
            from_events!("select e.*", $customer, "order by e.sequence desc offset $10 limit $11"),
            ") p
               left join topup.customer c on c.tenant_id = p.tenant_id and c.environment = p.environment
                                         and c.customer_id = p.customer_id
              cross join lateral (
                    select count(*) as fees, count(distinct asset) as assets, sum(amount) as amount, min(asset) as asset
                      from topup.usage_fee f
                     where f.tenant_id = p.tenant_id and f.environment = p.environment and f.event_id = p.event_id) f
              order by p.sequence desc"
        )
    };
}

const PAGE: &str = page_of_events!("$3::uuid is null");
const PAGE_OF_CUSTOMER: &str = page_of_events!("e.customer_id = $3");
const PAGE_UNPRICED: &str = page_of_events!("($3::uuid is null or e.customer_id = $3) and not e.priced");
const COUNT: &str = from_events!("select count(*)", "$3::uuid is null", "");
const COUNT_OF_CUSTOMER: &str = from_events!("select count(*)", "e.customer_id = $3", "");
const COUNT_UNPRICED: &str =
    from_events!("select count(*)", "($3::uuid is null or e.customer_id = $3) and not e.priced", "");

impl Handler for ListEvents {
    const NAME: &'static str = "usage_event_list";
    type Request = ListEventsRequest;
    type Data = Page<EventItem>;

    fn handle(caller: &Caller, request: &ListEventsRequest) -> Outcome<Page<EventItem>> {
        let range = Range::of(request.limit, request.offset)?;
        let (id, external_id) = (request.customer_id.as_deref(), request.customer_external_id.as_deref());
        let customer_id = match (id, external_id) {
            (None, None) => None,
            // A filter that nothing passes is no mistake.
            _ => Some(customer::find(caller, id, external_id)?.unwrap_or(Uuid::nil())),
        };
        let (page, count) = match (request.has_fees, customer_id) {
            (Some(false), _) => (PAGE_UNPRICED, COUNT_UNPRICED),
            (_, Some(_)) => (PAGE_OF_CUSTOMER, COUNT_OF_CUSTOMER),
            (_, None) => (PAGE, COUNT),
        };
        let day = |day: &Option<Day>| day.as_ref().map(|day| day.0.to_string());
        let (tenant_id, environment) = (caller.tenant_id, caller.environment.as_str());
        let (event_id, subject) = (request.event_id.as_deref(), request.subject.as_deref());
        let (from, to) = (day(&request.period_from), day(&request.period_to));
        let (types, has_fees) = (request.event_types.as_deref(), request.has_fees);
        let (offset, limit) = (range.offset, range.limit);
        let arguments = args![
            tenant_id,
            environment,
            customer_id,
            event_id,
            subject,
            from,
            to,
            types,
            has_fees,
            offset,
            limit
        ];
        let items = db::read_page(page, arguments, read_item)?;
        let total = db::read_page(count, arguments, |row| row.get::<i64>(1))?;
        Ok(Reply::new(Code::Success, range.page(items, total.into_iter().sum())))
    }
}

fn read_item(row: &Row) -> DbResult<EventItem> {
    Ok(EventItem {
        id: row.get(1)?,
        customer_id: Kind::Customer.text(row.uuid(2)?),
        external_id: row.get(3)?,
        event_type: row.get(4)?,
        subject: row.maybe(5)?,
        description: row.maybe(6)?,
        occurred_at: row.get(7)?,
        created_at: row.get(8)?,
        total_fees: row.maybe_amount(9)?,
        fee_currency: row.maybe(10)?,
        has_fees: row.get(11)?,
    })
}
