//! The README holds: every example in it runs, and every table in it is what the code says.

use crate::support::{Database, Gateway, Receiver, mcp, place, python};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);

fn readme() -> String {
    std::fs::read_to_string(place::root().join("README.md")).unwrap()
}

/// The fenced blocks that follow a marker such as `<!-- test: sql -->`, with what stands after the kind.
fn examples(kind: &str) -> Vec<(String, String)> {
    let marker = format!("<!-- test: {kind}");
    let readme = readme();
    let found: Vec<_> = readme
        .match_indices(&marker)
        .map(|(start, _)| {
            let rest = &readme[start + marker.len()..];
            let (note, rest) = rest.split_once("-->").unwrap();
            let (_, rest) = rest.split_once("```").unwrap().1.split_once('\n').unwrap();
            (note.trim().to_owned(), rest.split_once("```").unwrap().0.to_owned())
        })
        .collect();
    assert!(!found.is_empty(), "no example of kind {kind}");
    found
}

/// The rows of the tables with this header, their cells without code marks.
fn table(header: &str) -> Vec<Vec<String>> {
    let readme = readme();
    let tables: Vec<&str> = readme.split(header).skip(1).collect();
    assert!(!tables.is_empty(), "no table {header}");
    let rows = tables.iter().flat_map(|rest| rest.lines().skip(2).take_while(|line| line.starts_with('|')));
    rows.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect())
        .collect()
}

#[tokio::test]
async fn the_sql_examples_run() {
    let database = Database::new().await;
    let (own, shared): (Vec<_>, Vec<_>) =
        examples("sql").into_iter().partition(|(note, _)| note.contains("a database of its own"));
    let script: String = shared.into_iter().map(|(_, block)| block).collect();
    let printed = psql(&database, &script);
    assert_eq!(printed.matches("\"code\": 1001").count(), 3, "{printed}");
    assert_eq!(printed.matches("| delivered |").count(), 3, "{printed}");

    let empty = Database::without_extension().await;
    for (_, block) in own {
        psql(&empty, &block);
    }
    for role in ["shop", "topup_gateway_login", "ledger_admin", "auditor"] {
        let admin = database.admin().await;
        admin.batch_execute(&format!("drop owned by {role}; drop role {role}")).await.unwrap();
    }
    database.check().await;
}

fn psql(database: &Database, script: &str) -> String {
    let mut psql = database.program("psql");
    psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "-c", "\\set QUIET on"]).arg("-f").arg("-");
    let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{script}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_http_and_webhook_examples_run() {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let gateway = Gateway::start(&database).await;
    let receiver = Receiver::start().await;
    let mut secret = None;
    for (expected, block) in examples("sh") {
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &block])
            .env("URL", &gateway.url)
            .env("KEY", &key)
            .env("RECEIVER", &receiver.url)
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        let expected = expected.strip_prefix("prints ").unwrap();
        assert!(output.status.success() && printed.contains(expected), "{block}\n{printed}");
        let reply: Value = serde_json::from_str(&printed).unwrap();
        secret = reply["data"]["secret"].as_str().map(str::to_owned).or(secret);
    }
    let client = gateway.client(&key);
    let request = serde_json::json!({"platform": "claude", "amount_cents": 1000});
    client.post("/topup/send", request).await.expect(200, 1001);
    let delivery = receiver.wait_for(1, LIMIT).await.remove(0);
    let headers: BTreeMap<&str, &str> =
        delivery.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let input = serde_json::json!({"headers": headers, "body": delivery.body, "secret": secret.unwrap()});
    let example = &examples("python")[0].1;
    let read = "import json, sys\nvars().update(json.load(sys.stdin))\n";
    python(&format!("{read}{example}\nprint('verified')"), &input.to_string());
}

#[tokio::test]
async fn a_client_configured_as_described_finds_the_tools() {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let gateway = Gateway::start(&database).await;
    let examples = examples("mcp");
    assert_eq!(examples.len(), 2);
    for (_, configuration) in examples {
        let ours =
            configuration.replace("http://127.0.0.1:8080", &gateway.url).replace("ak_staging_...", &key);
        assert!(ours.contains(&gateway.url) && ours.contains(&key), "{configuration}");
        let tools = tokio::task::spawn_blocking(move || mcp::tools_by_configuration(&ours, "pg_topup"));
        let tools = tools.await.unwrap();
        let names: Vec<&str> =
            tools.as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["send_topup", "cancel_topup", "get_status", "check_balance"]);
    }
}

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
    let reply = crate::support::call(&app, "topup.webhook_register('https://example.com/hook')").await;
    let events: Vec<&str> =
        reply["data"]["events"].as_array().unwrap().iter().map(|event| event.as_str().unwrap()).collect();
    let readme = readme();
    let (_, listed) = readme.split_once("\nEvents: ").unwrap();
    let listed: Vec<&str> = listed.split_once(".\n").unwrap().0.split('`').skip(1).step_by(2).collect();
    assert_eq!(listed, events);
}

#[test]
fn the_settings_are_those_of_the_gateway() {
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
