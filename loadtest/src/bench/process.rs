//! What a process of the platform has taken from the machine, by the kernel's account.

use anyhow::Context as _;

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

    /// This process.
    pub(super) fn own() -> Self {
        Self(std::process::id())
    }

    /// Processor time that it has used.
    pub(super) fn cpu(self) -> anyhow::Result<Cpu> {
        self.read("stat", ticks)
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

/// User and system time: the 14th and 15th field. The second, the name in brackets, may hold blanks.
fn ticks(stat: &str) -> Option<Cpu> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| Some(fields.get(number - 3)?.parse::<f64>().ok()? / TICKS_PER_S);
    Some(Cpu { user: field(14)?, system: field(15)? })
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
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 4 0";
        let cpu = ticks(stat).unwrap();
        assert_eq!((cpu.user, cpu.system), (2.5, 0.5));
    }

    #[test]
    fn memory_and_open_files_are_read() {
        assert_eq!(kibibytes("Name:\ta\nVmRSS:\t    2048 kB\n", "VmRSS:"), Some(2_097_152.0));
        let limits =
            "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024    4096    files\n";
        assert_eq!(files_max(limits), Some(1_024));
    }
}
