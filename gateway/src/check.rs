//! `topup-gateway check`: what is wrong with a set-up, in plain words, one line a finding.

use std::process::ExitCode;
use std::time::Duration;

use tokio_postgres::Client;

use crate::config::Settings;
use crate::html;
use crate::payment;
use crate::postgres::catalog_row;
use crate::postgres::database::{OTHER_CONNECTIONS, in_words};
use crate::postgres::target::{CONNECT_TIMEOUT, Target};
use crate::serve::target;

const EXTENSION: &str = "pg_topup";
const VERSION: &str = env!("CARGO_PKG_VERSION");
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// What the gateway calls when it serves, and when it delivers webhooks and carries out payments.
const SERVING: [&str; 8] = [
    "authenticate",
    "call_many",
    "operations",
    "codes",
    "version",
    "checkout_view",
    "checkout_begin",
    "report_payment",
];
const DELIVERING: [&str; 9] = [
    "claim_effects",
    "settle_effects",
    "run_due",
    "next_due",
    "worker_sleep",
    "worker_wake",
    "claim_payments",
    "settle_payments",
    "next_payment_due",
];

/// Prints the findings; the exit status is 1 when something is wrong.
pub async fn run(settings: &Settings) -> ExitCode {
    let mut findings = Findings::default();
    let checking = look(settings, &mut findings);
    if tokio::time::timeout(ANSWER_TIMEOUT, checking).await.is_err() {
        findings.wrong(format!("the database did not answer within {} s", ANSWER_TIMEOUT.as_secs()));
    }
    if findings.wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Default)]
struct Findings {
    wrong: usize,
}

impl Findings {
    fn ok(&self, text: String) {
        println!("ok: {text}");
    }

    fn warn(&self, text: String) {
        println!("warning: {text}");
    }

    fn wrong(&mut self, text: String) {
        self.wrong += 1;
        println!("wrong: {text}");
    }
}

async fn look(settings: &Settings, findings: &mut Findings) {
    let Some(client) = connect(settings, settings.database_url.as_deref(), "the database", findings).await
    else {
        return;
    };
    if let Err(error) = look_inside(settings, &client, findings).await {
        findings.wrong(format!("a question could not be answered: {}", in_words(&error)));
    }
    if let Some(url) = settings.listen_database_url.as_deref().filter(|_| !settings.no_worker) {
        listen(settings, url, findings).await;
    }
}

async fn connect(
    settings: &Settings,
    url: Option<&str>,
    what: &str,
    findings: &mut Findings,
) -> Option<Client> {
    let target = match target(settings, url) {
        Ok(target) => target,
        Err(message) => {
            findings.wrong(message);
            return None;
        }
    };
    match connected(&target).await {
        Ok(client) => Some(client),
        Err(message) => {
            findings.wrong(format!("cannot connect to {what}: {message}"));
            None
        }
    }
}

async fn connected(target: &Target) -> Result<Client, String> {
    match tokio::time::timeout(CONNECT_TIMEOUT, target.connect()).await {
        Err(_) => Err(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs())),
        Ok(Err(error)) => Err(in_words(&error)),
        Ok(Ok((client, connection))) => {
            tokio::spawn(connection);
            Ok(client)
        }
    }
}

async fn look_inside(
    settings: &Settings,
    client: &Client,
    findings: &mut Findings,
) -> Result<(), tokio_postgres::Error> {
    let row = client.query_typed_one("select current_database()::text, current_user::text", &[]).await?;
    let (database, role): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    findings.ok(format!("connected to database {database} as {role}"));

    let sql = "select extversion from pg_catalog.pg_extension where extname = $1";
    let row = client.query_typed_opt(sql, &[(&EXTENSION, tokio_postgres::types::Type::TEXT)]).await?;
    let Some(row) = row else {
        findings.wrong(format!(
            "database {database} has no extension {EXTENSION}; as a superuser run: create extension {EXTENSION}"
        ));
        return Ok(());
    };
    judge_version(&row.try_get::<_, String>(0)?, findings);
    look_at_sessions(settings, client, findings).await?;
    if look_at_rights(settings, client, &role, findings).await? {
        look_at_catalog(client, findings).await?;
        look_at_payments(settings, client, findings).await?;
    }
    look_at_tables(client, &role, findings).await
}

