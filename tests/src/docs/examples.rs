//! The examples of the pages run as they are written, and print what they say.

use super::page::{PAGES, Story, blocks, examples};
use crate::support::{Database, Gateway, Receiver, mcp, python};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);

/// One test for all stories: roles belong to the cluster, and two pages may use the same name.
#[tokio::test]
async fn the_sql_examples_run_and_print_what_they_say() {
    let mut stories: Vec<Vec<&str>> = Vec::new();
    for (page, story) in PAGES {
        match story {
            Story::Own => stories.push(vec![page]),
            Story::GoesOn => stories.last_mut().unwrap().push(page),
        }
    }
    let mut count = 0;
    for pages in stories {
        let told: Vec<_> =
            examples("sql").into_iter().filter(|(block, _)| pages.contains(&block.page)).collect();
        if told.is_empty() {
            continue;
        }
        count += told.len();
        let database = Database::new().await;
        let script: String = told.iter().map(|(block, _)| block.text.as_str()).collect();
        let printed = psql(&database, &script);
        let mut rest = printed.as_str();
        for (block, prints) in &told {
            let at = rest.find(prints.as_str());
            let at = at.unwrap_or_else(|| panic!("{}: {prints} is not printed:\n{rest}", block.page));
            rest = &rest[at + prints.len()..];
        }
        let admin = database.admin().await;
        for role in ["shop", "chat_app"] {
            let drop = format!(
                "do $$ begin if to_regrole('{role}') is not null then drop owned by {role}; drop role {role}; end if; end $$"
            );
            admin.batch_execute(&drop).await.unwrap();
        }
        database.check().await;
    }
    assert!(count > 10, "{count}");
}

#[tokio::test]
async fn the_examples_for_a_database_without_the_extension_run() {
    let empty = Database::without_extension().await;
    for (block, _) in examples("installation") {
        psql(&empty, &block.text);
    }
    let admin = empty.admin().await;
    for role in ["topup_gateway_login", "ledger_admin", "auditor"] {
        admin.batch_execute(&format!("drop owned by {role}; drop role {role}")).await.unwrap();
    }
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
async fn the_http_and_webhook_examples_run_and_print_what_they_say() {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let gateway = Gateway::start(&database).await;
    let receiver = Receiver::start().await;
    let mut secret = None;
    for (block, prints) in examples("sh") {
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &block.text])
            .env("URL", &gateway.url)
            .env("KEY", &key)
            .env("RECEIVER", &receiver.url)
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && printed.contains(&prints), "{}\n{printed}", block.text);
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
    let example = &examples("python")[0].0.text;
    let read = "import json, sys\nvars().update(json.load(sys.stdin))\n";
    python(&format!("{read}{example}\nprint('verified')"), &input.to_string());
}

#[tokio::test]
async fn a_client_configured_as_described_finds_the_tools() {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let gateway = Gateway::start(&database).await;
    let examples = examples("mcp");
    assert_eq!(examples.len(), 3);
    for (block, _) in examples {
        let ours = block.text.replace("http://127.0.0.1:8080", &gateway.url).replace("ak_staging_...", &key);
        assert!(ours.contains(&gateway.url) && ours.contains(&key), "{}", block.text);
        let tools = tokio::task::spawn_blocking(move || mcp::tools_by_configuration(&ours, "pg_topup"));
        let tools = tools.await.unwrap();
        let names: Vec<&str> =
            tools.as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["send_topup", "cancel_topup", "get_status", "check_balance"]);
    }
}

/// A block that no test runs says that it is output, a picture, or where else it is run.
#[test]
fn no_example_is_left_out() {
    let kinds = ["sql", "installation", "sh", "python", "mcp"];
    for block in PAGES.iter().flat_map(|(page, _)| blocks(page)) {
        let is_run = block
            .note
            .strip_prefix("test: ")
            .is_some_and(|note| kinds.contains(&note.split(' ').next().unwrap()));
        let is_none = block.language.is_empty()
            || block.note == "output"
            || block.note.strip_prefix("not run: ").is_some_and(|why| why.len() > 10);
        assert!(is_run || is_none, "{}: no test runs\n{}", block.page, block.text);
    }
}
