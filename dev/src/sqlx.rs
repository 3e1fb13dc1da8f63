//! `cargo dev sqlx`: refreshes `.sqlx/`, the committed descriptions of queries, from a database with all migrations.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use testkit::error::{Context, Result};
use testkit::packages::Purpose;
use testkit::port;
use testkit::postgres::{self, Postgres};
use testkit::process::{Server, Spec, run_checked};

use crate::services::DATABASES;
use crate::{Failure, cargo, folder, packages, report, signals};

pub(crate) fn run(services: &[String]) -> std::result::Result<ExitCode, Failure> {
    signals::listen()?;
    let base = folder::prepare(&crate::root().join(".dev"))?;
    packages::install(&base, Purpose::Run)?;
    let dir = base.join(format!("sqlx-{}", std::process::id()));
    let result = refresh_all(services, &dir);
    postgres::remove(&dir)?;
    result?;
    Ok(ExitCode::SUCCESS)
}

fn refresh_all(services: &[String], dir: &Path) -> Result<()> {
    let mut postgres = port::on_free_port(|port| Postgres::start(dir, port))?;
    let wanted = |service: &str| services.is_empty() || services.iter().any(|name| name == service);
    for (service, database) in DATABASES.into_iter().filter(|(service, _)| wanted(service)) {
        migrate(&postgres, service, database, dir)?;
        let count = refresh(service, &format!("{}/{database}", postgres.url()))?;
        report::say(&format!("{service}: {count} queries"));
    }
    postgres.stop();
    Ok(())
}

/// Makes the database and applies the crate's migrations in the order of their names.
fn migrate(postgres: &Postgres, service: &str, database: &str, dir: &Path) -> Result<()> {
    let psql = |database: &str| {
        Spec::new(format!("psql ({service})"), "psql")
            .args(["-q", "-X", "-v", "ON_ERROR_STOP=1", "-d"])
            .args([format!("{}/{database}", postgres.url())])
            .log(dir.with_extension("log"))
    };
    run_checked(psql("postgres").args(["-c", &format!("create database {database}")]))?;
    let folder = crate::root().join(service).join("migrations");
    for file in files(&folder, "sql") {
        run_checked(psql(database).args(["-1", "-f"]).args([file]))?;
    }
    fs::remove_file(dir.with_extension("log")).ok();
    Ok(())
}

/// Compiles the crate against the database; its queries describe themselves into a new folder, which takes the old
/// one's place only when all compiled.
fn refresh(service: &str, database: &str) -> Result<usize> {
    let folder = crate::root().join(service);
    let (old, new) = (folder.join(".sqlx"), folder.join(".sqlx.new"));
    fs::remove_dir_all(&new).ok();
    fs::create_dir(&new).context(format!("cannot create {}", new.display()))?;
    touch(&folder.join("src/lib.rs"))?;
    let spec = cargo::spec(&["check", "-p", service])
        .env("DATABASE_URL", database)
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", &new);
    let checked = cargo::run_ok(spec, &format!("cargo check -p {service}"));
    if checked.is_err() {
        fs::remove_dir_all(&new).ok();
    }
    checked?;
    fs::remove_dir_all(&old).ok();
    fs::rename(&new, &old).context(format!("cannot replace {}", old.display()))?;
    Ok(files(&old, "json").len())
}

/// The files of a folder with this extension, by name.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    files.sort();
    files
}

#[expect(clippy::disallowed_methods, reason = "cargo compares the file's time with the real one")]
fn touch(path: &Path) -> Result<()> {
    let file = File::options().append(true).open(path).context(format!("cannot open {}", path.display()))?;
    file.set_modified(SystemTime::now()).context(format!("cannot touch {}", path.display()))
}
