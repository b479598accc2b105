//! A fresh database with the extension, and the tenants, keys and SQL sessions of a test.

use super::cluster::Cluster;
use super::wait::{LIMIT, wait_until};
use serde_json::{Value, json};
use std::future::poll_fn;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::{OnceCell, mpsc};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

const TEMPLATE: &str = "topup_template";

/// A database with the extension. One on the shared cluster is dropped with this value.
pub struct Database {
    config: Config,
    drop_by: Option<Command>,
}

/// An organisation, by its id `acct_…`.
pub struct Tenant<'a> {
    pub id: String,
    database: &'a Database,
}

impl Database {
    /// A new one on the shared cluster, copied from a template.
    pub async fn new() -> Database {
        static TEMPLATE_MADE: OnceCell<()> = OnceCell::const_new();
        let cluster = Cluster::shared().await;
        TEMPLATE_MADE.get_or_init(|| make_template(cluster)).await;
        Database::copy_of(TEMPLATE).await
    }

    async fn copy_of(template: &str) -> Database {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let cluster = Cluster::shared().await;
        let name = format!("t{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let admin = connect(&cluster.config("postgres")).await;
        admin.batch_execute(&format!("create database {name} template {template}")).await.unwrap();
        let mut drop_by = cluster.program("psql", "postgres");
        drop_by.args(["--quiet", "-c", &format!("drop database {name} with (force)")]);
        Database { config: cluster.config(&name), drop_by: Some(drop_by) }
    }

    /// An empty one on the shared cluster.
    pub async fn without_extension() -> Database {
        Database::copy_of("template1").await
    }

    /// The database `topup` of a test's own cluster, which goes with that cluster.
    pub async fn on(cluster: &Cluster) -> Database {
        let database = Database::empty_on(cluster).await;
        connect(&database.config).await.batch_execute("create extension pg_topup").await.unwrap();
        make_logins(&database.config).await;
        database
    }

    /// The same without the extension: for a dump to be restored into.
    pub async fn empty_on(cluster: &Cluster) -> Database {
        let admin = connect(&cluster.config("postgres")).await;
        admin.batch_execute("create database topup").await.unwrap();
        Database::named(cluster, "topup")
    }

    /// One that is there, or will be.
    pub fn named(cluster: &Cluster, name: &str) -> Database {
        Database { config: cluster.config(name), drop_by: None }
    }

    /// The database `topup` as a standby has it.
    pub fn found_on(standby: &Cluster) -> Database {
        Database { config: standby.config("topup"), drop_by: None }
    }

    /// A session of the superuser.
    pub async fn admin(&self) -> Client {
        connect(&self.config).await
    }

    /// A client program such as psql, set to connect as the superuser.
    pub fn program(&self, name: &str) -> Command {
        let mut command = super::place::postgres(name);
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_owned()).unwrap();
        command.env("PGHOST", "127.0.0.1").env("PGPORT", self.config.get_ports()[0].to_string());
        command.env("PGUSER", "postgres").env("PGPASSWORD", text(self.config.get_password()));
        command.env("PGDATABASE", self.config.get_dbname().unwrap());
        command
    }

    /// A session of an application: a login role that is only a member of topup_app, acting with an API key.
    pub async fn app(&self, api_key: &str) -> Client {
        let client = connect(self.config.clone().user("app")).await;
        client.execute("select set_config('topup.api_key', $1, false)", &[&api_key]).await.unwrap();
        client
    }

