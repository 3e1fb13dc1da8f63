//! A headless Chromium, over its DevTools protocol: https://chromedevtools.github.io/devtools-protocol/

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use testkit::packages;
use testkit::process::{Process, Spec};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::shop::{PATIENCE, shared};

/// A first start unpacks its profile while the platform starts beside it.
const START_MAX: Duration = Duration::from_secs(60);

/// The browser that all tests share; each has windows of its own.
struct Browser {
    /// Ends with the tests.
    _process: Process,
    socket: String,
}

static BROWSER: LazyLock<Browser> = LazyLock::new(|| Browser::start().expect("the browser starts"));

impl Browser {
    fn start() -> anyhow::Result<Self> {
        let stack = shared().stack.json_path();
        let dir = stack.parent().context("stack.json is in a folder")?.join("browser");
        fs::create_dir_all(&dir)?;
        let said = dir.join("DevToolsActivePort");
        let program = packages::browser().context("no Chromium: cargo dev packages installs it")?;
        let spec = Spec::new("chromium", program)
            .args(["--headless=new", "--remote-debugging-port=0", "--no-first-run", "--mute-audio"])
            // Tests may run as root, and in containers with a small /dev/shm.
            .args(["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"])
            // Every window counts as looked at, also behind another one.
            .args(["--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows"])
            .args(["--disable-renderer-backgrounding", "--disable-features=CalculateNativeWinOcclusion"])
            .args(["--disable-background-networking", "--disable-component-update", "--no-proxy-server"])
            .args([format!("--user-data-dir={}", dir.display()), "about:blank".into()])
            .log(dir.join("browser.log"))
            .ready(START_MAX, {
                let said = said.clone();
                move |_| read_socket(&said).map(drop).ok_or_else(|| "it has not named its port".into())
            });
        let process = Process::start(spec).map_err(|error| anyhow::anyhow!("{error}"))?;
        let socket = read_socket(&said).context("it has not named its port")?;
        Ok(Self { _process: process, socket })
    }
}

/// A file of two lines: the port, and the path of the socket.
fn read_socket(said: &PathBuf) -> Option<String> {
    let said = fs::read_to_string(said).ok()?;
    let (port, path) = said.split_once('\n')?;
    path.starts_with('/').then(|| format!("ws://127.0.0.1:{port}{}", path.trim_end()))
}

/// A connection to the browser. Events are kept until they are asked for.
pub(crate) struct Devtools {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    calls: u64,
    pub(crate) events: Vec<Value>,
}

impl Devtools {
    pub(crate) async fn connect() -> Self {
        // Where it is first asked for, the browser starts; that may take as long as it likes.
        let address = tokio::task::spawn_blocking(|| BROWSER.socket.clone()).await.unwrap();
        let (socket, _) = connect_async(address).await.expect("the browser answers");
        Self { socket, calls: 0, events: Vec::new() }
    }

    /// Calls a method, of the browser itself or of one of its pages, and takes up the events until its answer.
    pub(crate) async fn call(
        &mut self,
        session: Option<&str>,
        method: &str,
        params: Value,
    ) -> anyhow::Result<Value> {
        self.calls += 1;
        let mut call = json!({"id": self.calls, "method": method, "params": params});
        if let Some(session) = session {
            call["sessionId"] = session.into();
        }
        self.socket.send(Message::text(call.to_string())).await?;
        let answer = async {
            while let Some(message) = self.socket.next().await {
                let Message::Text(text) = message? else { continue };
                let mut message: Value = serde_json::from_str(&text)?;
                if message["id"] == self.calls {
                    return Ok(message);
                }
                if message["method"].is_string() {
                    self.events.push(message.take());
                }
            }
            bail!("the browser has gone")
        };
        let mut answer =
            timeout(PATIENCE, answer).await.with_context(|| format!("no answer to {method}"))??;
        if answer["error"].is_object() {
            bail!("{method}: {}", answer["error"]);
        }
        Ok(answer["result"].take())
    }
}
