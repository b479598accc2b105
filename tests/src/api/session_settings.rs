//! What a session has set changes nothing: under every setting each operation says the same and writes the same rows. The same
//! story is played in databases that differ by their settings alone, and what came of it is compared.

use crate::api::session_compare::differences;
use crate::openapi::document::Recorder;
use crate::support::{Database, Gateway, Receiver, wait_until};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// Settings that do not touch one another are played together; a failure names them.
const HOSTILE: &[&[&str]] = &[
    &[
        "datestyle = 'German'",
        "timezone = 'Etc/GMT+12'",
        "intervalstyle = 'iso_8601'",
        "bytea_output = 'escape'",
        "extra_float_digits = -15",
    ],
    &[
        "datestyle = 'SQL, DMY'",
        "timezone = 'Pacific/Kiritimati'",
        "intervalstyle = 'sql_standard'",
        "plan_cache_mode = 'force_generic_plan'",
        "row_security = off",
        "transform_null_equals = on",
        "array_nulls = off",
    ],
    &[
        "search_path = impostors, pg_catalog",
        "default_transaction_isolation = 'serializable'",
        "plan_cache_mode = 'force_custom_plan'",
        "datestyle = 'Postgres, MDY'",
        "timezone = 'America/St_Johns'",
        "standard_conforming_strings = off",
        "quote_all_identifiers = on",
    ],
    &[
        "default_transaction_isolation = 'repeatable read'",
        "force_parallel_mode = 'on'",
        "enable_indexscan = off",
        "intervalstyle = 'postgres_verbose'",
        "plpgsql.extra_errors = 'all'",
    ],
    &["topup.write_path = 'statements'"],
];

/// What unqualified names would mean in a session whose search_path begins with this schema.
const IMPOSTORS: &str = "
    create schema impostors;
    grant usage on schema impostors to public;
    create function impostors.yes(date, date) returns boolean language sql immutable as 'select true';
    create function impostors.yes(uuid, uuid) returns boolean language sql immutable as 'select true';
    create function impostors.yes(timestamptz, timestamptz) returns boolean language sql immutable as 'select true';
    create operator impostors.= (leftarg = date, rightarg = date, function = impostors.yes);
    create operator impostors.= (leftarg = uuid, rightarg = uuid, function = impostors.yes);
    create operator impostors.< (leftarg = timestamptz, rightarg = timestamptz, function = impostors.yes);
    create function impostors.now() returns timestamptz language sql as 'select timestamptz ''2001-01-01Z''';
    create function impostors.clock_timestamp() returns timestamptz language sql as 'select timestamptz ''2001-01-01Z''';
    create function impostors.lower(text) returns text language sql as 'select ''''::text';
    create function impostors.to_char(timestamp, text) returns text language sql as 'select ''''::text'";

/// A session in which rows are read alike, whatever the database's settings are.
const PLAIN: &str = "
    set search_path = pg_catalog; set datestyle = 'ISO, MDY'; set timezone = 'UTC'; set intervalstyle = 'postgres';
    set bytea_output = 'hex'; set extra_float_digits = 1; set default_transaction_isolation = 'read committed';
    set force_parallel_mode = off; set enable_indexscan = on; set standard_conforming_strings = on;
    set transform_null_equals = off; set array_nulls = on";

/// Tables of what is on its way outside: how far it is depends on the moment.
const ON_ITS_WAY: [&str; 6] = ["sleeper", "outbox", "event", "delivery", "attempt", "effect"];

/// Where a worker's transaction loses against another, what it has leased comes again only when the lease is over.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);

/// One statement's value. A transaction that lost against the worker's is repeated, as serializable ones must be.
async fn ask(client: &Client, expression: &str) -> Value {
    const TRIES_MAX: usize = 50;
    for _ in 0..TRIES_MAX {
        match client.query_one(&format!("select to_jsonb({expression})"), &[]).await {
            Ok(row) => return row.get::<_, Option<Value>>(0).unwrap_or_default(),
            Err(error) if error.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE) => {}
            Err(error) => panic!("{expression}: {error:?}"),
        }
    }
    panic!("{expression} lost against others {TRIES_MAX} times");
}

