//! Dump and restore: a fresh cluster goes on exactly where the old one stood. Each test has clusters of its own.

use crate::support::{Before, Cluster, Database, call, goes_on, live_a_little};
use std::io::Write;
use std::process::{Command, Output, Stdio};

fn dump(cluster: &Cluster, format: &str) -> Vec<u8> {
    let output = cluster.program("pg_dump", "topup").arg(format!("--format={format}")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Runs a program on these bytes; it must say nothing against it.
fn feed(command: &mut Command, bytes: Vec<u8>) {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(status.success() && stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
}

/// A role of the restored cluster speaks for its key again as soon as it exists.
async fn binds_again(database: &Database, before: &Before) {
    let admin = database.admin().await;
    admin.batch_execute("create role shopkeeper in role topup_app; set role shopkeeper").await.unwrap();
    assert_eq!(call(&admin, "topup.balance()").await["data"]["key"]["id"], before.key_id.as_str());
}

#[tokio::test]
async fn a_restored_dump_goes_on_where_the_ledger_stood() {
    let cluster = Cluster::private().await;
    let before = live_a_little(&Database::on(&cluster).await).await;
    let (custom, plain) = (dump(&cluster, "custom"), dump(&cluster, "plain"));
    drop(cluster);

    let fresh = Cluster::private().await;
    let restored = Database::empty_on(&fresh).await;
    feed(fresh.program("pg_restore", "topup").args(["--exit-on-error", "--dbname=topup"]), custom);
    goes_on(&restored, &before).await;
    binds_again(&restored, &before).await;
    drop(restored);
    drop(fresh);

    let fresh = Cluster::private().await;
    let restored = Database::empty_on(&fresh).await;
    feed(fresh.program("psql", "topup").args(["-X", "--quiet", "--set=ON_ERROR_STOP=1"]), plain);
    goes_on(&restored, &before).await;
    binds_again(&restored, &before).await;
    // What was dumped once and restored can be dumped again.
    assert!(!dump(&fresh, "custom").is_empty());
}
