//! Every way of pg_dump and pg_restore brings the whole ledger, or stops with an error; and the audit names what is missing.

use crate::support::{Cluster, Database, call, goes_on, live_a_little, place};
use std::path::Path;
use std::process::{Command, Output};
use tokio_postgres::Client;

/// How a dump is made, and how it is restored.
#[derive(Clone, Copy)]
struct Way {
    dump: &'static [&'static str],
    /// Run in the new database before anything is restored.
    prepare: &'static str,
    /// Settings of the sessions that restore.
    settings: &'static str,
    /// Each run of pg_restore; psql takes a plain dump.
    restore: &'static [&'static [&'static str]],
}

const WAY: Way = Way { dump: &["--format=custom"], prepare: "", settings: "", restore: &[&[]] };
const INSTALL: &str = "create extension pg_topup";
const REPLICA: &str = "-c session_replication_role=replica";

const WHOLE: &[Way] = &[
    Way { restore: &[&["--jobs=4"]], ..WAY },
    Way { dump: &["--format=directory", "--jobs=2"], restore: &[&["--jobs=4"]], ..WAY },
    Way { dump: &["--format=tar"], ..WAY },
    Way { dump: &["--format=plain"], restore: &[], ..WAY },
    Way { dump: &["--format=plain", "--inserts", "--rows-per-insert=10"], restore: &[], ..WAY },
    Way { dump: &["--format=plain", "--create", "--clean", "--if-exists"], restore: &[], ..WAY },
    Way {
        restore: &[&["--section=pre-data"], &["--section=data", "--jobs=4"], &["--section=post-data"]],
        ..WAY
    },
    Way { restore: &[&["--schema-only"], &["--data-only", "--jobs=4"]], ..WAY },
    Way { restore: &[&["--clean", "--if-exists", "--jobs=4"]], ..WAY },
    Way { restore: &[&["--single-transaction"]], ..WAY },
    Way {
        prepare: "create role restorer superuser",
        restore: &[&["--no-owner", "--no-privileges", "--role=restorer", "--jobs=4"]],
        ..WAY
    },
    Way { prepare: INSTALL, restore: &[&["--jobs=4"]], ..WAY },
    Way { dump: &["--format=custom", "--table=topup.*"], prepare: INSTALL, restore: &[&["--jobs=4"]], ..WAY },
    Way { dump: &["--format=custom", "--data-only"], prepare: INSTALL, restore: &[&["--jobs=4"]], ..WAY },
    Way { dump: &["--format=custom", "--extension=pg_topup"], restore: &[&["--jobs=4"]], ..WAY },
    Way { settings: REPLICA, restore: &[&["--jobs=4"]], ..WAY },
    Way { prepare: INSTALL, settings: REPLICA, restore: &[&["--data-only", "--jobs=4"]], ..WAY },
];

const STOPPED: &[Way] = &[
    // Without the extension there is nothing to restore into.
    Way { dump: &["--format=custom", "--table=topup.*"], ..WAY },
    Way { restore: &[&["--data-only"]], ..WAY },
    // With triggers off, nothing lets a dumped platform take the place of the one that is there.
    Way { prepare: INSTALL, restore: &[&["--data-only", "--disable-triggers"]], ..WAY },
    // Who may not make the extension restores nothing.
    Way { prepare: "create role clerk", restore: &[&["--no-owner", "--role=clerk"]], ..WAY },
    // What is there is not restored over.
    Way { restore: &[&[], &[]], ..WAY },
    Way { restore: &[&[], &["--clean", "--if-exists"]], ..WAY },
];

