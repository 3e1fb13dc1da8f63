//! The proxies: the gateway, and beside it HAProxy and nginx with as much of its work as they can do.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::keys::Keys;
use crate::bench::process::Process;

/// Until a proxy listens.
const READY_MAX: Duration = Duration::from_secs(10);

/// A proxy on one core, in front of the backend.
pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    /// What its requests carry.
    pub(super) token: Token,
    child: Child,
}

/// What a proxy checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// The platform's own.
    EdDsa,
    Es256,
    Hs256,
    /// Nothing, but it is sent all the same.
    Unchecked,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Peer {
    pub(super) fn process(&self) -> Process {
        Process::numbered(self.child.id())
    }

    fn start(
        name: &'static str,
        token: Token,
        address: SocketAddr,
        mut command: Command,
        log: Stdio,
    ) -> anyhow::Result<Self> {
        command.stdout(log).stderr(Stdio::null()).stdin(Stdio::null());
        let child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        let mut peer = Self { name, address, token, child };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            ensure!(began.elapsed() < READY_MAX, "{name} does not listen");
            if let Some(status) = peer.child.try_wait()? {
                bail!("{name} ended: {status}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(peer)
    }

    /// The gateway as it is built beside this program.
    pub(super) fn gateway(keys: &Keys, backend: SocketAddr) -> anyhow::Result<Self> {
        let (address, command) = door(keys, backend)?;
        Self::start("gateway", Token::EdDsa, address, command, Stdio::null())
    }

    /// The same with a line for each request, in a file.
    pub(super) fn logging_gateway(keys: &Keys, backend: SocketAddr) -> anyhow::Result<Self> {
        let (address, mut command) = door(keys, backend)?;
        command.env("LOG", "info,gateway=debug").env("LOG_FORMAT", "json");
        let log = fs::File::create(keys.folder.join("access.log"))?;
        Self::start("gateway, access log", Token::EdDsa, address, command, log.into())
    }

    /// HAProxy as Debian has it; `None` where it is not installed.
    pub(super) fn haproxy(keys: &Keys, backend: SocketAddr, token: Token) -> anyhow::Result<Option<Self>> {
        let Some(program) = installed("haproxy") else { return Ok(None) };
        let address = free()?;
        let (name, check) = match token {
            Token::Es256 => ("HAProxy, ES256", check("ES256", &keys.es256_public.display().to_string())),
            Token::Hs256 => ("HAProxy, HS256", check("HS256", &keys.secret)),
            Token::EdDsa | Token::Unchecked => ("HAProxy, no check", String::new()),
        };
        let text = format!(
            "global\n  nbthread 1\n  maxconn 4000\ndefaults\n  mode http\n  timeout connect 1s\n  timeout client 60s\n  \
             timeout server 60s\n  timeout http-request 10s\n  http-reuse always\nfrontend door\n  bind {address}\n\
             {check}  default_backend service\nbackend service\n  server one {backend}\n"
        );
        let file = keys.folder.join(format!("haproxy-{token:?}.cfg"));
        fs::write(&file, text)?;
        let mut command = pinned(&program);
        command.arg("-db").arg("-f").arg(&file);
        Self::start(name, token, address, command, Stdio::null()).map(Some)
    }

    /// nginx as Debian has it; `None` where it is not installed. It checks nothing.
    pub(super) fn nginx(keys: &Keys, backend: SocketAddr) -> anyhow::Result<Option<Self>> {
        let Some(program) = installed("nginx") else { return Ok(None) };
        let address = free()?;
        let folder = keys.folder.display();
        let text = format!(
            "daemon off;\nmaster_process off;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.log;\n\
             events {{ worker_connections 4000; }}\nhttp {{\n  access_log off;\n  client_body_temp_path {folder}/nginx-body;\n  \
             proxy_temp_path {folder}/nginx-proxy;\n  fastcgi_temp_path {folder}/nginx-f;\n  uwsgi_temp_path {folder}/nginx-u;\n  \
             scgi_temp_path {folder}/nginx-s;\n  keepalive_requests 1000000000;\n  upstream service {{ server {backend}; keepalive 256; \
             keepalive_requests 1000000000; }}\n  server {{\n    listen {address};\n    location / {{\n      \
             proxy_pass http://service;\n      proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n    }}\n  }}\n}}\n"
        );
        let file = keys.folder.join("nginx.conf");
        fs::write(&file, text)?;
        let mut command = pinned(&program);
        command.arg("-c").arg(&file);
        Self::start("nginx, no check", Token::Unchecked, address, command, Stdio::null()).map(Some)
    }
}

/// Where the gateway will listen, and how it is started.
fn door(keys: &Keys, backend: SocketAddr) -> anyhow::Result<(SocketAddr, Command)> {
    let address = free()?;
    let program = std::env::current_exe()?.with_file_name("gateway");
    ensure!(program.exists(), "{} is not there: build the gateway the same way", program.display());
    let mut command = pinned(&program);
    let upstream = format!("http://{backend}");
    for name in ["USER_UPSTREAMS", "PRODUCT_UPSTREAMS", "ORDER_UPSTREAMS", "QUEUE_UPSTREAMS"] {
        command.env(name, &upstream);
    }
    for name in ["IDENTITY_JWKS_URL", "PASS_JWKS_URL"] {
        command.env(name, format!("{upstream}/keys"));
    }
    command
        .env("GATEWAY_LISTEN", address.to_string())
        .env("GATEWAY_ADMIN_LISTEN", free()?.to_string())
        .env("GATEWAY_WORKERS", "1")
        // Limits are looked at, and never reached.
        .env("GATEWAY_RATE_FACTOR", "1000")
        .env("INTERNAL_KEY_FILE", &keys.internal)
        .env("WEB_ROOT", &keys.web)
        .env("REDIS_URL", "redis://127.0.0.1:1/0");
    Ok((address, command))
}

/// What the gateway does with a token, as far as HAProxy can: algorithm, signature, end and role; the identity in headers,
/// those of the client removed.
fn check(algorithm: &str, key: &str) -> String {
    format!(
        "  http-request del-header X-User-Id\n  http-request del-header X-User-Role\n  \
         http-request set-var(txn.bearer) http_auth_bearer\n  \
         http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_header_query('$.alg') -m str {algorithm} }}\n  \
         http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_verify(\"{algorithm}\",\"{key}\") -m int 1 }}\n  \
         http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')\n  \
         http-request set-var(txn.now) date()\n  \
         http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}\n  \
         http-request set-var(txn.role) var(txn.bearer),jwt_payload_query('$.role')\n  \
         http-request deny deny_status 403 unless {{ var(txn.role) -m str CUSTOMER SELLER MANAGER ADMIN }}\n  \
         http-request set-header X-User-Id %[var(txn.bearer),jwt_payload_query('$.sub')]\n  \
         http-request set-header X-User-Role %[var(txn.role)]\n"
    )
}

/// On the first core, where there is the tool for it.
fn pinned(program: &Path) -> Command {
    match installed("taskset") {
        Some(taskset) => {
            let mut command = Command::new(taskset);
            command.args(["-c", "0"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

fn installed(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists())
}

fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").context("no free port")?.local_addr()?)
}
