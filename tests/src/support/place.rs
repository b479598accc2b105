//! Where things are: the build's output, and a directory of its own for each cluster.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

const LEAD: &str = "pg_topup-test-";

/// The build's directory, `target`; this binary is `target/release/deps/topup-…`.
pub fn target() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}

/// The checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A program that this workspace built.
pub fn built(name: &str) -> PathBuf {
    let path = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join(name);
    assert!(path.exists(), "{} is missing: run `make test` once", path.display());
    path
}

/// A program of PostgreSQL 15, to be run as whoever owns the clusters.
pub fn postgres(name: &str) -> Command {
    server_program(Path::new("/usr/lib/postgresql/15/bin").join(name))
}

/// Any program, to be run as the same user.
pub fn server_program(path: impl AsRef<Path>) -> Command {
    let mut command = Command::new(path.as_ref());
    command.current_dir("/");
    if let Some((uid, gid)) = postgres_user() {
        command.uid(uid).gid(gid);
    }
    command
}

/// Makes `path` belong to whoever runs Postgres.
pub fn give(path: &Path) {
    if let Some((uid, gid)) = postgres_user() {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
}

/// A new private directory for a cluster. It is under `target`, or under /var/tmp when the user postgres
/// cannot enter that.
pub fn cluster_dir() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let base = base();
    if count == 0 {
        remove_leftovers(&base);
    }
    let dir = base.join(format!("{LEAD}{}-{count}", std::process::id()));
    fs::DirBuilder::new().mode(0o700).create(&dir).unwrap();
    give(&dir);
    dir
}

fn base() -> PathBuf {
    let target = target();
    let open_to_all = |dir: &Path| fs::metadata(dir).unwrap().permissions().mode() & 0o001 != 0;
    match postgres_user() {
        Some(_) if !target.ancestors().all(open_to_all) => PathBuf::from("/var/tmp"),
        _ => target,
    }
}

/// Directories whose test process is gone. Their servers are gone as well: see `Cluster`'s keeper.
fn remove_leftovers(base: &Path) {
    for entry in fs::read_dir(base).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((pid, _)) = name.strip_prefix(LEAD).and_then(|rest| rest.split_once('-')) else { continue };
        if !Path::new("/proc").join(pid).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Uid and gid of the user postgres when we are root, whom Postgres refuses; nothing otherwise.
fn postgres_user() -> Option<(u32, u32)> {
    static USER: std::sync::LazyLock<Option<(u32, u32)>> = std::sync::LazyLock::new(|| {
        let id = |which| {
            let output = Command::new("id").args([which, "postgres"]).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
        };
        (fs::metadata("/proc/self").unwrap().uid() == 0).then(|| (id("-u"), id("-g")))
    });
    *USER
}