fn succeeds(output: &Output) -> bool {
    output.status.success() && output.stderr.is_empty()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(succeeds(&output), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn dump(cluster: &Cluster, options: &[&str], file: &Path) {
    run(cluster.program("pg_dump", "topup").args(options).arg("--file").arg(file));
}

/// The programs that restore a dump, one after the other.
fn programs(cluster: &Cluster, way: &Way, file: &Path) -> Vec<Command> {
    let mut programs: Vec<Command> = way
        .restore
        .iter()
        .map(|options| {
            let mut restore = cluster.program("pg_restore", "topup");
            restore.args(["--exit-on-error", "--dbname=topup"]).args(*options).arg(file);
            restore
        })
        .collect();
    if programs.is_empty() {
        // A plain dump that makes the database itself must not be in it meanwhile.
        let mut psql = cluster.program("psql", "postgres");
        let database = if way.dump.contains(&"--create") { "postgres" } else { "topup" };
        psql.args(["-X", "--quiet", "--output=/dev/null", "--set=ON_ERROR_STOP=1", "--dbname", database]);
        psql.arg("--file").arg(file);
        programs.push(psql);
    }
    for program in &mut programs {
        program.env("PGOPTIONS", format!("{} -c client_min_messages=warning", way.settings));
    }
    programs
}

/// An empty database in place of the one of the way before.
async fn anew(cluster: &Cluster, prepare: &str) -> Database {
    let server = Database::named(cluster, "postgres");
    let admin = server.admin().await;
    admin.batch_execute("drop database if exists topup with (force)").await.unwrap();
    let database = Database::empty_on(cluster).await;
    // A dump that drops the database itself finds nobody in it.
    if !prepare.is_empty() {
        database.admin().await.batch_execute(prepare).await.unwrap();
    }
    database
}

#[tokio::test]
async fn every_way_of_dump_and_restore_brings_the_whole_ledger_or_stops() {
    let source = Cluster::private().await;
    let before = live_a_little(&Database::on(&source).await).await;
    let target = Cluster::private().await;
    for (n, way) in WHOLE.iter().enumerate() {
        let file = source.file(&format!("whole-{n}"));
        dump(&source, way.dump, &file);
        let restored = anew(&target, way.prepare).await;
        for mut program in programs(&target, way, &file) {
            run(&mut program);
        }
        let restored =
            if way.dump.contains(&"--create") { Database::named(&target, "topup") } else { restored };
        restored.check().await;
        let differ = restored.contents().await != before.contents;
        assert!(!differ, "the restored rows differ: {:?} {:?}", way.dump, way.restore);
        if n == 0 {
            goes_on(&restored, &before).await;
        }
    }
    for (n, way) in STOPPED.iter().enumerate() {
        let file = source.file(&format!("stopped-{n}"));
        dump(&source, way.dump, &file);
        let restored = anew(&target, way.prepare).await;
        let (mut last, mut rest) = (None, programs(&target, way, &file));
        let tried = rest.pop();
        rest.iter_mut().for_each(run);
        if !rest.is_empty() {
            last = Some(restored.contents().await);
        }
        let output = tried.unwrap().output().unwrap();
        assert!(!output.status.success(), "this did not stop: {:?} {:?}", way.dump, way.restore);
        if let Some(contents) = last {
            assert!(
                restored.contents().await == contents,
                "a second restore changed the first: {:?}",
                way.restore
            );
            restored.check().await;
        }
    }
}

#[tokio::test]
async fn a_dump_of_the_schema_alone_has_nothing_in_it() {
    let database = Database::new().await;
    database.staging_key().await;
    let mut dump = database.program("pg_dump");
    let output = dump.args(["--schema=topup", "--format=plain"]).output().unwrap();
    // The rule of pg_dump, whatever the extension does: what belongs to one is dumped with it. The page on operating warns.
    assert!(succeeds(&output) && !String::from_utf8_lossy(&output.stdout).contains("COPY"));
    let page = std::fs::read_to_string(place::root().join("docs/operating.md")).unwrap();
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(page.contains("`pg_dump --schema=topup` writes an empty dump"));
}

/// The list of a dump, its tables' rows in the opposite order: those that refer to others come first.
fn backwards(cluster: &Cluster, file: &Path) -> String {
    let listed = cluster.program("pg_restore", "topup").arg("--list").arg(file).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let (mut rows, others): (Vec<&str>, Vec<&str>) =
        listed.lines().partition(|line| line.contains("TABLE DATA"));
    assert!(rows.len() > 30, "{listed}");
    rows.reverse();
    [others, rows].concat().join("\n")
}

#[tokio::test]
async fn rows_are_restored_in_any_order() {
    let source = Cluster::private().await;
    let before = live_a_little(&Database::on(&source).await).await;
    let (file, list) = (source.file("dump"), source.file("list"));
    dump(&source, &["--format=custom"], &file);
    std::fs::write(&list, backwards(&source, &file)).unwrap();
    place::give(&list);
    let target = Cluster::private().await;
    let restored = anew(&target, "").await;
    let mut restore = target.program("pg_restore", "topup");
    run(restore.args(["--exit-on-error", "--dbname=topup", "--use-list"]).arg(&list).arg(&file));
    goes_on(&restored, &before).await;
}

#[tokio::test]
async fn a_dump_of_the_whole_cluster_brings_roles_and_their_keys() {
    let source = Cluster::private().await;
    let before = live_a_little(&Database::on(&source).await).await;
    let dumped = source.program("pg_dumpall", "postgres").output().unwrap();
    assert!(dumped.status.success());
    // The superuser is there, with a password of its own.
    let dumped = String::from_utf8(dumped.stdout).unwrap();
    let lines: Vec<&str> = dumped.lines().filter(|line| !line.contains(" ROLE postgres")).collect();
    let target = Cluster::private().await;
    let file = target.file("dump.sql");
    std::fs::write(&file, lines.join("\n")).unwrap();
    place::give(&file);
    let mut psql = target.program("psql", "postgres");
    run(psql.args(["-X", "--quiet", "--output=/dev/null", "--set=ON_ERROR_STOP=1", "--file"]).arg(&file));
    let restored = Database::named(&target, "topup");
    goes_on(&restored, &before).await;
    let admin = restored.admin().await;
    admin.batch_execute("set role shopkeeper").await.unwrap();
    assert_eq!(call(&admin, "topup.balance()").await["data"]["key"]["id"], before.key_id.as_str());
}

/// What the audit calls broken, with the fault that it shows.
async fn broken(admin: &Client) -> Vec<(String, String)> {
    let query = "select invariant, detail from topup.check() where not holds";
    admin.query(query, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn a_restore_with_triggers_off_leaves_guards_off_and_the_audit_says_so() {
    let source = Cluster::private().await;
    let before = live_a_little(&Database::on(&source).await).await;
    let file = source.file("dump");
    dump(&source, &["--format=custom", "--data-only"], &file);
    let target = Cluster::private().await;
    let restored = anew(&target, INSTALL).await;
    let admin = restored.admin().await;
    admin.batch_execute("delete from topup.platform; delete from topup.tier").await.unwrap();
    let mut restore = target.program("pg_restore", "topup");
    run(restore.args(["--exit-on-error", "--dbname=topup", "--disable-triggers", "--jobs=4"]).arg(&file));
    let found = broken(&admin).await;
    assert!(
        found.len() == 1
            && found[0].0 == "triggers guard the ledger"
            && found[0].1.contains("enable_guards()"),
        "{found:?}"
    );
    admin.batch_execute("select topup.enable_guards()").await.unwrap();
    goes_on(&restored, &before).await;
}

const REFERENCES: &str = "
    select conrelid::regclass::text, confrelid::regclass::text from pg_constraint
     where contype = 'f' and connamespace = 'topup'::regnamespace";

#[tokio::test]
async fn rows_that_are_missing_are_named_whatever_refers_to_them() {
    let cluster = Cluster::private().await;
    let database = Database::on(&cluster).await;
    live_a_little(&database).await;
    let mut admin = database.admin().await;
    let mut references: Vec<(String, String)> =
        admin.query(REFERENCES, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    assert!(references.len() > 15, "{references:?}");
    references.push(("topup.top_up".to_owned(), "topup.platform".to_owned()));
    for (child, parent) in references {
        let transaction = admin.transaction().await.unwrap();
        // As a restore without that table leaves it.
        let lose = format!("set local session_replication_role = replica; delete from {parent}");
        transaction.batch_execute(&lose).await.unwrap();
        let missing =
            "select what from topup.restore_fault where invariant = 'rows that others refer to are there'";
        let missing: Vec<String> =
            transaction.query(missing, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
        let named = format!("{parent} of {child}: ");
        assert!(missing.iter().any(|what| what.starts_with(&named)), "{named} is not in {missing:?}");
        transaction.rollback().await.unwrap();
    }
    database.check().await;
}

/// Tables that no dump takes along: always empty outside of a transaction, or of no use to another server.
const NOT_DUMPED: &[&str] = &["topup.cached", "topup.low_account", "topup.sleeper"];

#[tokio::test]
async fn every_table_and_sequence_is_dumped_whole() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let left_out = "
        select c.oid::regclass::text from pg_class c
          join pg_extension e on e.extname = 'pg_topup'
          left join lateral unnest(e.extconfig, e.extcondition) as d (relation, condition) on d.relation = c.oid
         where c.relnamespace = 'topup'::regnamespace and c.relkind in ('r', 'p', 'S', 'm', 'f')
           and d.condition is distinct from '' order by 1";
    let left_out: Vec<String> =
        admin.query(left_out, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(left_out, NOT_DUMPED);
}
