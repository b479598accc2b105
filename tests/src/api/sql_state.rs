//! What Postgres says when it cannot do something now is 503 on every surface, and nothing was done; what is wrong by
//! itself stays a fault of ours.

use crate::support::rpc::Rpc;
use crate::support::{LIMIT, Payer, Reply, Shop, Visitor, wait_until};
use serde_json::json;
use std::collections::BTreeSet;
use tokio_postgres::Client as Session;

/// With whether the connection that brought it is thrown away.
const LATER: [(&str, bool); 17] = [
    ("25006", true),
    ("40001", false),
    ("40P01", false),
    ("55P03", false),
    ("57014", false),
    ("53000", true),
    ("53100", true),
    ("53200", true),
    ("53300", true),
    ("53400", true),
    ("58030", true),
    ("57P01", true),
    ("57P02", true),
    ("57P03", true),
    ("08000", true),
    ("08003", true),
    ("08006", true),
];
const FAULTS: [&str; 4] = ["P0001", "23514", "42501", "XX000"];

/// Whatever is written anywhere raises the state in `public.trouble`, if there is one. A portal session is written when it
/// is looked at, and a payment when its payer gives up.
const TROUBLE: &str = "
    create table public.trouble (state text);
    create function public.raise_trouble() returns trigger language plpgsql as $$
    declare
        wanted text := (select state from public.trouble);
    begin
        if wanted is not null then
            raise exception 'raised by a test' using errcode = wanted;
        end if;
        return coalesce(new, old);
    end $$;
    create trigger trouble before insert on topup.top_up for each row execute function public.raise_trouble();
    create trigger trouble before insert on topup.customer for each row execute function public.raise_trouble();
    create trigger trouble before update on topup.tenant_environment for each row execute function public.raise_trouble();
    create trigger trouble before insert or update on topup.payment for each row execute function public.raise_trouble();
    create trigger trouble before insert or update or delete on topup.portal_session
        for each row execute function public.raise_trouble();";

async fn raise(admin: &Session, state: Option<&str>) {
    admin.batch_execute("truncate public.trouble").await.unwrap();
    if let Some(state) = state {
        admin.execute("insert into public.trouble values ($1)", &[&state]).await.unwrap();
    }
}

