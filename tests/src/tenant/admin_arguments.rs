//! Administrators' functions judge their arguments: an error names the argument, and shows neither a row nor a hash.

use crate::support::Database;
use tokio_postgres::Client;
use uuid::Uuid;

/// SQLSTATEs of ours: an argument that cannot be, and a role that is not there.
const OURS: [&str; 2] = ["22023", "42704"];

/// The functions that only administrators may execute: names of arguments and their types.
async fn functions(admin: &Client) -> Vec<(String, Vec<String>, Vec<String>)> {
    let query = "
        select p.proname::text, coalesce(p.proargnames[1:p.pronargs], '{}'),
               array(select format_type(t, null) from unnest(p.proargtypes) with ordinality t (t, n) order by n)
          from pg_proc p
         where p.pronamespace = 'topup'::regnamespace and has_function_privilege('topup_admin', p.oid, 'execute')
           and not has_function_privilege('topup_app', p.oid, 'execute')
         order by 1";
    let rows = admin.query(query, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

fn wrong(kind: &str) -> &'static [&'static str] {
    match kind {
        "text" => {
            &["null", "''", "'nope'", "'Nope nope'", "repeat('x', 300)", "'acct_00000000000000000000000000'"]
        }
        "name" => &["null", "'nobody_here'", "''"],
        "bigint" => &["null", "-1", "0", "9223372036854775807", "'-9223372036854775808'::bigint"],
        "boolean" => &["null"],
        "text[]" => &["'{steal}'", "'{null}'", "array_fill('send'::text, array[1000])", "'{{send},{steal}}'"],
        "cidr[]" => &["'{null}'", "array_fill('10.0.0.0/8'::cidr, array[1000])"],
        other => panic!("this test knows no wrong values of type {other}"),
    }
}

fn right(name: &str, kind: &str, tenant: &str, key: &str) -> String {
    match (name, kind) {
        ("tenant_id", _) => format!("'{tenant}'"),
        ("environment", _) => "'live'".to_owned(),
        ("key_id", _) => format!("'{key}'"),
        ("tier", _) => "'gold'".to_owned(),
        ("cap_period", _) => "'day'".to_owned(),
        ("policy", _) => "'refuse'".to_owned(),
        ("delivery", _) => "'instant'".to_owned(),
        ("platform", _) => "'mistral'".to_owned(),
        ("role", _) => "'app'".to_owned(),
        (_, "bigint") => "1000".to_owned(),
        (_, "boolean") => "false".to_owned(),
        (_, "text[]") => "'{send}'".to_owned(),
        (_, "cidr[]") => "'{127.0.0.0/8}'".to_owned(),
        _ => "'x'".to_owned(),
    }
}

#[tokio::test]
async fn a_wrong_argument_is_named_and_no_row_is_shown() {
    let database = Database::new().await;
    let (admin, administrator) = (database.admin().await, database.admin().await);
    let tenant = database.tenant("Acme").await;
    let (key, _) = tenant.key("live", "").await;
    let role = format!("operator_{}", Uuid::now_v7().simple());
    let become_it = format!("create role {role} login in role topup_admin; set session authorization {role}");
    administrator.batch_execute(&become_it).await.unwrap();
    let mut errors = 0;
    for (name, arguments, kinds) in functions(&admin).await {
        for (n, kind) in kinds.iter().enumerate() {
            for value in wrong(kind) {
                let values: Vec<String> = arguments
                    .iter()
                    .zip(&kinds)
                    .map(|(argument, kind)| right(argument, kind, &tenant.id, &key))
                    .enumerate()
                    .map(|(m, right)| if m == n { (*value).to_owned() } else { right })
                    .collect();
                let call = format!("begin; select topup.{name}({}); rollback", values.join(", "));
                let Err(error) = administrator.batch_execute(&call).await else { continue };
                administrator.batch_execute("rollback").await.unwrap();
                let fault = error.as_db_error().unwrap();
                assert!(OURS.contains(&fault.code().code()), "{call}: {fault:?}");
                assert_eq!(fault.detail(), None, "{call}");
                let argument = fault.message().split(':').next().unwrap_or_default();
                assert_eq!(argument, arguments[n], "{call}: {}", fault.message());
                assert!(fault.message().len() < 300, "{call}: {}", fault.message());
                errors += 1;
            }
        }
    }
    assert!(errors > 50, "only {errors} calls were refused");
    database.check().await;
}