/// Whether operations are published, and whether this gateway knows what they say.
async fn look_at_catalog(client: &Client, findings: &mut Findings) -> Result<(), tokio_postgres::Error> {
    let rows = client.query_typed(catalog_row::OPERATIONS, &[]).await?;
    let unknown = rows.iter().find_map(|row| catalog_row::operation(row).err());
    match (rows.len(), unknown) {
        (0, _) => findings.wrong("the extension publishes no operations".to_owned()),
        (_, Some(fault)) => findings.wrong(fault.to_string()),
        (count, None) => findings.ok(format!("{count} operations are published")),
    }
    Ok(())
}

/// Whether there is room for the gateway's connections, and whether they have the limits that keep one from holding all.
async fn look_at_sessions(
    settings: &Settings,
    client: &Client,
    findings: &mut Findings,
) -> Result<(), tokio_postgres::Error> {
    let sql = "select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int, \
               rolconnlimit, current_setting('statement_timeout') <> '0', current_setting('lock_timeout') <> '0', \
               current_setting('transaction_read_only') = 'on' \
               from pg_catalog.pg_roles where rolname = current_user";
    let row = client.query_typed_one(sql, &[]).await?;
    let (of_all, of_role): (i32, i32) = (row.try_get(0)?, row.try_get(1)?);
    let room = if of_role >= 0 { of_role.min(of_all) } else { of_all };
    let needed = settings.connections().requests + OTHER_CONNECTIONS;
    let found = format!("this gateway opens up to {needed} connections, and Postgres has room for {room}");
    match usize::try_from(room).is_ok_and(|room| room >= needed) {
        true => findings.ok(found),
        false => findings.warn(format!("{found}; lower --database-pool-size or raise max_connections")),
    }
    for (column, name) in [(2, "statement_timeout"), (3, "lock_timeout")] {
        if !row.try_get::<_, bool>(column)? {
            findings.warn(format!(
                "sessions have no {name}, which a pooler has left out: set it for the role, by alter role … set {name}"
            ));
        }
    }
    if row.try_get(4)? {
        findings.warn("the database only reads: calls that change something are 5003".to_owned());
    }
    Ok(())
}

fn judge_version(installed: &str, findings: &mut Findings) {
    match numbers(installed).cmp(&numbers(VERSION)) {
        std::cmp::Ordering::Less => findings.wrong(format!(
            "extension {installed} is older than this gateway ({VERSION}); \
             as a superuser run: alter extension {EXTENSION} update"
        )),
        std::cmp::Ordering::Equal => findings.ok(format!("extension {EXTENSION} {installed}")),
        std::cmp::Ordering::Greater => findings.ok(format!(
            "extension {EXTENSION} {installed}, newer than this gateway ({VERSION}), which is fine"
        )),
    }
}

/// Gives whether the role may do all that the gateway needs.
async fn look_at_rights(
    settings: &Settings,
    client: &Client,
    role: &str,
    findings: &mut Findings,
) -> Result<bool, tokio_postgres::Error> {
    let sql = "select pg_catalog.has_schema_privilege('topup', 'usage')";
    let may_use: bool = client.query_typed_one(sql, &[]).await?.try_get(0)?;
    if !may_use {
        findings.wrong(format!("role {role} may not use schema topup; run: grant topup_gateway to {role}"));
        return Ok(false);
    }
    let mut needed: Vec<&str> = SERVING.to_vec();
    if !settings.no_worker {
        needed.extend(DELIVERING);
    }
    let sql = "select n.name, bool_or(pg_catalog.has_function_privilege(p.oid, 'execute')) \
               from unnest($1) as n(name) left join pg_catalog.pg_proc p \
               on p.proname = n.name and p.pronamespace = 'topup'::regnamespace group by n.name order by n.name";
    let rows = client.query_typed(sql, &[(&needed, tokio_postgres::types::Type::TEXT_ARRAY)]).await?;
    let mut all = true;
    for row in rows {
        let name: String = row.try_get(0)?;
        match row.try_get::<_, Option<bool>>(1)? {
            Some(true) => continue,
            Some(false) => findings.wrong(format!(
                "role {role} may not execute topup.{name}; run: grant topup_gateway to {role}"
            )),
            None => findings.wrong(format!("the extension has no function topup.{name}")),
        }
        all = false;
    }
    if all {
        findings.ok(format!("role {role} may execute all that the gateway calls"));
    }
    Ok(all)
}

