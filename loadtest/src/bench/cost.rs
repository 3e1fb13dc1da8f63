//! Processor time that an order, or a login, takes of each process on its way: the figure that other work on the machine
//! does not change.

use super::board::Part;
use super::process::{Cpu, Process};
use crate::stack::Stack;

/// Processes on an order's way, by their names in `stack.json`.
const ORDERS_WAY: [&str; 7] = ["gateway", "order", "product", "queue-server", "postgres", "kafka", "redis"];

/// Processor time of each process until now.
pub(super) struct Cost(Vec<(&'static str, Process, Cpu)>);

impl Cost {
    /// Begins to count what orders take.
    pub(super) fn begin(stack: &Stack) -> anyhow::Result<Self> {
        Self::along(stack, &ORDERS_WAY)
    }

    /// Begins to count these processes, where `stack.json` names them.
    pub(super) fn along(stack: &Stack, way: &[&'static str]) -> anyhow::Result<Self> {
        let known =
            way.iter().flat_map(|name| Process::all(stack, name).into_iter().map(move |one| (*name, one)));
        Self::of(known)
    }

    /// Begins to count these.
    pub(super) fn of(processes: impl IntoIterator<Item = (&'static str, Process)>) -> anyhow::Result<Self> {
        let begun = processes.into_iter().map(|(name, process)| Ok((name, process, process.family_cpu()?)));
        Ok(Self(begun.collect::<anyhow::Result<_>>()?))
    }

    /// What was used since, by process, in seconds.
    pub(super) fn end(self) -> anyhow::Result<Spent> {
        let mut spent = Vec::<(&'static str, Cpu)>::new();
        for (name, process, before) in self.0 {
            let cpu = process.family_cpu()?.since(before);
            match spent.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum = Cpu { user: sum.user + cpu.user, system: sum.system + cpu.system },
                None => spent.push((name, cpu)),
            }
        }
        Ok(Spent(spent))
    }
}

/// Processor time that each process used.
#[derive(Debug)]
pub(super) struct Spent(Vec<(&'static str, Cpu)>);

impl Spent {
    /// What the generator used beside them.
    pub(super) fn with_generator(mut self, cpu_s: f64) -> Self {
        self.0.push(("generator", Cpu { user: cpu_s, system: 0.0 }));
        self
    }

    /// Shows it per order.
    pub(super) fn show(&self, part: &mut Part, orders: u64) {
        self.show_for_each(part, orders, "µs CPU/order");
    }

    /// Shows it for each of so many; `unit`: µs of processor time per what.
    pub(super) fn show_for_each(&self, part: &mut Part, count: u64, unit: &'static str) {
        let each = |cpu_s: f64| cpu_s * 1e6 / count.max(1) as f64;
        for (name, cpu) in &self.0 {
            let kernel = if cpu.system > 0.0 {
                format!(", {:.0} of it in the kernel", each(cpu.system))
            } else {
                String::new()
            };
            part.seen(format!("{name}{kernel}"), each(cpu.total()), unit);
        }
        let sum = self.0.iter().map(|(_, cpu)| cpu.total()).sum();
        part.seen("all of these", each(sum), unit);
    }
}