/// Sets the database's defaults, for every session that comes.
async fn apply(database: &Database, settings: &[&str]) {
    let admin = database.admin().await;
    admin.batch_execute(IMPOSTORS).await.unwrap();
    for setting in settings {
        let set = format!(
            "do $do$ begin execute format('alter database %I set ', current_database()) || $set${setting}$set$; end $do$"
        );
        admin.batch_execute(&set).await.unwrap();
    }
    let set: i64 = plain(database)
        .await
        .query_one("select count(*) from pg_db_role_setting, unnest(setconfig) where setdatabase = (select oid from pg_database where datname = current_database())", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(set, settings.len() as i64);
}

async fn plain(database: &Database) -> Client {
    let session = database.admin().await;
    session.batch_execute(PLAIN).await.unwrap();
    session
}

/// What typed functions and views say, and what the portal shows; and how the books are afterwards.
struct Speaker<'a> {
    database: &'a Database,
    app: Client,
    said: Vec<Value>,
}

impl Speaker<'_> {
    async fn say(&mut self, expression: &str) -> Value {
        let reply = ask(&self.app, expression).await;
        self.said.push(json!({"path": expression, "reply": reply}));
        reply
    }

    /// A customer with credit of three days, who looks at the portal; the chart is the one place that shows days.
    async fn chart(&mut self) -> String {
        let made = self.say("topup.customer_create('Chart', external_id => 'chart')").await;
        let customer = made["data"]["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        for (n, amount) in [(1, "1"), (2, "2"), (3, "4")] {
            self.say(&format!("topup.adjust('chart-{n}', 'USD', {amount}, 'gift', '{customer}')")).await;
        }
        // Around midnight of every zone.
        let days_ago = "alter table topup.transaction disable trigger all;
            update topup.transaction
               set created_at = (date_trunc('day', clock_timestamp() at time zone 'UTC') - case reference
                   when 'chart-1' then interval '2 days 23 hours' when 'chart-2' then interval '1 day 12 hours'
                   else interval '1 hour' end) at time zone 'UTC'
             where reference like 'chart-%';
            alter table topup.transaction enable always trigger refuse_change, enable always trigger refuse_truncate";
        plain(self.database).await.batch_execute(days_ago).await.unwrap();
        customer
    }

    async fn portal(&mut self, customer: &str) {
        let create =
            format!("topup.portal_session_create('{customer}', 'https://a.example', 'https://a.example')");
        let link = self.say(&create).await;
        let link = link["data"]
            .as_object()
            .unwrap()
            .values()
            .find_map(|value| value.as_str().filter(|text| text.contains("/portal/")).map(str::to_owned));
        let link = link.unwrap_or_else(|| panic!("no link"));
        let token = link.rsplit('/').next().unwrap();
        let gateway = self.database.gateway().await;
        let entered = ask(&gateway, &format!("topup.portal_enter('{token}')")).await;
        let session = entered["session"].as_str().unwrap_or_else(|| panic!("{entered}")).to_owned();
        for shown in [
            "portal_view('{}')",
            "portal_history('{}', 'default:USD')",
            r#"portal_csv('{}', '{"account_id": "default:USD"}')"#,
            "portal_leave('{}')",
        ] {
            let reply = ask(&gateway, &format!("topup.{}", shown.replacen("{}", &session, 1))).await;
            self.said.push(json!({"path": shown, "reply": reply}));
        }
    }

    /// Operations whose times come as typed arguments.
    async fn times(&mut self, customer: &str) {
        let later = "timestamptz '2090-01-02 03:04:05.678Z'";
        for expression in [
            format!("topup.adjust('grant', 'USD', 5, 'gift', '{customer}', expires_at => {later})"),
            format!(
                "topup.hold('{customer}', 'USD', 1, pg_catalog.clock_timestamp() + interval '1 hour', 'own')"
            ),
            format!("topup.charge('{customer}', 'charge', 'USD', 1.5)"),
            format!(
                "topup.subscription_create('{customer}', '[{{\"code\": \"chat\"}}]',
                         starts_at => '2026-02-03 04:05:06.007Z', renews_at => {later})"
            ),
            format!("topup.asset_add_rate('TOK', 'USD', 0.3, {later})"),
            "(select count(*) from topup.review_tiers())".to_owned(),
        ] {
            let is_admins = expression.contains("review_tiers");
            let reply = if is_admins {
                ask(&self.database.admin().await, &expression).await
            } else {
                ask(&self.app, &expression).await
            };
            self.said.push(json!({"path": expression, "reply": reply}));
        }
    }

    /// What only reads: the same again in a session that may do nothing else.
    async fn reads(&mut self, customer: &str) {
        let mut reads: Vec<String> = [
            "balance()",
            "history()",
            "wallet('{}')",
            "wallet_account('{}', 'default:USD')",
            "customer_get('{}')",
            "customer_list()",
            "asset_list()",
            "asset_get('TOK')",
            "asset_quote('TOK', 'USD', 1, '2091-01-01 00:00Z')",
            "product_list()",
            "usage_event_list(period_from => '2026-01-05', period_to => '2026-01-05')",
            "grant_list('{}', effective_from => '2026-01-01 00:00Z', expired_to => '2091-01-01 00:00Z')",
            "hold_status('own')",
            "credit_balance()",
            "invoice_history()",
            "invoice_preview()",
            "usage_history('day')",
            "spending_limit_get()",
            "webhook_list()",
            "auto_top_up('{}')",
            "wallet_transaction('{}', 'charge')",
            "account_self()",
        ]
        .iter()
        .map(|call| format!("topup.{}", call.replace("{}", customer)))
        .collect();
        for view in
            ["accounts", "transactions", "entries", "top_ups", "customers", "keys", "webhook_endpoints"]
        {
            reads.push(format!("(select count(*) from topup.{view})"));
        }
        reads.push(format!(
            "(select jsonb_agg(jsonb_build_array(l.kind, topup.rfc3339(l.at), l.amount::text, l.balance::text) order by l.line)
                from topup.statement_lines('{customer}', 'default:USD') l)"
        ));
        reads.push(format!("topup.balance_at('{customer}', 'default:USD', '2026-11-01 00:00Z')::text"));
        for read in &reads {
            self.say(read).await;
        }
        self.app.batch_execute("set default_transaction_read_only = on").await.unwrap();
        for read in &reads {
            self.say(read).await;
        }
        self.app.batch_execute("set default_transaction_read_only = off").await.unwrap();
    }
}

