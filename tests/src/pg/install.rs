//! CREATE EXTENSION in a cluster that others use too: nothing that they left there gets in, and nothing is opened to them.

use crate::support::{Cluster, Database};

/// An installation next to strangers; what they left is per database, but roles are the cluster's.
async fn beside(preparation: &str) -> (Database, tokio_postgres::Client) {
    let database = Database::without_extension().await;
    let admin = database.admin().await;
    admin.batch_execute(preparation).await.unwrap();
    admin.batch_execute("create extension pg_topup").await.unwrap();
    (database, admin)
}

const SEND: &str = "
    select set_config('topup.api_key', (topup.mint_key(topup.create_tenant('Acme'), 'staging')).api_key, false);
    do $$ begin assert topup.send('claude', 1000) ->> 'code' = '1001'; end $$";

#[tokio::test]
async fn an_operator_that_waits_in_schema_public_is_not_taken_for_ours() {
    let (database, admin) = beside(
        "create table public.trap (caught_as text);
         create function public.spring(numeric, integer) returns boolean language plpgsql as
             $$ begin insert into public.trap values (current_user); return $1 <> $2::numeric; end $$;
         create operator public.<> (leftarg = numeric, rightarg = integer, function = public.spring);
         create operator public.>= (leftarg = numeric, rightarg = integer, function = public.spring)",
    )
    .await;
    admin.batch_execute(SEND).await.unwrap();
    let caught: i64 = admin.query_one("select count(*) from public.trap", &[]).await.unwrap().get(0);
    assert_eq!(caught, 0);
    database.check().await;
}

#[tokio::test]
async fn default_privileges_of_the_cluster_open_nothing() {
    let (_database, admin) = beside(
        "create role install_analyst;
         alter default privileges grant all on tables to install_analyst;
         alter default privileges grant usage on schemas to install_analyst;
         alter default privileges grant execute on functions to install_analyst",
    )
    .await;
    let granted = "
        select count(*) filter (where has_table_privilege('install_analyst', c.oid, 'select,insert,update,delete'))
               + (select count(*) from pg_proc p where p.pronamespace = n.oid
                     and has_function_privilege('install_analyst', p.oid, 'execute'))
               + has_schema_privilege('install_analyst', n.oid, 'usage,create')::int
          from pg_namespace n join pg_class c on c.relnamespace = n.oid and c.relkind in ('r', 'v')
         where n.nspname = 'topup' group by n.oid";
    let count: i64 = admin.query_one(granted, &[]).await.unwrap().get(0);
    admin.batch_execute("drop owned by install_analyst; drop role install_analyst").await.unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn databases_of_a_new_cluster_may_install_at_once() {
    let cluster = Cluster::private().await;
    let database = Database::empty_on(&cluster).await;
    let mut installing = Vec::new();
    for name in ["first", "second", "third", "fourth"] {
        database.admin().await.batch_execute(&format!("create database {name}")).await.unwrap();
        let mut psql = database.program("psql");
        psql.args(["--quiet", "-c", "create extension pg_topup"]).env("PGDATABASE", name);
        installing.push(psql);
    }
    let installing: Vec<_> = installing.iter_mut().map(|psql| psql.spawn().unwrap()).collect();
    for mut psql in installing {
        assert!(psql.wait().unwrap().success());
    }
}

#[tokio::test]
async fn dropping_schema_public_does_not_take_the_ledger_along() {
    let (database, admin) = beside("create table public.my_table (id int)").await;
    admin.batch_execute(SEND).await.unwrap();
    admin.batch_execute("drop schema public cascade").await.unwrap();
    admin.batch_execute(SEND).await.unwrap();
    database.check().await;
}

#[tokio::test]
async fn a_schema_of_our_name_that_somebody_made_before_is_not_used() {
    let database = Database::without_extension().await;
    let admin = database.admin().await;
    admin.batch_execute("create schema topup").await.unwrap();
    let error = admin.batch_execute("create extension pg_topup").await.unwrap_err();
    assert!(error.as_db_error().unwrap().message().contains("already exists"), "{error}");
}

#[tokio::test]
async fn a_database_that_is_not_in_utf8_is_refused() {
    let database = Database::without_extension().await;
    let admin = database.admin().await;
    let name: String = admin.query_one("select current_database()::text", &[]).await.unwrap().get(0);
    let make = format!("create database {name}_latin1 template template0 encoding 'LATIN1' locale 'C'");
    admin.batch_execute(&make).await.unwrap();
    let mut psql = database.program("psql");
    psql.env("PGDATABASE", format!("{name}_latin1"));
    let output = psql.args(["--no-psqlrc", "-c", "create extension pg_topup"]).output().unwrap();
    admin.batch_execute(&format!("drop database {name}_latin1")).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("UTF8"), "{said}");
}
