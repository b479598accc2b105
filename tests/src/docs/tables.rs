//! The tables of the pages are those of the code.

use super::page::{table, text};
use crate::support::{Database, call, place};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

#[tokio::test]
async fn the_tables_of_codes_and_operations_are_those_of_the_catalog() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let rows = admin.query("select code::text, meaning, http_status::text from topup.codes()", &[]).await;
    let codes: Vec<Vec<String>> =
        rows.unwrap().iter().map(|row| (0..3).map(|column| row.get(column)).collect()).collect();
    assert_eq!(table("| code | meaning | HTTP |"), codes);

    let query = "select name, method || ' ' || path, scope from topup.operations() where path is not null";
    let rows = admin.query(query, &[]).await.unwrap();
    let operations: BTreeSet<Vec<String>> =
        rows.iter().map(|row| (0..3).map(|column| row.get(column)).collect()).collect();
    assert_eq!(table("| operation | route | scope |").into_iter().collect::<BTreeSet<_>>(), operations);
}

#[tokio::test]
async fn the_events_are_those_that_an_endpoint_can_have() {
    let database = Database::new().await;
    let app = database.app(&database.staging_key().await).await;
    let reply = call(&app, "topup.webhook_register('https://example.com/hook')").await;
    let events: Vec<&str> =
        reply["data"]["events"].as_array().unwrap().iter().map(|event| event.as_str().unwrap()).collect();
    let page = text("docs/webhooks.md");
    let (_, listed) = page.split_once("\nEvents: ").unwrap();
    let listed: Vec<&str> = listed.split_once(".\n").unwrap().0.split('`').skip(1).step_by(2).collect();
    assert_eq!(listed, events);
}

#[test]
fn the_settings_of_the_gateway_are_those_of_its_help() {
    let output = Command::new(place::built("topup-gateway")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let flags: Vec<&str> = help
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("--"))
        .map(|flag| flag.split(' ').next().unwrap())
        .collect();
    let listed = table("| setting | environment | default |");
    let names: Vec<String> = listed.iter().map(|row| row[0].trim_start_matches('-').to_owned()).collect();
    assert_eq!(names, flags);
    for row in listed {
        assert!(help.contains(&row[1]), "{} is not in --help", row[1]);
        let default = format!("[default: {}", row[2]);
        assert!(row[2].is_empty() || help.contains(&default), "{} is not {default}", row[0]);
    }
}

#[tokio::test]
async fn the_settings_of_the_extension_are_those_that_postgres_knows() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let query = "select name, coalesce(boot_val, ''), context from pg_settings where name like 'topup.%'";
    admin.batch_execute("load 'pg_topup'").await.unwrap();
    let rows = admin.query(query, &[]).await.unwrap();
    let mut known: BTreeMap<String, (String, bool)> =
        rows.iter().map(|row| (row.get(0), (row.get(1), row.get::<_, String>(2) == "superuser"))).collect();
    // A secret: Postgres does not list it.
    known.insert("topup.api_key".to_owned(), (String::new(), false));
    let listed: BTreeMap<String, (String, bool)> = table("| parameter | default | meaning |")
        .into_iter()
        .map(|row| (row[0].clone(), (row[1].clone(), row[2].ends_with("; superuser"))))
        .collect();
    assert_eq!(listed, known);
}
