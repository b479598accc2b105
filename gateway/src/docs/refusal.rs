//! What refusals look like in the OpenAPI document: a response for each HTTP status on each surface.

use std::collections::{BTreeMap, BTreeSet};

use pg_topup_contract::{PROBLEM_JSON, Problem, cloudflare_status};
use serde_json::{Value, json};

use crate::docs::components::Components;
use crate::docs::reply_schema::{cloudflare_schema, envelope_schema, fault_schema, problem_schema};
use crate::operation::CodeRow;
use crate::response_format::ResponseFormat;

/// HTTP statuses that every operation may answer with; its own are in the catalog.
pub const COMMON_REFUSALS: [i16; 6] = [400, 401, 403, 429, 500, 503];
/// And those of an operation that takes a body.
pub const POST_REFUSALS: [i16; 2] = [413, 415];
const FORMATS: [ResponseFormat; 3] =
    [ResponseFormat::Envelope, ResponseFormat::Credyt, ResponseFormat::Cloudflare];
/// What a field at fault may be instead of 400: it names what is not there, or does not go with what is.
const FIELD_REFUSALS: [u16; 2] = [404, 409];
const INVALID_REQUEST: i16 = 2000;

impl Components {
    /// The response of this status in this format, by reference.
    pub fn refusal(&mut self, format: ResponseFormat, status: i16) -> Value {
        let name = format!("{}{status}", name(format));
        let reference = json!({"$ref": format!("#/components/responses/{name}")});
        self.refusals.insert(name);
        reference
    }
}

/// The shapes of refusals.
pub fn add_schemas(components: &mut Components) {
    let fault = components.add("Fault", fault_schema());
    components.add("Refusal", envelope_schema(fault));
    components.add("Problem", problem_schema());
    let nothing = json!({"type": "null", "description": "A refusal has no result."});
    components.add("Enclosed", cloudflare_schema(nothing));
}

/// One response for each status in each format that is referred to, naming the codes that come with it.
pub fn responses(codes: &[CodeRow], referred: &BTreeSet<String>) -> BTreeMap<String, Value> {
    let mut responses = BTreeMap::new();
    for format in FORMATS {
        let mut meanings: BTreeMap<u16, Vec<String>> = BTreeMap::new();
        for row in codes.iter().filter(|row| !row.success) {
            for status in statuses(format, row) {
                meanings.entry(status).or_default().push(format!("{}: {}", row.code, row.meaning));
            }
        }
        for status in COMMON_REFUSALS.into_iter().chain(POST_REFUSALS) {
            let status = u16::try_from(status).unwrap_or(500);
            meanings.entry(status).or_insert_with(|| vec!["A refusal".to_owned()]);
        }
        for (status, texts) in meanings {
            let name = format!("{}{status}", name(format));
            if referred.contains(&name) {
                responses.insert(name, response(format, status, &texts.join("; ")));
            }
        }
    }
    responses
}

/// The statuses under which a format reports a code.
fn statuses(format: ResponseFormat, row: &CodeRow) -> Vec<u16> {
    let own = u16::try_from(row.http_status).unwrap_or(500);
    let told: &[u16] = if row.code == INVALID_REQUEST { &FIELD_REFUSALS } else { &[] };
    let all = std::iter::once(own).chain(told.iter().copied());
    let mut statuses: Vec<u16> = match format {
        // The envelope has a code for each of them, but where a customer or a product is missing.
        ResponseFormat::Envelope => all.collect(),
        ResponseFormat::Cloudflare => all.map(cloudflare_status).collect(),
        ResponseFormat::Credyt | ResponseFormat::Document => all
            .flat_map(|status| {
                [None, Some("")].map(|field| Problem::new(status, row.code, &row.meaning, field).status)
            })
            .collect(),
    };
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

fn response(format: ResponseFormat, status: u16, description: &str) -> Value {
    let mut headers = json!({"X-Request-Id": {"$ref": "#/components/headers/RequestId"}});
    if matches!(status, 429 | 503) {
        headers["Retry-After"] = json!({"$ref": "#/components/headers/RetryAfter"});
    }
    let media_type = if format.has_problems() { PROBLEM_JSON } else { "application/json" };
    let schema = json!({"$ref": format!("#/components/schemas/{}", name(format))});
    json!({"description": description, "headers": headers, "content": {media_type: {"schema": schema}}})
}

fn name(format: ResponseFormat) -> &'static str {
    match format {
        ResponseFormat::Envelope => "Refusal",
        ResponseFormat::Credyt | ResponseFormat::Document => "Problem",
        ResponseFormat::Cloudflare => "Enclosed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_surface_tells_a_code_under_its_own_status() {
        let row = |code, http_status| CodeRow { code, meaning: "m".into(), http_status, success: false };
        assert_eq!(statuses(ResponseFormat::Envelope, &row(2002, 402)), [402]);
        assert_eq!(statuses(ResponseFormat::Credyt, &row(2002, 402)), [422]);
        assert_eq!(statuses(ResponseFormat::Cloudflare, &row(2006, 409)), [400]);
        assert_eq!(statuses(ResponseFormat::Credyt, &row(2000, 400)), [400, 404, 409, 422]);
        let mut components = Components::default();
        components.refusal(ResponseFormat::Credyt, 422);
        let told = responses(&[row(2000, 400)], &components.refusals);
        assert_eq!(told.keys().collect::<Vec<_>>(), ["Problem422"]);
        assert!(told["Problem422"]["description"].as_str().unwrap().contains("2000"));
    }
}
