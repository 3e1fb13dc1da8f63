//! What `cargo dev` says when it cannot do what it was asked for: one line, and an exit code other than 0.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("astraphe-launcher-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    fn name(&self) -> &str {
        self.0.to_str().expect("a plain name")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn dev(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dev"));
    command.args(args).stdin(Stdio::null()).output().expect("the launcher starts")
}

/// The exit code and the one line.
fn refused(args: &[&str]) -> (i32, String) {
    let output = dev(args);
    let line = String::from_utf8(output.stderr).expect("text");
    assert_eq!(line.lines().count(), 1, "{line}");
    (output.status.code().expect("it exits by itself"), line)
}

#[test]
fn bad_usage_is_named_and_exits_with_2() {
    for (args, part) in [
        (vec!["fly"], "no such command: fly"),
        (vec!["up", "--fast"], "no such option: --fast"),
        (vec!["up", "--replicas", "redis=2"], "not redis=2"),
    ] {
        let (code, line) = refused(&args);
        assert_eq!(code, 2, "{line}");
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn help_is_printed() {
    for args in [&["--help"][..], &["up", "--help"], &["test", "--help"]] {
        let output = dev(args);
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("cargo dev"));
    }
}

#[test]
fn a_second_up_in_the_same_folder_is_refused() {
    let dir = Dir::new("second");
    let lock = File::create(dir.0.join("lock")).unwrap();
    lock.lock().unwrap();
    fs::write(dir.0.join("lock"), "4242").unwrap();
    let (code, line) = refused(&["up", "--dir", dir.name()]);
    assert_eq!(code, 1);
    assert!(
        line.contains("already runs") && line.contains("4242") && line.contains("cargo dev down"),
        "{line}"
    );
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let dir = Dir::new("file");
    let file = dir.0.join("file");
    fs::write(&file, "").unwrap();
    let (code, line) = refused(&["up", "--dir", file.join("inside").to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(line.contains("cannot create"), "{line}");
}

#[test]
fn external_servers_have_to_be_named() {
    let dir = Dir::new("external");
    let (code, line) = refused(&["up", "--external", "--dir", dir.name()]);
    assert_eq!(code, 2);
    assert!(line.contains("EXTERNAL_POSTGRES_URL"), "{line}");
}

#[test]
fn down_says_when_nothing_runs() {
    let dir = Dir::new("down");
    let output = dev(&["down", "--dir", dir.name()]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("no `cargo dev up` runs"));
}
