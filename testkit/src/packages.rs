//! The system packages that the servers and the build need, and how they get here.
//!
//! apt starts the services of what it installs; a policy file forbids that for the time of the installation, because
//! the servers used here are children of this process with their own ports and data.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};
use crate::postgres::{bin_dir, is_root};
use crate::process::{Spec, run_checked};

const JAVA_LEAST: u32 = 17;
const POLICY: &str = "/usr/sbin/policy-rc.d";
const POLICY_TEXT: &str =
    "#!/bin/sh\n# Temporary, by astraphe: installed servers are not started.\nexit 101\n";

/// What the packages are for. Each needs those of the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Building the services.
    Build,
    /// Running the servers.
    Run,
    /// The test suite: it also asks a live Prometheus, and the alert rules' own test tool, opens pages in a browser, and
    /// does not wait for the disk.
    Test,
}

/// What is missing for a purpose, as names of packages.
pub fn missing(purpose: Purpose) -> Vec<String> {
    let mut packages = Vec::new();
    let mut need = |there: bool, package: &str| {
        if !there {
            packages.push(package.to_owned());
        }
    };
    need(in_path("setpriv") && in_path("prlimit"), "util-linux");
    need(Path::new("/usr/include/zlib.h").exists(), "zlib1g-dev");
    need(in_path("pkg-config"), "pkg-config");
    need(in_path("make") && in_path("cc") && in_path("c++"), "build-essential");
    if purpose >= Purpose::Run {
        need(in_path("redis-server"), "redis-server");
        need(bin_dir().is_some() && in_path("psql"), "postgresql");
        need(in_path("mvn"), "maven");
        if java_version().is_none_or(|version| version < JAVA_LEAST) {
            need(false, &java_package());
        }
    }
    if purpose >= Purpose::Test {
        need(in_path("prometheus") && in_path("promtool"), "prometheus");
        need(in_path("amtool"), "prometheus-alertmanager");
        need(browser().is_some(), "chromium");
        need(no_fsync().is_some(), "libeatmydata1");
    }
    packages
}

/// Installs what is missing; apt's output goes to `log`. `say` gets a line before something takes long.
///
/// # Errors
/// Not root, or no apt: the error is the one line to run. Or the installation fails.
pub fn ensure(purpose: Purpose, log: &Path, say: impl Fn(&str)) -> Result<()> {
    let packages = missing(purpose);
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if !is_root() || !in_path("apt-get") {
        return Err(Error::new(format!(
            "packages are missing, please run: sudo apt-get update && sudo apt-get install -y \
             --no-install-recommends {list}"
        )));
    }
    say(&format!("installing {list} (log: {})", log.display()));
    let _policy = Policy::forbid_starts();
    run_checked(apt(log).args(["update"]))?;
    // Which Java there is to have is known only after the update.
    run_checked(apt(log).args(["install", "-y", "--no-install-recommends"]).args(missing(purpose)))?;
    let still = missing(purpose);
    if still.is_empty() {
        return Ok(());
    }
    let still = still.join(" ");
    Err(Error::new(format!(
        "apt-get installed the packages, but these are still missing: {still} (log: {})",
        log.display()
    )))
}

fn apt(log: &Path) -> Spec {
    Spec::new("apt-get", "apt-get")
        .args(["-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("RUNLEVEL", "1")
        .log(log)
}

/// The browser that tests drive: Debian's Chromium, or Chrome where that is what there is.
pub fn browser() -> Option<&'static str> {
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|program| in_path(program))
}

/// The library that makes `fsync` do nothing in processes that load it first.
pub fn no_fsync() -> Option<PathBuf> {
    let dirs = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    dirs.map(|dir| dir.join("libeatmydata.so")).find(|path| path.exists())
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir: PathBuf| dir.join(program).is_file())
}

/// The major version of `java`; none where there is no Java.
fn java_version() -> Option<u32> {
    let output = Command::new("java").arg("-version").stdin(Stdio::null()).output().ok()?;
    parse_java_version(&String::from_utf8_lossy(&output.stderr))
}

/// From `openjdk version "17.0.15" 2025-04-15`.
fn parse_java_version(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("version \"")?;
    rest.split(['.', '"', '-', '+']).next()?.parse().ok()
}

/// Debian 12 has 17 alone, Debian 13 only newer ones.
fn java_package() -> String {
    let known = |version: &u32| {
        let name = format!("openjdk-{version}-jre-headless");
        let show = Command::new("apt-cache").args(["show", &name]).stdin(Stdio::null()).output();
        show.is_ok_and(|output| output.status.success())
    };
    let version = [17, 21, 25].into_iter().find(known).unwrap_or(17);
    format!("openjdk-{version}-jre-headless")
}

/// Forbids apt to start services while it lives. A policy that somebody else set stays as it is.
struct Policy {
    own: bool,
}

impl Policy {
    fn forbid_starts() -> Self {
        // One that an installation cut short has left is ours again.
        if fs::read_to_string(POLICY).is_ok_and(|text| text == POLICY_TEXT) {
            return Self { own: true };
        }
        let file = OpenOptions::new().write(true).create_new(true).open(POLICY);
        let own = file.is_ok_and(|mut file| {
            file.write_all(POLICY_TEXT.as_bytes()).is_ok()
                && file.set_permissions(Permissions::from_mode(0o755)).is_ok()
        });
        Self { own }
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.own {
            fs::remove_file(POLICY).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse_java_version;

    #[test]
    fn the_major_version_of_java_is_read() {
        assert_eq!(parse_java_version("openjdk version \"17.0.15\" 2025-04-15"), Some(17));
        assert_eq!(parse_java_version("openjdk version \"21\" 2023-09-19"), Some(21));
        assert_eq!(parse_java_version("java version \"1.8.0_392\""), Some(1));
        assert_eq!(parse_java_version("sh: java: not found"), None);
    }
}
