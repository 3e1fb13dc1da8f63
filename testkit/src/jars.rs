//! Apache Kafka's jars, fetched once by Maven into a cache folder of the user.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result};
use crate::process::{Spec, run_checked};

const POM: &str = include_str!("../../infra/kafka/pom.xml");

/// A download may meet a short network fault.
const TRIES: usize = 3;

/// The folder that holds Kafka's jars; fetches them when they are not there. `spare` is used where the home folder
/// cannot be written, and holds Maven's log.
///
/// # Errors
/// No folder can be written, or Maven fails.
pub fn ensure(spare: &Path) -> Result<PathBuf> {
    let name = format!("kafka-{}", version());
    let cache = cache_dir(spare)?;
    let jars = cache.join(&name);
    if is_complete(&jars) {
        return Ok(jars);
    }
    // Another launcher may be fetching them right now.
    let lock = cache.join("kafka.lock");
    let lock = File::create(&lock).context(format!("cannot write {}", lock.display()))?;
    lock.lock().context("cannot lock the folder of Kafka's jars")?;
    if !is_complete(&jars) {
        fetch(&cache, &jars, &spare.join("maven.log"))?;
    }
    Ok(jars)
}

/// Whether [`ensure`] has nothing to fetch.
pub fn are_here(spare: &Path) -> bool {
    cache_dir(spare).is_ok_and(|cache| is_complete(&cache.join(format!("kafka-{}", version()))))
}

/// Kafka's version, from its one place.
pub fn version() -> &'static str {
    let (_, rest) = POM.split_once("<kafka.version>").expect("the pom names Kafka's version");
    rest.split_once('<').expect("the pom is XML").0
}

fn is_complete(jars: &Path) -> bool {
    // The folder appears by one rename, after all jars are in it.
    jars.is_dir()
}

fn cache_dir(spare: &Path) -> Result<PathBuf> {
    let home =
        std::env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".cache/astraphe"));
    if let Some(cache) = home
        && fs::create_dir_all(&cache).is_ok()
        && is_writable(&cache)
    {
        return Ok(cache);
    }
    let cache = spare.join("cache");
    fs::create_dir_all(&cache).context(format!("cannot create {}", cache.display()))?;
    Ok(cache)
}

fn is_writable(dir: &Path) -> bool {
    let probe = dir.join(format!(".probe-{}", std::process::id()));
    let writable = fs::write(&probe, b"").is_ok();
    fs::remove_file(&probe).ok();
    writable
}

fn fetch(cache: &Path, jars: &Path, log: &Path) -> Result<()> {
    let work = cache.join(format!(".fetch-{}", std::process::id()));
    let cannot = |error: std::io::Error| Error::new(format!("cannot prepare {}: {error}", work.display()));
    fs::create_dir_all(&work).map_err(cannot)?;
    fs::write(work.join("pom.xml"), POM).map_err(cannot)?;
    let result = copy_jars(&work, log).and_then(|()| {
        fs::rename(work.join("jars"), jars).context(format!("cannot make {}", jars.display()))
    });
    fs::remove_dir_all(&work).ok();
    result
}

fn copy_jars(work: &Path, log: &Path) -> Result<()> {
    let mut tries = 0;
    loop {
        tries += 1;
        let spec = Spec::new("Maven", "mvn")
            .args(["-q", "-B", "-ntp", "dependency:copy-dependencies", "-DincludeScope=runtime"])
            .args(["-DoutputDirectory=jars"])
            .dir(work)
            .log(log);
        match run_checked(spec) {
            Err(_) if tries < TRIES && !crate::process::is_cancelled() => {}
            result => return result,
        }
    }
}
