//! What refusals look like in the OpenAPI document: a response for each HTTP status on each surface.

use std::collections::{BTreeMap, BTreeSet};

use pg_topup_contract::{PROBLEM_JSON, Problem, enclosed_status};
use serde_json::{Value, json};

use crate::docs::components::Components;
use crate::docs::reply_schema::{enclosed_schema, envelope_schema, fault_schema, problem_schema};
use crate::operation::{CodeRow, Surface};

/// HTTP statuses that every operation may answer with; its own are in the catalog.
pub const COMMON_REFUSALS: [i16; 6] = [400, 401, 403, 429, 500, 503];
/// And those of an operation that takes a body.
pub const POST_REFUSALS: [i16; 2] = [413, 415];
const SURFACES: [Surface; 3] = [Surface::Envelope, Surface::Plain, Surface::Enclosed];
/// What a field at fault may be instead of 400: it names what is not there, or does not go with what is.
const FIELD_REFUSALS: [u16; 2] = [404, 409];
const INVALID_REQUEST: i16 = 2000;

impl Components {
    /// The response of this status on this surface, by reference.
    pub fn refusal(&mut self, surface: Surface, status: i16) -> Value {
        let name = format!("{}{status}", name(surface));
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
    components.add("Enclosed", enclosed_schema(nothing));
}

/// One response for each status on each surface that is referred to, naming the codes that come with it.
pub fn responses(codes: &[CodeRow], referred: &BTreeSet<String>) -> BTreeMap<String, Value> {
    let mut responses = BTreeMap::new();
    for surface in SURFACES {
        let mut meanings: BTreeMap<u16, Vec<String>> = BTreeMap::new();
        for row in codes.iter().filter(|row| !row.success) {
            for status in statuses(surface, row) {
                meanings.entry(status).or_default().push(format!("{}: {}", row.code, row.meaning));
            }
        }
        for status in COMMON_REFUSALS.into_iter().chain(POST_REFUSALS) {
            let status = u16::try_from(status).unwrap_or(500);
            meanings.entry(status).or_insert_with(|| vec!["A refusal".to_owned()]);
        }
        for (status, texts) in meanings {
            let name = format!("{}{status}", name(surface));
            if referred.contains(&name) {
                responses.insert(name, response(surface, status, &texts.join("; ")));
            }
        }
    }
    responses
}

/// The statuses under which a surface tells a code.
fn statuses(surface: Surface, row: &CodeRow) -> Vec<u16> {
    let own = u16::try_from(row.http_status).unwrap_or(500);
    let told: &[u16] = if row.code == INVALID_REQUEST { &FIELD_REFUSALS } else { &[] };
    let all = std::iter::once(own).chain(told.iter().copied());
    let mut statuses: Vec<u16> = match surface {
        // The envelope has a code for each of them, but where a customer or a product is missing.
        Surface::Envelope => all.collect(),
        Surface::Enclosed => all.map(enclosed_status).collect(),
        Surface::Plain => all
            .flat_map(|status| {
                [None, Some("")].map(|field| Problem::new(status, row.code, &row.meaning, field).status)
            })
            .collect(),
    };
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

fn response(surface: Surface, status: u16, description: &str) -> Value {
    let mut headers = json!({"X-Request-Id": {"$ref": "#/components/headers/RequestId"}});
    if matches!(status, 429 | 503) {
        headers["Retry-After"] = json!({"$ref": "#/components/headers/RetryAfter"});
    }
    let media_type = if surface == Surface::Plain { PROBLEM_JSON } else { "application/json" };
    let schema = json!({"$ref": format!("#/components/schemas/{}", name(surface))});
    json!({"description": description, "headers": headers, "content": {media_type: {"schema": schema}}})
}

fn name(surface: Surface) -> &'static str {
    match surface {
        Surface::Envelope => "Refusal",
        Surface::Plain => "Problem",
        Surface::Enclosed => "Enclosed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_surface_tells_a_code_under_its_own_status() {
        let row = |code, http_status| CodeRow { code, meaning: "m".into(), http_status, success: false };
        assert_eq!(statuses(Surface::Envelope, &row(2002, 402)), [402]);
        assert_eq!(statuses(Surface::Plain, &row(2002, 402)), [422]);
        assert_eq!(statuses(Surface::Enclosed, &row(2006, 409)), [400]);
        assert_eq!(statuses(Surface::Plain, &row(2000, 400)), [400, 404, 409, 422]);
        let mut components = Components::default();
        components.refusal(Surface::Plain, 422);
        let told = responses(&[row(2000, 400)], &components.refusals);
        assert_eq!(told.keys().collect::<Vec<_>>(), ["Problem422"]);
        assert!(told["Problem422"]["description"].as_str().unwrap().contains("2000"));
    }
}