/// Usage of a price with tiers whose meter has counted before.
async fn use_more(recorder: &mut Recorder) {
    let event = |n: usize| json!({"id": format!("more-{n}"), "event_type": "call", "occurred_at": "2026-01-06T00:00:00Z"});
    let events: Vec<Value> = (0..12).map(event).collect();
    let batch = json!({"customer_external_id": "subscriber", "events": events});
    recorder.ask(Method::POST, "/events", &[], Some(batch)).await.expect_status(204);
    let listed = "/events?period_from=2026-01-06&period_to=2026-01-06&limit=100";
    let reply = recorder.client.get(listed).await.expect_status(200);
    recorder.keep(&Method::GET, "/events", None, &reply);
}

async fn is_settled(admin: &Client) -> Option<()> {
    // A collection that came too early, or lost against another transaction, is tried again in a minute or two: that time passes.
    let pass = "update topup.subscription set due_at = clock_timestamp()
                 where status = 'action_required' and due_at > clock_timestamp() + interval '10 seconds'";
    admin.batch_execute(pass).await.unwrap();
    let open = "select (select count(*) from topup.payment where due_at is not null)
                     + (select count(*) from topup.payment_refund where due_at is not null)
                     + (select count(*) from topup.subscription where due_at < clock_timestamp() + interval '1 hour')
                     + (select count(*) from topup.outbox) + (select count(*) from topup.effect)";
    (admin.query_one(open, &[]).await.unwrap().get::<_, i64>(0) == 0).then_some(())
}