/// Whether this gateway can speak to the payment providers that the database names.
async fn look_at_payments(
    settings: &Settings,
    client: &Client,
    findings: &mut Findings,
) -> Result<(), tokio_postgres::Error> {
    // The settings have their defaults once the library is loaded, which any function of it does.
    let sql = "select current_setting('topup.payment_provider_staging', true), \
               current_setting('topup.payment_provider_live', true), \
               current_setting('topup.public_url', true) from topup.codes() limit 1";
    let row = client.query_typed_one(sql, &[]).await?;
    let public_url: Option<String> = row.try_get(2)?;
    let is_live = row.try_get::<_, Option<String>>(1)?.is_some_and(|provider| !provider.is_empty());
    look_at_public_url(&public_url.unwrap_or_default(), is_live, findings);
    for (column, environment) in ["staging", "live"].into_iter().enumerate() {
        if row.try_get::<_, Option<String>>(column)?.as_deref() != Some("stripe") {
            continue;
        }
        let is_for = |key: &String| payment::environment_of(key) == Some(environment);
        match settings.stripe.secret_keys.iter().any(is_for) {
            true => findings.ok(format!("{environment} is paid through Stripe")),
            false => findings.wrong(format!(
                "{environment} is paid through Stripe, but --stripe-secret-key has no key for {environment}"
            )),
        }
        if settings.stripe.webhook_secrets.is_empty() {
            findings.warn("without --stripe-webhook-secret, payments are heard of late".to_owned());
        }
    }
    Ok(())
}

/// Payers are led to pages that begin with it, and their cookie is for those.
fn look_at_public_url(public_url: &str, is_live: bool, findings: &mut Findings) {
    let url = html::way(public_url).filter(|url| url.path() == "/" && url.query().is_none());
    let Some(url) = url else {
        findings.wrong(format!(
            "topup.public_url is '{public_url}': it must be http or https, a host, perhaps a port, and nothing more"
        ));
        return;
    };
    match is_live && url.scheme() == "http" {
        true => findings.warn(format!("live payments at {url}: payers should reach this gateway by https")),
        false => findings.ok(format!("payers reach this gateway at {url}")),
    }
}

/// Reading tables is more than a gateway needs: whoever took it over would see everything.
async fn look_at_tables(
    client: &Client,
    role: &str,
    findings: &mut Findings,
) -> Result<(), tokio_postgres::Error> {
    let sql = "select c.relname::text from pg_catalog.pg_class c \
               where c.relnamespace = to_regnamespace('topup') and c.relkind in ('r', 'p') \
               and pg_catalog.has_table_privilege(c.oid, 'select') order by 1";
    let rows = client.query_typed(sql, &[]).await?;
    match rows.first() {
        None => findings.ok(format!("role {role} reads no table of the extension")),
        Some(first) => findings.warn(format!(
            "role {role} can read {} tables of the extension ({}, …), more than a gateway needs; \
             use a role that has topup_gateway and nothing else",
            rows.len(),
            first.try_get::<_, String>(0)?
        )),
    }
    Ok(())
}

async fn listen(settings: &Settings, url: &str, findings: &mut Findings) {
    let what = "the database for LISTEN";
    let Some(client) = connect(settings, Some(url), what, findings).await else { return };
    match client.simple_query("listen topup_effects").await {
        Ok(_) => findings.ok("LISTEN works on its own connection".to_owned()),
        Err(error) => findings.wrong(format!("LISTEN does not work: {}", in_words(&error))),
    }
}

/// The numbers of a version, for comparison; a part that is no number counts as 0.
fn numbers(version: &str) -> Vec<u64> {
    let mut numbers: Vec<u64> = version.split(['.', '-']).map(|part| part.parse().unwrap_or(0)).collect();
    numbers.resize(numbers.len().max(3), 0);
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(numbers("0.9.0") < numbers("0.10.0"));
        assert_eq!(numbers("1.0"), numbers("1.0.0"));
    }
}
