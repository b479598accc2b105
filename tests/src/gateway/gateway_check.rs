//! `topup-gateway check` and `--help`: the gateway explains a set-up before it serves.

use crate::support::{Database, Gateway, LIMIT, wait_until};
use std::collections::BTreeMap;
use std::path::Path;

/// What a run of the gateway that ends by itself printed, and whether it was content.
async fn run(database_url: &str, arguments: &[&str]) -> (bool, String) {
    let mut gateway = Gateway::spawn(database_url, arguments);
    let status = gateway.ended().await;
    assert!(matches!(status.code(), Some(0 | 1)), "{status}: {}", gateway.log());
    let printed = wait_until(LIMIT, "all is printed", async || gateway.all_printed()).await;
    (status.success(), printed)
}

/// Checks a set-up that is wrong: it must fail, and say these things.
async fn finds(database_url: &str, told: &[&str]) {
    let (content, printed) = run(database_url, &["check"]).await;
    assert!(!content, "{printed}");
    let wrong: Vec<&str> = printed.lines().filter(|line| line.starts_with("wrong: ")).collect();
    for words in told {
        assert!(wrong.iter().any(|line| line.contains(words)), "{words:?} is not said: {printed}");
    }
    for line in printed.lines() {
        assert!(["ok: ", "wrong: ", "warning: "].iter().any(|lead| line.starts_with(lead)), "{line}");
    }
    if let Some(password) = database_url.split([':', '@']).nth(2) {
        assert!(!printed.contains(password), "the password is shown: {printed}");
    }
}

#[tokio::test]
async fn check_is_content_with_a_good_set_up() {
    let database = Database::new().await;
    let (content, printed) = run(&database.gateway_url(), &["check"]).await;
    assert!(content, "{printed}");
    assert!(
        printed.lines().count() >= 4 && printed.lines().all(|line| line.starts_with("ok: ")),
        "{printed}"
    );
    assert!(printed.contains("extension pg_topup") && printed.contains("as gateway"), "{printed}");
}

#[tokio::test]
async fn check_says_that_there_is_no_way_to_the_database() {
    let database = Database::new().await;
    let url = database.gateway_url();
    let (server, name) = url.rsplit_once('/').unwrap();
    let password = url.split([':', '@']).nth(2).unwrap();
    finds("postgres://gateway:hidden-word@127.0.0.1:1/topup", &["cannot connect", "refused"]).await;
    finds(&format!("{server}/no_such_database"), &["cannot connect", "no_such_database"]).await;
    finds(&url.replace(password, "wrong-word"), &["cannot connect", "password"]).await;
    finds(&url.replace("//gateway", "//nobody"), &["cannot connect", "nobody"]).await;
    finds("postgres://gateway:hidden-word@127.0.0.1:port/topup", &["database URL"]).await;
    assert!(!name.is_empty());
}

#[tokio::test]
async fn check_says_that_the_extension_is_missing_or_too_old() {
    let database = Database::new().await;
    let url = database.gateway_url();
    let (server, _) = url.rsplit_once('/').unwrap();
    finds(&format!("{server}/postgres"), &["no extension pg_topup; as a superuser run: create extension"])
        .await;

    let admin = database.admin().await;
    let set_version = async |version: &str| {
        let update = "update pg_extension set extversion = $1 where extname = 'pg_topup'";
        admin.execute(update, &[&version]).await.unwrap();
    };
    set_version("0.0.9").await;
    finds(&url, &["extension 0.0.9 is older", "alter extension pg_topup update"]).await;
    set_version("99.0.0").await;
    let (content, printed) = run(&url, &["check"]).await;
    assert!(content && printed.contains("newer"), "{printed}");
}

/// Each value of the catalog that a gateway acts upon, as a newer extension might have it.
#[tokio::test]
async fn a_catalog_with_a_value_that_the_gateway_does_not_know_is_an_error_at_start_and_in_check() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let columns: Vec<String> = admin
        .query("select name from unnest((select proargnames from pg_proc where oid = 'topup.operations'::regproc)) name", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    admin.batch_execute("alter function topup.operations() rename to operations_before").await.unwrap();
    for (column, value) in [
        ("surface", "'hologram'"),
        ("method", "'BREW'"),
        ("path", "'v1/{'"),
        ("success_status", "404::smallint"),
        ("mcp_tool", "'{\"name\": 1}'::jsonb"),
    ] {
        let shown: Vec<String> = columns
            .iter()
            .map(|name| match name == column {
                true => format!("case name when 'send' then {value} else {name} end as {name}"),
                false => name.clone(),
            })
            .collect();
        let changed = format!(
            "drop view if exists topup.operations_changed cascade;
             create view topup.operations_changed as select {} from topup.operations_before();
             create or replace function topup.operations() returns setof topup.operations_changed language sql
                 security definer as 'select * from topup.operations_changed';
             grant execute on function topup.operations() to topup_gateway",
            shown.join(", ")
        );
        admin.batch_execute(&changed).await.unwrap();
        let mut gateway = Gateway::spawn(&database.gateway_url(), &[]);
        assert_eq!(gateway.ended().await.code(), Some(1), "{column}: {}", gateway.log());
        wait_until(LIMIT, "the log says why", async || {
            let log = gateway.log();
            let is_said = log.contains("operation send of the extension has");
            (is_said && log.contains("which this gateway does not know")).then_some(())
        })
        .await;
        if !["path", "mcp_tool"].contains(&column) {
            finds(&database.gateway_url(), &["which this gateway does not know"]).await;
        }
    }
}

