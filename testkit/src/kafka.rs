//! Apache Kafka as a child process: one node that is broker and controller, `java` started without a shell script.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Context, Error, Result};
use crate::port;
use crate::process::{Process, Server, Spec, run_checked};

/// A killed broker may return only after its session of 3 s ended, and first recovers all its logs.
const READY_WITHIN: Duration = Duration::from_secs(180);
const STOP_WITHIN: Duration = Duration::from_millis(3500);
const PROBE_WITHIN: Duration = Duration::from_secs(2);

const LOGGING: &str = "status=error
appender.c.type=Console
appender.c.name=STDOUT
appender.c.layout.type=PatternLayout
appender.c.layout.pattern=%d{ISO8601} %-5p %c{1} - %m%n
rootLogger.level=info
rootLogger.appenderRef.c.ref=STDOUT
# Otherwise each start prints 300 lines of settings.
logger.cfg.name=org.apache.kafka.common.config.AbstractConfig
logger.cfg.level=warn
";

/// A Kafka broker on the loopback address.
pub struct Kafka {
    process: Process,
    port: u16,
}

impl Kafka {
    /// Starts a broker on `port` with its data and log under `dir` and waits until it answers with metadata. The
    /// jars are those of [`crate::jars::ensure`].
    ///
    /// # Errors
    /// The folder cannot be written, or the broker does not come up.
    pub fn start(dir: &Path, port: u16, jars: &Path) -> Result<Self> {
        Self::start_behind(dir, port, port, jars)
    }

    /// The same for a broker that clients reach at another port, on which somebody passes everything on to it.
    ///
    /// # Errors
    /// As [`Kafka::start`].
    pub fn start_behind(dir: &Path, port: u16, advertised: u16, jars: &Path) -> Result<Self> {
        fs::create_dir_all(dir).context(format!("cannot create {}", dir.display()))?;
        let dir = fs::canonicalize(dir).context(format!("cannot open {}", dir.display()))?;
        let settings = dir.join("server.properties");
        let logging = dir.join("log4j2.properties");
        write(&settings, &server_properties(&dir, (port, advertised), port::pick()?))?;
        write(&logging, LOGGING)?;
        let cluster = format(&dir, &settings, jars)?;
        let spec = Spec::new("kafka", "java")
            .args(["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true"])
            .args([format!("-Dlog4j2.configurationFile={}", logging.display())])
            .args(["-cp".into(), class_path(jars), "kafka.Kafka".into(), settings.into_os_string()])
            .dir(&dir)
            .log(dir.join("kafka.log"))
            .stop("TERM", STOP_WITHIN)
            .ready(READY_WITHIN, move |_| probe(port, &cluster));
        Ok(Self { process: Process::start(spec)?, port })
    }

    /// `127.0.0.1:<port>`, the bootstrap address.
    pub fn url(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Server for Kafka {
    fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn server_properties(dir: &Path, (port, advertised): (u16, u16), controller: u16) -> String {
    let data = data_dir(dir);
    let data = data.display();
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{advertised}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
num.partitions=4
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# Static members of a group use 6 s, the least that is allowed by default.
group.min.session.timeout.ms=1000
num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.dedupe.buffer.size=16777216
# A killed broker is taken back only after its old session ended: 9 s by default.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"
    )
}

pub(crate) fn data_dir(dir: &Path) -> PathBuf {
    dir.join("data")
}

fn class_path(jars: &Path) -> std::ffi::OsString {
    jars.join("*").into_os_string()
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).context(format!("cannot write {}", path.display()))
}

/// Makes the data folder unless it is there already, and returns the cluster's id.
fn format(dir: &Path, settings: &Path, jars: &Path) -> Result<String> {
    let meta = data_dir(dir).join("meta.properties");
    if let Some(id) = cluster_id(&meta) {
        return Ok(id);
    }
    // A format that was cut short leaves a folder that the next one refuses.
    if data_dir(dir).exists() {
        fs::remove_dir_all(data_dir(dir)).context("cannot remove a half-made Kafka folder")?;
    }
    let spec = Spec::new("Kafka's format tool", "java")
        .args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"])
        .args([class_path(jars)])
        .args(["kafka.tools.StorageTool", "format", "-t", &new_cluster_id()?, "-c"])
        .args([settings])
        .dir(dir)
        .log(dir.join("kafka.log"));
    run_checked(spec)?;
    cluster_id(&meta).ok_or_else(|| Error::new(format!("Kafka's format tool wrote no {}", meta.display())))
}

fn cluster_id(meta: &Path) -> Option<String> {
    let text = fs::read_to_string(meta).ok()?;
    text.lines().find_map(|line| line.strip_prefix("cluster.id=")).map(str::to_owned)
}

/// 16 random bytes in URL-safe base64 without padding, as Kafka writes ids.
fn new_cluster_id() -> Result<String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0; 16];
    let mut random = fs::File::open("/dev/urandom").context("cannot open /dev/urandom")?;
    random.read_exact(&mut bytes).context("cannot read /dev/urandom")?;
    let number = u128::from_be_bytes(bytes);
    let digit = |index: u32| {
        let shift = 122_i64 - 6 * i64::from(index);
        let bits = if shift >= 0 { number >> shift } else { number << -shift };
        // A leading '-' would be taken for an option.
        let value = if index == 0 { bits % 62 } else { bits % 64 };
        char::from(DIGITS[usize::try_from(value).expect("below 64")])
    };
    Ok((0..22).map(digit).collect())
}

/// Ready when the broker speaks the protocol and names itself in the metadata of its own cluster.
fn probe(port: u16, cluster: &str) -> std::result::Result<(), String> {
    let answer = metadata(port).map_err(|error| error.to_string())?;
    match parse_metadata(&answer) {
        Some((0, _)) => Err("no broker in the metadata yet".to_owned()),
        Some((_, id)) if id == cluster => Ok(()),
        Some(_) => Err(format!("another Kafka answers on port {port}")),
        None => Err("an answer that is not Kafka's".to_owned()),
    }
}

/// Asks for the versions of the protocol, then for the metadata without topics.
fn metadata(port: u16) -> std::io::Result<Vec<u8>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PROBE_WITHIN)?;
    stream.set_read_timeout(Some(PROBE_WITHIN))?;
    // Request header v1: api key, api version, correlation id, client id. https://kafka.apache.org/protocol.html
    request(&mut stream, &[0, 18, 0, 0, 0, 0, 0, 1, 0, 0])?;
    request(&mut stream, &[0, 3, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0])
}

fn request(stream: &mut TcpStream, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let length = u32::try_from(body.len()).expect("a few bytes");
    stream.write_all(&[&length.to_be_bytes(), body].concat())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length).min(1 << 20);
    let mut answer = vec![0; usize::try_from(length).expect("at most 1 MiB")];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// Number of brokers and cluster id of a Metadata response v2.
fn parse_metadata(answer: &[u8]) -> Option<(u32, String)> {
    let mut rest = answer.get(4..)?;
    let brokers = u32::from_be_bytes(take(&mut rest, 4)?.try_into().ok()?);
    for _ in 0..brokers {
        take(&mut rest, 4)?;
        string(&mut rest)?;
        take(&mut rest, 4)?;
        string(&mut rest)?;
    }
    Some((brokers, string(&mut rest)?))
}

/// A string with its length in two bytes; -1 means none.
fn string(rest: &mut &[u8]) -> Option<String> {
    let length = i16::from_be_bytes(take(rest, 2)?.try_into().ok()?);
    let bytes = take(rest, usize::try_from(length).unwrap_or(0))?;
    String::from_utf8(bytes.to_vec()).ok()
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    Some(head)
}