/// The sessions that have called operations last.
async fn callers(admin: &Session) -> BTreeSet<i32> {
    let query = "select pid from pg_stat_activity where datname = current_database()
                  and application_name = 'topup-gateway' and query like '%topup.call_many%'";
    admin.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Somebody on each surface who is about to change something.
struct Callers {
    account: String,
    rpc: Rpc,
    visitor: Visitor,
}

impl Callers {
    async fn open() -> Callers {
        let shop = Shop::open_with(&["--rate-limit", "0", "--allow-private-webhooks"]).await;
        let rpc = Rpc::new(&shop.gateway, &shop.key);
        let mut visitor = Visitor::of(Payer::open_with(shop).await);
        visitor.go_in().await;
        let account = visitor.payer.till.root.get("/accounts/self").await.expect_status(200);
        let account = account.json["account_id"].as_str().unwrap().to_owned();
        Callers { account, rpc, visitor }
    }

    fn shop(&self) -> &Shop {
        &self.visitor.payer.till.shop
    }

    async fn send(&self, key: &str) -> Reply {
        let order = json!({"platform": "claude", "amount_cents": 100});
        self.shop().client.post_once("/topup/send", order, key).await
    }

    async fn plain(&self, id: &str) -> Reply {
        self.visitor.payer.till.root.post("/customers", json!({"external_id": id, "name": "Bob"})).await
    }

    async fn enclosed(&self) -> Reply {
        let path = format!("/client/v4/accounts/{}/ai-gateway/billing/spending-limit", self.account);
        let limit = json!({"amount": 100_000, "strategy": "fixed", "duration": "monthly"});
        self.visitor.payer.till.root.post(&path, limit).await
    }

    /// All surfaces of the API, with what each says.
    async fn all_are(&self, state: &str, status: u16, code: i64) {
        let enclosed = self.enclosed().await.expect(status, code);
        assert_eq!(enclosed.header("x-should-retry"), Some("false"), "{state}");
        let tool = self.rpc.call("send_topup", json!({"platform": "claude", "amount_cents": 100})).await;
        tool.refused(code);
        for reply in [self.send(state).await, self.plain(state).await, enclosed] {
            assert_eq!((reply.status, reply.code()), (status, code), "{state}: {}", reply.text);
            assert_eq!(reply.header("retry-after").is_some(), status == 503, "{state}");
            assert!(!reply.text.contains("raised by a test"), "{}", reply.text);
        }
    }
}

#[tokio::test]
async fn what_passes_is_503_on_every_surface_and_safe_to_repeat() {
    let callers_of = Callers::open().await;
    let shop = callers_of.shop();
    let admin = shop.database.admin().await;
    admin.batch_execute(TROUBLE).await.unwrap();
    let mut top_ups = 0;
    for (state, throws_away) in LATER {
        callers_of.send(&format!("before {state}").replace(' ', "-")).await.expect(200, 1001);
        let before = callers(&admin).await;
        raise(&admin, Some(state)).await;
        callers_of.send(state).await.expect(503, 5003);
        match throws_away {
            true => {
                wait_until(LIMIT, "the connection is thrown away", async || {
                    (!before.is_subset(&callers(&admin).await)).then_some(())
                })
                .await
            }
            false => assert!(before.is_subset(&callers(&admin).await), "{state}"),
        }
        callers_of.all_are(state, 503, 5003).await;
        raise(&admin, None).await;
        let sent = callers_of.send(state).await.expect(200, 1001);
        assert_eq!(sent.header("idempotent-replayed"), None, "{state}: it was not done before");
        callers_of.plain(state).await.expect_status(201);
        top_ups += 2;
    }
    assert_eq!(shop.database.top_ups().await, top_ups);
    shop.database.check().await;
}

#[tokio::test]
async fn pages_say_later_too() {
    let callers = Callers::open().await;
    let admin = callers.shop().database.admin().await;
    admin.batch_execute(TROUBLE).await.unwrap();
    let payer = &callers.visitor.payer;
    let top_up = payer.top_up("25", json!({})).await;
    for (state, _) in LATER {
        raise(&admin, Some(state)).await;
        let left = payer.submit(&top_up, &[("action", "cancel")]).await;
        let out = callers.visitor.submit("/portal/leave", &[]).await;
        for page in [left, out] {
            assert_eq!(page.status, 503, "{state}: {}", page.text);
            assert!(
                page.header("retry-after").is_some() && page.text.contains("<html"),
                "{state}: {}",
                page.text
            );
        }
    }
    raise(&admin, None).await;
    payer.submit(&top_up, &[("action", "cancel")]).await.expect_status(303);
    callers.visitor.submit("/portal/leave", &[]).await.expect_status(200);
}

#[tokio::test]
async fn what_is_wrong_by_itself_stays_a_fault_of_ours() {
    let callers = Callers::open().await;
    let admin = callers.shop().database.admin().await;
    admin.batch_execute(TROUBLE).await.unwrap();
    for state in FAULTS {
        raise(&admin, Some(state)).await;
        callers.all_are(state, 500, 5000).await;
    }
}

#[tokio::test]
async fn a_call_that_is_cancelled_is_503_and_not_done() {
    let shop = Shop::open().await;
    let holder = shop.database.hold_wallets().await;
    let client = shop.client.clone();
    let order = json!({"platform": "claude", "amount_cents": 100});
    let begun = tokio::spawn(async move { client.post_once("/topup/send", order, "k-1").await });
    shop.database.wait_for_waiting(1).await;
    let cancel =
        "select count(pg_cancel_backend(pid)) from pg_stat_activity where datname = current_database()
                   and application_name = 'topup-gateway' and wait_event_type = 'Lock'";
    let admin = shop.database.admin().await;
    assert_eq!(admin.query_one(cancel, &[]).await.unwrap().get::<_, i64>(0), 1);
    let told = begun.await.unwrap().expect(503, 5003);
    assert!(told.data()["message"].as_str().unwrap().contains("Nothing was done"), "{}", told.text);
    holder.batch_execute("rollback").await.unwrap();
    assert_eq!(shop.database.top_ups().await, 0);
}

#[tokio::test]
async fn too_many_connections_are_503_until_there_are_fewer() {
    let shop = Shop::open().await;
    let admin = shop.database.admin().await;
    let limit = async |connections: i32| {
        let query = "select format('alter database %I connection limit %s', current_database(), $1::int)";
        let sql: String = admin.query_one(query, &[&connections]).await.unwrap().get(0);
        admin.batch_execute(&sql).await.unwrap();
    };
    limit(0).await;
    let end = "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity
                where datname = current_database() and usename = 'gateway'";
    admin.execute(end, &[]).await.unwrap();
    let refused = shop.client.get("/topup/balance").await.expect(503, 5003);
    assert!(refused.header("retry-after").is_some());
    limit(-1).await;
    wait_until(LIMIT, "calls are served again", async || {
        (shop.client.get("/topup/balance").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_database_that_only_reads_for_a_while_is_503_with_the_reason_and_then_serves_by_itself() {
    let shop = Shop::open().await;
    let admin = shop.database.admin().await;
    let only_reads = async |is_on: bool| {
        let query = "select format('alter database %I set default_transaction_read_only = %s', current_database(), $1::bool)";
        let sql: String = admin.query_one(query, &[&is_on]).await.unwrap().get(0);
        admin.batch_execute(&format!("set default_transaction_read_only = off; {sql}")).await.unwrap();
    };
    shop.send().await.expect(200, 1001);
    only_reads(true).await;
    let end = "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity
                where datname = current_database() and usename = 'gateway'";
    admin.execute(end, &[]).await.unwrap();
    for _ in 0..3 {
        let refused = shop.send().await.expect(503, 5003);
        assert!(refused.data()["message"].as_str().unwrap().contains("takes no changes"), "{}", refused.text);
        shop.client.get("/topup/balance").await.expect(200, 1000);
    }
    only_reads(false).await;
    // Nobody ends the sessions that only read: the gateway leaves them by itself.
    wait_until(LIMIT, "a send is served again", async || {
        let reply = shop.send().await;
        if reply.status == 503 {
            return None;
        }
        Some(reply.expect(200, 1001))
    })
    .await;
    assert_eq!(shop.database.top_ups().await, 2);
    shop.database.check().await;
}
