//! The processes of a crowd, and what they have to say.

use std::collections::VecDeque;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use common::wire::queue::QueueState;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::Run;
use super::crowd::{News, Tally};
use crate::bench::process::Process;
use crate::report;
use crate::sale::Sale;

/// Open files of a process that are no streams.
pub(super) const FILES_KEPT: usize = 300;
/// A crowd joins and opens its streams within this time.
const OPEN_MAX: Duration = Duration::from_secs(180);
/// A crowd goes home within this time.
const HOME_MAX: Duration = Duration::from_secs(30);

/// The processes that hold the streams.
pub(super) struct Crowds {
    children: Vec<(Child, ChildStdin)>,
    news: mpsc::UnboundedReceiver<(usize, News)>,
    tallies: Vec<Tally>,
    /// Who was told something that nobody has asked for yet.
    told: VecDeque<(usize, QueueState, i64)>,
    started: Instant,
}

impl Crowds {
    /// As many as it takes, each within its limit of open files.
    pub(super) fn start(run: &Run<'_>, sale: &Sale, streams: usize) -> anyhow::Result<Self> {
        let each = Process::own().files_max().saturating_sub(FILES_KEPT);
        let program = std::env::current_exe().context("this program's own path")?;
        let (send, news) = mpsc::unbounded_channel();
        let mut children = Vec::new();
        // 0 is the buyer.
        for (number, first) in (1..=streams).step_by(each).enumerate() {
            let count = each.min(streams + 1 - first);
            children.push(child(&program, run, sale, (first, count), (number, send.clone()))?);
        }
        let tallies = vec![Tally::default(); children.len()];
        Ok(Self { children, news, tallies, told: VecDeque::new(), started: Instant::now() })
    }

    /// Waits until everybody stands in the line.
    pub(super) async fn joined(&mut self) -> anyhow::Result<()> {
        self.all(|news| matches!(news, News::Joined)).await
    }

    /// Has every stream opened and waits for it; says how long the joins and that took.
    pub(super) async fn opened(&mut self) -> anyhow::Result<Duration> {
        for (_, input) in &mut self.children {
            input.write_all(b"open\n").await.context("a crowd went home early")?;
        }
        self.all(|news| matches!(news, News::Opened)).await?;
        Ok(self.started.elapsed())
    }

    async fn all(&mut self, is_it: fn(&News) -> bool) -> anyhow::Result<()> {
        let mut left = self.children.len();
        let wait = async {
            while left > 0 {
                let (number, news) = self.news.recv().await.context("a crowd went home early")?;
                left -= usize::from(is_it(&news));
                note(&mut self.tallies, &mut self.told, number, news);
            }
            Ok(())
        };
        timeout(OPEN_MAX, wait).await.context("the streams are not open in time")?
    }

    /// The next one who was told something.
    pub(super) async fn next(&mut self, until: Instant) -> anyhow::Result<Option<(usize, QueueState, i64)>> {
        loop {
            if let Some(told) = self.told.pop_front() {
                return Ok(Some(told));
            }
            match timeout_at(until, self.news.recv()).await {
                Ok(Some((number, news))) => note(&mut self.tallies, &mut self.told, number, news),
                Ok(None) => bail!("the crowds went home early"),
                Err(_) => return Ok(None),
            }
        }
    }

    /// Reads what has come, and adds up.
    pub(super) fn tally(&mut self) -> Tally {
        while let Ok((number, news)) = self.news.try_recv() {
            note(&mut self.tallies, &mut self.told, number, news);
        }
        let mut all = Tally::default();
        for tally in &self.tallies {
            all.open += tally.open;
            all.places += tally.places;
            all.bytes += tally.bytes;
            all.failed += tally.failed;
            all.cpu_s += tally.cpu_s;
            all.failure = all.failure.or_else(|| tally.failure.clone());
        }
        all
    }

    pub(super) async fn go_home(self) -> anyhow::Result<()> {
        for (mut child, input) in self.children {
            drop(input);
            timeout(HOME_MAX, child.wait()).await.context("a crowd does not go home")??;
        }
        Ok(())
    }
}

fn note(tallies: &mut [Tally], told: &mut VecDeque<(usize, QueueState, i64)>, number: usize, news: News) {
    match news {
        News::Told { person, state, at } => told.push_back((person, state, at)),
        News::Tally(tally) => tallies[number] = tally,
        News::Joined | News::Opened => {}
    }
}

fn child(
    program: &Path,
    run: &Run<'_>,
    sale: &Sale,
    (first, count): (usize, usize),
    (number, send): (usize, mpsc::UnboundedSender<(usize, News)>),
) -> anyhow::Result<(Child, ChildStdin)> {
    let mut child = Command::new(program)
        .arg("crowd")
        .arg("--stack")
        .arg(run.stack_path)
        .args(["--product", &sale.product.to_string()])
        .args(["--first", &first.to_string(), "--count", &count.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting a crowd")?;
    let input = child.stdin.take().context("a crowd without input")?;
    let mut lines = BufReader::new(child.stdout.take().context("a crowd without output")?).lines();
    #[expect(clippy::disallowed_methods, reason = "ends with the child's output")]
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            match serde_json::from_str(&line) {
                Ok(news) => drop(send.send((number, news))),
                Err(error) => report::fail(&format!("a crowd said {line}: {error}")),
            }
        }
    });
    Ok((child, input))
}
