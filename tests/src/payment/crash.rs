//! Gateways are killed at random moments while they charge saved cards through Stripe: nobody is charged twice, and
//! whatever was charged is credited.

use crate::support::{Gateway, Story, TopUp, flags, wait_until};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

const KILLS: usize = 100;
/// Each gateway lives so long at most, once it listens; a charge takes less.
const LIFE_MS_MAX: u64 = 60;
/// The last gateway may have to do all that the killed ones left.
const END_LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_hundred_gateways_killed_at_random_moments_charge_each_payment_once() {
    let mut story = Story::begin().await;
    story.save_card("4242424242424242").await;
    // The pauses are in Stripe, so that kills meet every step of a charge.
    story.stripe.delay_ms(20);
    let mut charges: Vec<TopUp> = Vec::new();
    for _ in 0..KILLS {
        charges.push(story.payer.charge_saved_card("10").await);
        story.payer.till.shop.gateway.kill_9();
        let database = &story.payer.till.shop.database;
        // The lease of the killed one would last for a minute and a half.
        story.payer.sql("update topup.payment set due_at = clock_timestamp() where status = 'pending'").await;
        let successor = Gateway::listening(&database.gateway_url(), &flags(&story.stripe.url)).await;
        story.payer.till.shop.gateway = successor;
        tokio::time::sleep(Duration::from_millis(random(LIFE_MS_MAX))).await;
    }
    let root = story.payer.till.shop.gateway.client(&story.payer.till.shop.key).at_root();
    story.payer.till.root = root;
    wait_until(END_LIMIT, "every payment has ended", async || {
        let open = "update topup.payment set due_at = clock_timestamp() where status = 'pending'
                     and due_at > clock_timestamp() + interval '2 s'";
        story.payer.sql(open).await;
        let pending = story.payer.ask("(select count(*) from topup.payment where status = 'pending')").await;
        (pending == json!(0)).then_some(())
    })
    .await;

    assert!(story.stripe.replayed() > 0, "no kill met a charge");
    let mut made: BTreeMap<String, usize> = BTreeMap::new();
    for intent in story.stripe.peer.intents().await {
        let payment_id = intent["metadata"]["payment_id"].as_str().unwrap().to_owned();
        assert_eq!(intent["status"], "succeeded");
        *made.entry(payment_id).or_default() += 1;
    }
    for charge in &charges {
        assert_eq!(made.get(&charge.id), Some(&1), "{}", charge.id);
        assert_eq!(story.payer.status(charge).await, "succeeded");
    }
    story.has(&(5 + 10 * KILLS).to_string()).await;
}

/// A number up to this one, from the ids that every process has at hand.
fn random(max: u64) -> u64 {
    u64::try_from(uuid::Uuid::now_v7().as_u128() & 0xffff).unwrap() % (max + 1)
}
