//! Usage that nothing prices, where an environment refuses it: which event it is, and what is priced instead.

use std::collections::BTreeSet;

use pg_topup_contract::Code;
use uuid::Uuid;

use super::usage_event::UsageEvent;
use crate::pg::db::{self, args};
use crate::value::book::Book;
use crate::value::reply::{Failure, Refusal};

/// Event types that a customer's prices know, of which the nearest are told, at most.
const TYPES_MAX: i64 = 200;
const NEAREST_MAX: usize = 3;
/// So much of a type counts for how near it is.
const COMPARED_CHARACTERS_MAX: usize = 64;

/// Refuses a batch for the first of its new events that nothing prices.
pub fn refuse(
    book: &Book,
    customer_id: Uuid,
    new: &[(usize, &UsageEvent)],
    priced: &BTreeSet<&str>,
) -> Result<(), Failure> {
    let Some((n, event)) = new.iter().find(|(_, event)| !priced.contains(event.id.as_str())) else {
        return Ok(());
    };
    let arguments = args![book.tenant_id, book.environment.as_str(), customer_id, TYPES_MAX];
    let known = db::write(TYPES, arguments, |row| row.get(1))?;
    let message = message(&event.event_type, known);
    Err(Refusal::of_field(Code::InvalidRequest, format!("events[{n}].event_type"), message).into())
}

/// Of all that the customer is or was subscribed to.
const TYPES: &str = "
    select distinct p.price #>> '{usage_calculation,event_type}' as event_type
      from topup.subscription b
      join topup.subscription_product s using (tenant_id, environment, subscription_id)
      join topup.product_version v using (tenant_id, environment, product_id, version)
     cross join lateral jsonb_array_elements(v.prices) as p (price)
     where b.tenant_id = $1 and b.environment = $2::topup.environment and b.customer_id = $3
       and p.price #>> '{usage_calculation,event_type}' is not null
     order by event_type limit $4";

fn message(event_type: &str, known: Vec<String>) -> String {
    if known.iter().any(|other| other == event_type) {
        return format!(
            "The customer's products price '{event_type}', but not this event: look at its occurred_at, and at the \
             dimensions in its data."
        );
    }
    if known.is_empty() {
        return format!("Nothing prices '{event_type}': the customer's products price no usage.");
    }
    let nearest: Vec<String> = nearest(event_type, known).iter().map(|other| format!("'{other}'")).collect();
    format!("Nothing prices '{event_type}'. The nearest that is priced: {}.", nearest.join(", "))
}

/// Those of the types that are spelt most like one, the nearest first.
fn nearest(event_type: &str, mut known: Vec<String>) -> Vec<String> {
    known.sort_by_cached_key(|other| distance(event_type, other));
    known.truncate(NEAREST_MAX);
    known
}

/// How many characters have to be put in, taken out or changed to make one text of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(COMPARED_CHARACTERS_MAX).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (n, a) in one.chars().take(COMPARED_CHARACTERS_MAX).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], n + 1);
        for (m, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[m + 1];
            row[m + 1] = changed.min(row[m] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_what_has_to_be_changed() {
        for (one, other, expected) in
            [("", "", 0), ("chat", "chat", 0), ("chat", "chta", 2), ("", "abc", 3), ("kitten", "sitting", 3)]
        {
            assert_eq!((distance(one, other), distance(other, one)), (expected, expected), "{one} {other}");
        }
    }

    #[test]
    fn the_nearest_types_are_told() {
        let known = ["image", "mesage", "message_completed", "chat", "messages"].map(str::to_owned).to_vec();
        let told = message("message", known);
        assert!(told.ends_with("The nearest that is priced: 'mesage', 'messages', 'image'."), "{told}");
        assert!(message("chat", vec!["chat".to_owned()]).contains("occurred_at"));
        assert!(message("chat", Vec::new()).contains("no usage"));
    }
}
