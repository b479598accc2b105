//! Places for webhooks are shared by tenants first: endpoints of one that hang delay nobody else's deliveries, however many
//! they are and however many gateways there are.

use crate::support::{Answer, Database, Gateway, Hook, LIMIT, Receiver, wait_until};
use serde_json::json;
use std::time::{Duration, Instant};

const FLAGS: &[&str] = &["--allow-private-webhooks", "--rate-limit", "0"];
const HANGING: usize = 20;
const EVENTS: usize = 30;

/// Attempts that hang end after 10 s; who waits for one of their places waits about so long.
const UNDELAYED: Duration = Duration::from_secs(5);

/// A tenant with 20 endpoints that never answer, and much to tell; another, with one that does.
async fn hanging_beside_quick(gateways: usize) {
    let database = Database::new().await;
    let (loud_key, quiet_key) = (database.staging_key().await, database.staging_key().await);
    let mut running = Vec::new();
    for _ in 0..gateways {
        running.push(Gateway::start_with(&database, FLAGS).await);
    }
    let (loud, quiet) = (running[0].client(&loud_key), running[0].client(&quiet_key));
    let (hanging, quick) = (Receiver::start_with([Answer::Hang]).await, Receiver::start().await);
    for n in 0..HANGING {
        Hook::register(&loud, &format!("{}/{n}", hanging.url)).await;
    }
    Hook::register(&quiet, &quick.url).await;
    let app = database.app(&loud_key).await;
    let send =
        format!("do $$ begin for n in 1..{EVENTS} loop perform topup.send('claude', 100); end loop; end $$");
    app.batch_execute(&send).await.unwrap();
    // They take as many places as they get: twice within an attempt's time no more come.
    let mut last = (0, Instant::now());
    wait_until(LIMIT, "the hanging ones have all that they get", async || {
        let open = hanging.requests().len();
        if open != last.0 {
            last = (open, Instant::now());
        }
        (open >= HANGING && last.1.elapsed() > Duration::from_secs(1)).then_some(())
    })
    .await;
    for count in 1..=5 {
        let start = Instant::now();
        let sent = json!({"platform": "claude", "amount_cents": 100});
        quiet.post("/topup/send", sent).await.expect(200, 1001);
        quick.wait_for(count, LIMIT).await;
        assert!(start.elapsed() < UNDELAYED, "delivery {count} took {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn twenty_hanging_endpoints_of_one_tenant_delay_no_other() {
    hanging_beside_quick(1).await;
}

#[tokio::test]
async fn twenty_hanging_endpoints_delay_no_other_tenant_over_several_gateways() {
    hanging_beside_quick(3).await;
}

#[tokio::test]
async fn a_claim_shares_its_room_by_tenant_then_by_endpoint() {
    let database = Database::new().await;
    let (loud, quiet) = (database.staging_key().await, database.staging_key().await);
    for (key, endpoints, sends) in [(&loud, 20, 10), (&quiet, 2, 10)] {
        let app = database.app(key).await;
        let fill = format!(
            "do $$ begin
                 for n in 1..{endpoints} loop perform topup.webhook_register('https://example.com/' || n); end loop;
                 for n in 1..{sends} loop perform topup.send('claude', 100); end loop;
             end $$"
        );
        app.batch_execute(&fill).await.unwrap();
    }
    let admin = database.admin().await;
    let shares = "select count(*), count(distinct lane) from topup.claim_effects(40, 8, '{}', 30) group by tenant_id order by 2";
    let rows = admin.query(shares, &[]).await.unwrap();
    let shares: Vec<(i64, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(shares, [(16, 2), (20, 20)], "8 of each of the two endpoints, and one of each of the twenty");
    // The quiet one holds what it may; the loud one has room for three more.
    let tenants = "select array_agg(tenant_id order by n) from (
                       select tenant_id, count(*) as n from topup.effect where leased group by tenant_id) t";
    let tenants: Vec<uuid::Uuid> = admin.query_one(tenants, &[]).await.unwrap().get(0);
    let more = "select tenant_id from topup.claim_effects(40, 8, '{}', 30, 10, $1, '{0,3}')";
    let rows = admin.query(more, &[&tenants]).await.unwrap();
    let claimed: Vec<uuid::Uuid> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(claimed, [tenants[1]; 3]);
    database.check().await;
}