    /// A session of a login role of its own that is bound to the key with this id; no key is in the session.
    pub async fn bound(&self, key_id: &str) -> Client {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let role = format!("bound_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let admin = self.admin().await;
        make_login(&admin, &self.config, &role, "topup_app").await;
        admin.execute("select topup.bind_role($1::text::name, $2)", &[&role, &key_id]).await.unwrap();
        connect(self.config.clone().user(&role)).await
    }

    /// A session as a gateway has it.
    pub async fn gateway(&self) -> Client {
        connect(self.config.clone().user("gateway")).await
    }

    /// How a gateway connects: as a login role that is only a member of topup_gateway.
    pub fn gateway_url(&self) -> String {
        let password = String::from_utf8(self.config.get_password().unwrap().to_owned()).unwrap();
        let port = self.config.get_ports()[0];
        format!("postgres://gateway:{password}@127.0.0.1:{port}/{}", self.config.get_dbname().unwrap())
    }

    /// How a pooler connects as a role.
    pub fn connection_string(&self, role: &str) -> String {
        let password = String::from_utf8(self.config.get_password().unwrap().to_owned()).unwrap();
        let (port, name) = (self.config.get_ports()[0], self.config.get_dbname().unwrap());
        format!("host=127.0.0.1 port={port} dbname={name} user={role} password={password}")
    }

    /// A session of the role `app` without a key, and what it is warned of.
    pub async fn warned_app(&self) -> (Client, mpsc::UnboundedReceiver<String>) {
        let (client, mut connection) = self.config.clone().user("app").connect(NoTls).await.unwrap();
        let (said, hears) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notice(notice) = message {
                    let _ = said.send(notice.message().to_owned());
                }
            }
        });
        (client, hears)
    }

    /// Hears every notification on a channel; the session lasts as long as the first part.
    pub async fn notifications(&self, channel: &str) -> (Client, mpsc::UnboundedReceiver<()>) {
        let (client, mut connection) = self.config.connect(NoTls).await.unwrap();
        let (heard, hears) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(_) = message {
                    let _ = heard.send(());
                }
            }
        });
        client.batch_execute(&format!("listen {channel}")).await.unwrap();
        (client, hears)
    }

    pub async fn tenant(&self, name: &str) -> Tenant<'_> {
        let row = self.admin().await.query_one("select topup.create_tenant($1)", &[&name]).await.unwrap();
        Tenant { id: row.get(0), database: self }
    }

    /// A staging key of a new tenant; its wallet holds the play money.
    pub async fn staging_key(&self) -> String {
        self.tenant("Acme").await.key("staging", "").await.1
    }

    /// A session that holds every wallet: whoever sends waits for its end or its `rollback`.
    pub async fn hold_wallets(&self) -> Client {
        let holder = self.admin().await;
        holder.batch_execute("begin; select 1 from topup.balance for update").await.unwrap();
        holder
    }

    /// Waits until so many calls of gateways wait for a lock.
    pub async fn wait_for_waiting(&self, count: i64) {
        let admin = self.admin().await;
        let waiting = "select count(*) from pg_stat_activity where datname = current_database()
                        and application_name = 'topup-gateway' and wait_event_type = 'Lock'";
        wait_until(LIMIT, "calls wait for a lock", async || {
            (admin.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) >= count).then_some(())
        })
        .await;
    }

    /// How many top-ups there are.
    pub async fn top_ups(&self) -> i64 {
        self.admin().await.query_one("select count(*) from topup.top_up", &[]).await.unwrap().get(0)
    }

    /// Every row of every table, as text: equal texts mean that nothing was written between them.
    pub async fn contents(&self) -> String {
        let admin = self.admin().await;
        let tables = "select oid::regclass::text from pg_class
                       where relnamespace = 'topup'::regnamespace and relkind = 'r' and relname <> 'sleeper' order by 1";
        let mut contents = String::new();
        for table in admin.query(tables, &[]).await.unwrap() {
            let table: String = table.get(0);
            let rows =
                format!("select coalesce(string_agg(t::text, chr(10) order by t::text), '') from {table} t");
            let rows: String = admin.query_one(&rows, &[]).await.unwrap().get(0);
            contents.push_str(&format!("{table}\n{rows}\n"));
        }
        contents
    }

    /// Fails with the names of the invariants that do not hold, or of the index that lacks a row.
    pub async fn check(&self) {
        let admin = self.admin().await;
        let rows = admin.query("select invariant, detail from topup.check() where not holds", &[]).await;
        let broken: Vec<(String, Option<String>)> =
            rows.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
        assert!(broken.is_empty(), "topup.check(): {broken:?}");
        let indexes = "begin; create schema amcheck; create extension amcheck schema amcheck;
             select amcheck.bt_index_check(indexrelid, true)
               from pg_index join pg_class index on index.oid = indexrelid join pg_am am on am.oid = relam
              where relnamespace = 'topup'::regnamespace and amname = 'btree' and relkind = 'i' and indisvalid;
             rollback";
        admin.batch_execute(indexes).await.unwrap();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(command) = &mut self.drop_by {
            let _ = command.output();
        }
    }
}

