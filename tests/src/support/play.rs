//! Random steps on few wallets, for tests that play them side by side or against a model.

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{Index, select};
use serde_json::Value;

/// One thing that a client does. An `Index` picks among the top-ups that there are by then.
#[derive(Clone, Debug)]
pub enum Step {
    Send { platform: &'static str, amount_cents: i64, recipient: Option<&'static str> },
    Cancel(Index),
    Deliver(Index),
    Fail(Index),
    Redeem { top_up: Index, email: &'static str },
    AdjustWallet { mills: i64 },
    AdjustCustomer { email: &'static str, platform: &'static str, mills: i64 },
}

/// Adjustments are counted in thousandths of a cent.
pub const MILLS_IN_A_CENT: i64 = 1000;

/// Delivered at once; the play's deferred one; none at all.
pub const INSTANT: &str = "claude";
pub const DEFERRED: &str = "slow";
pub const UNKNOWN: &str = "bard";

/// Makes the deferred platform.
pub const SET_PLATFORM: &str = "topup.set_platform('slow', 'Slow', delivery => 'deferred')";

/// Two spellings of one address, another, and one that stays pending.
const EMAILS: [&str; 3] = ["ann@example.com", "Ann@Example.COM", "bob@example.com"];
const PENDING_EMAIL: &str = "eve+pending@example.com";

/// Any step: mostly one that makes sense.
pub fn step() -> impl Strategy<Value = Step> {
    let email = || select(&EMAILS[..]);
    let platform = || select(&[INSTANT, INSTANT, INSTANT, DEFERRED, DEFERRED, "gemini"][..]);
    let amount = prop_oneof![12 => 100..=900_i64, 1 => Just(99), 1 => Just(100_001)];
    let recipient = prop_oneof![
        2 => Just(None),
        2 => email().prop_map(Some),
        1 => Just(Some(PENDING_EMAIL)),
    ];
    let sending = prop_oneof![20 => platform(), 1 => Just(UNKNOWN)];
    let mills = || prop_oneof![6 => -300_000..=500_000_i64, 1 => Just(0)];
    prop_oneof![
        8 => (sending, amount, recipient)
            .prop_map(|(platform, amount_cents, recipient)| Step::Send { platform, amount_cents, recipient }),
        3 => any::<Index>().prop_map(Step::Cancel),
        2 => any::<Index>().prop_map(Step::Deliver),
        2 => any::<Index>().prop_map(Step::Fail),
        3 => (any::<Index>(), email()).prop_map(|(top_up, email)| Step::Redeem { top_up, email }),
        2 => mills().prop_map(|mills| Step::AdjustWallet { mills }),
        2 => (email(), platform(), mills())
            .prop_map(|(email, platform, mills)| Step::AdjustCustomer { email, platform, mills }),
    ]
}

/// Thousandths of a cent as an exact number of dollars.
pub fn dollars(mills: i64) -> String {
    let sign = if mills < 0 { "-" } else { "" };
    format!("{sign}{}.{:05}", mills.abs() / 100_000, mills.abs() % 100_000)
}

/// The call of a typed SQL function with the fields of a request as named arguments.
pub fn typed_call(operation: &str, request: &Value, idempotency_key: Option<&str>) -> String {
    let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let mut arguments: Vec<String> = Vec::new();
    for (name, value) in request.as_object().unwrap() {
        let value = value.as_str().map_or_else(|| value.to_string(), literal);
        arguments.push(format!("{name} => {value}"));
    }
    arguments.extend(idempotency_key.map(|key| format!("idempotency_key => {}", literal(key))));
    format!("topup.{operation}({})", arguments.join(", "))
}