/// Every row of every table but those that are on their way.
async fn rows(admin: &Client) -> Value {
    let tables =
        "select relname::text from pg_class where relnamespace = 'topup'::regnamespace and relkind = 'r'";
    let mut rows = json!({});
    for table in admin.query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        if !ON_ITS_WAY.contains(&table.as_str()) {
            let all = format!("select coalesce(jsonb_agg(to_jsonb(t)), '[]') from topup.{table} t");
            rows[&table] = admin.query_one(&all, &[]).await.unwrap().get(0);
        }
    }
    rows
}

/// Plays the story in a database with these settings; gives all that was said and written.
async fn play(settings: &[&str]) -> Value {
    eprintln!("played with: {settings:?}");
    let database = Database::new().await;
    apply(&database, settings).await;
    let scopes =
        "scopes => array['send', 'read', 'cancel', 'redeem', 'webhooks', 'fulfil', 'wallets', 'funding']";
    let key = database.tenant("Acme").await.key("staging", scopes).await.1;
    let gateway = Gateway::start_with(&database, &["--allow-private-webhooks"]).await;
    let receiver = Receiver::start().await;
    let started_s = jiff::Timestamp::now().as_second();
    let admin = database.admin().await;
    admin.batch_execute("set default_transaction_isolation = 'read committed'").await.unwrap();
    let mut recorder = Recorder::of(gateway.client(&key).at_root(), admin);
    recorder.story(&receiver).await;
    let operations = "select count(*) from topup.operations() where path is not null";
    let operations: i64 = recorder.admin.query_one(operations, &[]).await.unwrap().get(0);
    assert_eq!(recorder.called().len() as i64, operations, "not every operation was called");
    use_more(&mut recorder).await;
    let plain = plain(&database).await;
    wait_until(SETTLED_WITHIN, "the worker has done its part", async || is_settled(&plain).await).await;
    let mut speaker = Speaker { app: database.app(&key).await, database: &database, said: Vec::new() };
    let customer = speaker.chart().await;
    speaker.portal(&customer).await;
    speaker.times(&customer).await;
    speaker.reads(&customer).await;
    wait_until(SETTLED_WITHIN, "all is settled", async || is_settled(&plain).await).await;
    drop(gateway);
    let worker = database.gateway().await;
    while ask(&worker, "topup.run_due(100)").await != json!(0) {}
    let broken =
        ask(&database.admin().await, "(select jsonb_agg(c.detail) from topup.check() c where not c.holds)")
            .await;
    assert_eq!(broken, Value::Null, "topup.check() under {settings:?}");
    let said: Vec<Value> = recorder.cases().iter().cloned().chain(speaker.said).collect();
    json!({"started_s": started_s, "said": said, "rows": rows(&plain).await})
}

#[tokio::test]
async fn no_setting_of_a_session_changes_what_is_said_or_written() {
    let usual = play(&[]).await;
    for settings in HOSTILE {
        let here = play(settings).await;
        if differences(&usual, &here).is_empty() {
            continue;
        }
        // An hour or a day may have ended in between: what remains is the settings' doing.
        let found = differences(&play(&[]).await, &play(settings).await);
        assert!(found.is_empty(), "{settings:?} make a difference:\n{found}");
    }
    let mut other = usual.clone();
    other["said"][0]["reply"]["data"]["cost_cents"] = json!(999);
    assert_ne!(differences(&usual, &other), "");
    let mut other = usual.clone();
    other["rows"]["usage_meter"][0]["quantity"] = json!(999);
    assert_ne!(differences(&usual, &other), "");
}