impl Tenant<'_> {
    /// Mints a key and gives its id and the key itself. `options` are further named arguments of `topup.mint_key`,
    /// such as `tier => 'gold'`. Unless they name scopes it has the usual ones, and may charge the owner's card.
    pub async fn key(&self, environment: &str, options: &str) -> (String, String) {
        let comma = if options.is_empty() { "" } else { ", " };
        let scopes = match options.contains("scopes =>") {
            true => "",
            false => ", scopes => topup.default_scopes() || array['funding']",
        };
        let query = format!("select key_id, api_key from topup.mint_key($1, $2{comma}{options}{scopes})");
        let row = self.database.admin().await.query_one(&query, &[&self.id, &environment]).await.unwrap();
        (row.get(0), row.get(1))
    }
}

/// The reply of one SQL call, such as `call(&app, "topup.send('claude', 1000)")`.
pub async fn call(client: &Client, function_call: &str) -> Value {
    client.query_one(&format!("select {function_call}"), &[]).await.unwrap().get(0)
}

/// HTTP status and envelope of an operation as the gateway calls it, through `topup.call`. A reply in another
/// shape than the envelope's is put into one.
pub async fn wire(client: &Client, api_key: &str, operation: &str, request: &Value) -> (i16, Value) {
    let query = "select status, body from topup.call($1, $2, $3)";
    let row = client.query_one(query, &[&api_key, &operation, &request.to_string()]).await.unwrap();
    let (status, body): (i16, String) = (row.get(0), row.get(1));
    (status, as_envelope(status, &body))
}

/// A reply of any surface as an envelope, so that one test can judge all: the data alone becomes `data`,
/// and a problem the refusal that it tells.
pub fn as_envelope(status: i16, body: &str) -> Value {
    let body: Value = serde_json::from_str(body).unwrap_or_else(|_| Value::from(body));
    if body["errors"].is_array() {
        let fault = &body["errors"][0];
        let data = match body["success"] == true {
            true => body["result"].clone(),
            false => json!({"message": fault["message"], "field": fault["field"]}),
        };
        let code = if fault.is_null() { json!(1000) } else { fault["code"].clone() };
        return json!({"success": body["success"], "code": code, "data": data});
    }
    if body["success"].is_boolean() {
        return body;
    }
    if status < 400 {
        return json!({"success": true, "code": 1000, "data": body});
    }
    let mut data = json!({"message": body["detail"]});
    if let Some((field, _)) = body["errors"].as_object().and_then(|errors| errors.iter().next()) {
        data["field"] = json!(field);
    }
    json!({"success": false, "code": body["code"], "data": data})
}

/// The SQLSTATE with which a statement must fail.
pub async fn sql_state(client: &Client, statement: &str) -> String {
    let error = client.batch_execute(statement).await.err();
    error.unwrap_or_else(|| panic!("no error: {statement}")).code().unwrap().code().to_owned()
}

async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn make_template(cluster: &Cluster) {
    let admin = connect(&cluster.config("postgres")).await;
    admin.batch_execute(&format!("create database {TEMPLATE}")).await.unwrap();
    let template = cluster.config(TEMPLATE);
    {
        connect(&template).await.batch_execute("create extension pg_topup").await.unwrap();
        make_logins(&template).await;
    }
    let close = format!("alter database {TEMPLATE} is_template true allow_connections false");
    admin.batch_execute(&close).await.unwrap();
}

async fn make_logins(config: &Config) {
    let admin = connect(config).await;
    make_login(&admin, config, "gateway", "topup_gateway").await;
    make_login(&admin, config, "app", "topup_app").await;
}

async fn make_login(admin: &Client, config: &Config, role: &str, group: &str) {
    let password = String::from_utf8(config.get_password().unwrap().to_owned()).unwrap();
    let make = format!("create role {role} login password '{password}' in role {group}");
    admin.batch_execute(&make).await.unwrap();
}
