//! What a process of the platform has taken from the machine, by the kernel's account.

use anyhow::Context as _;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::stack::Stack;

/// Linux counts processor time in hundredths of a second, on every architecture.
const TICKS_PER_S: f64 = 100.0;
/// Assumed where the limit of open files cannot be read.
const FILES_DEFAULT: usize = 1_024;

/// A process of the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process(u32);

/// Processor time in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cpu {
    /// In the program.
    pub(super) user: f64,
    /// In the kernel on its behalf.
    pub(super) system: f64,
}

impl Cpu {
    /// Both; never nothing, so that it can be divided by.
    pub(super) fn total(self) -> f64 {
        (self.user + self.system).max(1.0 / TICKS_PER_S)
    }

    /// What was used since `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self { user: self.user - earlier.user, system: self.system - earlier.system }
    }
}

impl Process {
    /// The first process of a service, or a server.
    pub(super) fn of(stack: &Stack, service: &str) -> anyhow::Result<Self> {
        let found = Self::all(stack, service).into_iter().next();
        found.with_context(|| format!("stack.json names no pid of {service}"))
    }

    /// All processes of a service, in the order of their numbers.
    pub(super) fn all(stack: &Stack, service: &str) -> Vec<Self> {
        let only = stack.pids.get(service).copied();
        let numbered = (1..).map_while(|number| stack.pids.get(&format!("{service}-{number}")).copied());
        numbered.chain(only).map(Self).collect()
    }

    /// The process of that id.
    pub(super) fn numbered(pid: u32) -> Self {
        Self(pid)
    }

    /// This process.
    pub(super) fn own() -> Self {
        Self(std::process::id())
    }

    /// Processor time that it has used.
    pub(super) fn cpu(self) -> anyhow::Result<Cpu> {
        self.read("stat", |stat| Some(Stat::read(stat)?.own))
    }

    /// Processor time that it and its children have used, those that have ended too: of a server with a process per
    /// connection.
    pub(super) fn family_cpu(self) -> anyhow::Result<Cpu> {
        let own = self.read("stat", |stat| Some(Stat::read(stat)?.with_ended()))?;
        let sum = |sum: Cpu, cpu: Cpu| Cpu { user: sum.user + cpu.user, system: sum.system + cpu.system };
        // A child that ends meanwhile counts for its parent next time.
        Ok(self.children()?.map(|(_, child)| child.with_ended()).fold(own, sum))
    }

    fn children(self) -> anyhow::Result<impl Iterator<Item = (Self, Stat)>> {
        let processes = std::fs::read_dir("/proc").context("/proc")?.flatten();
        let children = processes.filter_map(move |entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            let stat = Stat::read(&std::fs::read_to_string(entry.path().join("stat")).ok()?)?;
            (stat.parent == self.0).then_some((Self(number), stat))
        });
        Ok(children)
    }

    /// Lets it and its children run on these cores only, and what they start from now on.
    pub(super) fn run_on(self, cores: &CpuSet) -> anyhow::Result<()> {
        for one in self.children()?.map(|(child, _)| child).chain([self]) {
            let folder = format!("/proc/{}/task", one.0);
            // Threads and children that end meanwhile need no core.
            for thread in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let number = thread.file_name().to_str().and_then(|name| name.parse().ok());
                let number = number.with_context(|| folder.clone())?;
                match sched_setaffinity(Pid::from_raw(number), cores) {
                    Ok(()) | Err(nix::Error::ESRCH) => {}
                    Err(error) => return Err(error).context("cores"),
                }
            }
        }
        Ok(())
    }

    /// Memory that it holds, in bytes.
    pub(super) fn resident(self) -> anyhow::Result<f64> {
        self.read("status", |text| kibibytes(text, "VmRSS:"))
    }

    /// Files that it may open.
    pub(super) fn files_max(self) -> usize {
        self.read("limits", files_max).unwrap_or(FILES_DEFAULT)
    }

    fn read<T>(self, file: &str, value: impl FnOnce(&str) -> Option<T>) -> anyhow::Result<T> {
        let path = format!("/proc/{}/{file}", self.0);
        let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        value(&text).context(path)
    }
}

/// What is needed of a process's `stat`.
struct Stat {
    parent: u32,
    own: Cpu,
    /// Of children that ended.
    ended: Cpu,
}

impl Stat {
    /// Fields are counted from one; the second, the name in brackets, may hold blanks.
    fn read(stat: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |number: usize| Some(fields.get(number - 3)?.parse::<f64>().ok()? / TICKS_PER_S);
        let cpu = |user: usize| Some(Cpu { user: ticks(user)?, system: ticks(user + 1)? });
        Some(Self { parent: fields.get(4 - 3)?.parse().ok()?, own: cpu(14)?, ended: cpu(16)? })
    }

    fn with_ended(&self) -> Cpu {
        Cpu { user: self.own.user + self.ended.user, system: self.own.system + self.ended.system }
    }
}

fn kibibytes(status: &str, name: &str) -> Option<f64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(rest.split_whitespace().next()?.parse::<f64>().ok()? * 1_024.0)
}

/// The soft limit.
fn files_max(limits: &str) -> Option<usize> {
    let rest = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_past_any_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 25 5 20 0 4 0";
        let stat = Stat::read(stat).unwrap();
        assert_eq!((stat.parent, stat.own.user, stat.own.system), (1, 2.5, 0.5));
        assert_eq!(stat.with_ended().user, 2.75);
    }

    #[test]
    fn memory_and_open_files_are_read() {
        assert_eq!(kibibytes("Name:\ta\nVmRSS:\t    2048 kB\n", "VmRSS:"), Some(2_097_152.0));
        let limits =
            "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024    4096    files\n";
        assert_eq!(files_max(limits), Some(1_024));
    }
}