#[tokio::test]
async fn check_says_which_rights_are_missing_and_which_are_too_many() {
    let database = Database::new().await;
    let url = database.gateway_url();
    let password = url.split([':', '@']).nth(2).unwrap();
    let admin = database.admin().await;
    admin.batch_execute(&format!("create role check_stranger login password '{password}'")).await.unwrap();
    finds(
        &url.replace("//gateway", "//check_stranger"),
        &["check_stranger may not", "grant topup_gateway to"],
    )
    .await;
    let worker_functions = ["claim_effects", "settle_effects", "run_due"];
    finds(&url.replace("//gateway", "//app"), &worker_functions).await;

    let (content, printed) = run(&url.replace("//gateway", "//postgres"), &["check"]).await;
    assert!(content && printed.contains("warning: role postgres can read"), "{printed}");
    admin.batch_execute("drop role check_stranger").await.unwrap();
}

/// The settings that `--help` shows: flag, environment variable, default, and the words that explain it.
async fn settings() -> BTreeMap<String, (String, String, String)> {
    let (content, help) = run("postgres://unused", &["--help"]).await;
    assert!(content);
    let between = |text: &str, start: &str, end: &str| -> String {
        text.rsplit_once(start)
            .and_then(|(_, rest)| rest.split_once(end))
            .map_or("", |(found, _)| found)
            .to_owned()
    };
    let options = help.split_once("Options:").unwrap().1;
    let mut settings = BTreeMap::new();
    for option in options.split("\n      --").skip(1) {
        let flag = option.split([' ', '\n']).next().unwrap().to_owned();
        let words = option.split_once('\n').unwrap().1.split('[').next().unwrap().trim().to_owned();
        let variable = between(option, "[env: ", "]").split('=').next().unwrap().to_owned();
        settings.insert(format!("--{flag}"), (variable, between(option, "[default: ", "]"), words));
    }
    settings
}

#[tokio::test]
async fn help_explains_every_flag_and_its_environment_variable() {
    let settings = settings().await;
    assert!(settings.len() >= 16, "{:?}", settings.keys());
    for (flag, (variable, _, words)) in &settings {
        assert!(words.len() > 15, "{flag} is not explained: {words:?}");
        let is_variable = |text: &str| text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        assert!(
            variable.len() > 5 && is_variable(variable),
            "{flag} has no environment variable: {variable:?}"
        );
    }
}

#[tokio::test]
async fn the_page_on_operating_lists_the_same_settings() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
    let page = std::fs::read_to_string(page).unwrap();
    let cell = |text: &str| text.trim().trim_matches('`').to_owned();
    let row = |line: &str| match line.split('|').collect::<Vec<_>>().as_slice() {
        [_, flag, variable, default, _] if flag.trim().starts_with("`--") => {
            Some((cell(flag), (cell(variable), cell(default))))
        }
        _ => None,
    };
    let shown: BTreeMap<String, (String, String)> = page.lines().filter_map(row).collect();
    let mut wanted: BTreeMap<String, (String, String)> = settings()
        .await
        .into_iter()
        .map(|(flag, (variable, default, _))| (flag, (variable, default)))
        .collect();
    // In the words of the page.
    wanted.get_mut("--listen-database-url").unwrap().1 = "the same".to_owned();
    assert_eq!(shown, wanted);
}

#[tokio::test]
async fn a_setting_that_makes_no_sense_is_refused_by_name() {
    for (flag, value) in [
        ("--rate-limit", "many"),
        ("--rate-limit", "-1"),
        ("--body-limit-bytes", "0"),
        ("--database-pool-size", "0"),
        ("--trusted-proxy", "10.0.0.0/99"),
        ("--log-level", "loud"),
        ("--no-such-flag", "1"),
    ] {
        let mut gateway = Gateway::spawn("postgres://unused", &[&format!("{flag}={value}")]);
        assert_eq!(gateway.ended().await.code(), Some(2), "{flag}={value}");
        wait_until(LIMIT, "the flag is named", async || gateway.log().contains(flag).then_some(())).await;
    }
}

#[tokio::test]
async fn a_payment_provider_without_its_key_is_found() {
    let database = Database::new().await;
    let set = "do $$ begin execute format('alter database %I set topup.payment_provider_live = stripe',
                                          current_database()); end $$";
    database.admin().await.batch_execute(set).await.unwrap();
    let (content, printed) =
        run(&database.gateway_url(), &["--stripe-secret-key", "sk_test_1", "check"]).await;
    assert!(!content && printed.contains("wrong: live is paid through Stripe, but"), "{printed}");
    let flags = ["--stripe-secret-key", "sk_live_1", "--stripe-webhook-secret", "whsec_1", "check"];
    let (content, printed) = run(&database.gateway_url(), &flags).await;
    assert!(content && printed.contains("ok: live is paid through Stripe"), "{printed}");
}
