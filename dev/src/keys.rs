//! Key files of one stack: made once, kept with the data.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use testkit::error::{Context, Error, Result};
use testkit::process::{Spec, run_checked};

/// The key files of a stack.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    /// Signs identities (PKCS#8).
    pub(crate) identity: PathBuf,
    /// The name of that key in a token's header.
    pub(crate) identity_kid: String,
    /// Signs access tokens (PKCS#8).
    pub(crate) pass: PathBuf,
    /// Shared by the gateway and all services.
    pub(crate) internal: PathBuf,
}

/// Takes the keys in `dir`, and makes those that are not there with the services' own programs.
pub(crate) fn ensure(dir: &Path, programs: &Path, log: &Path) -> Result<Keys> {
    fs::create_dir_all(dir).context(format!("cannot create {}", dir.display()))?;
    let (identity, pass, internal) =
        (dir.join("identity.pem"), dir.join("pass.pem"), dir.join("internal.key"));
    let identity_kid = signing(&identity, programs, "user", log)?;
    signing(&pass, programs, "queue-server", log)?;
    if !internal.exists() {
        write_secret(&internal).context(format!("cannot write {}", internal.display()))?;
    }
    Ok(Keys { identity, identity_kid, pass, internal })
}

/// Makes a signing key unless it is there, and returns its `kid`, which is kept beside it.
fn signing(file: &Path, programs: &Path, program: &str, log: &Path) -> Result<String> {
    let kid_file = file.with_extension("kid");
    if !(file.exists() && kid_file.exists()) {
        let answer = file.with_extension("kid.new");
        let spec = Spec::new(format!("{program} keygen"), programs.join(program))
            .args(["keygen".as_ref(), file.as_os_str()])
            .answer(&answer)
            .log(log);
        run_checked(spec)?;
        fs::rename(&answer, &kid_file).context(format!("cannot write {}", kid_file.display()))?;
    }
    let kid = fs::read_to_string(&kid_file).context(format!("cannot read {}", kid_file.display()))?;
    match kid.trim() {
        "" => Err(Error::new(format!("`{program} keygen` printed no key id (log: {})", log.display()))),
        kid => Ok(kid.to_owned()),
    }
}

/// 32 random bytes in hex, readable by the owner alone.
fn write_secret(path: &Path) -> std::io::Result<()> {
    let mut bytes = [0_u8; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(hex.as_bytes())
}
