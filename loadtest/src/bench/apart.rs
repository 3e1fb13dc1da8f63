//! A core for one service alone: what it does there is measured beside what that core can do at most.

use anyhow::ensure;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::process::Process;
use crate::stack::Stack;

/// While this lives, one core belongs to one service, and the platform's other processes and this one share the others.
pub(super) struct Apart {
    own: CpuSet,
    all: CpuSet,
    processes: Vec<Process>,
}

impl Apart {
    /// Gives the first core to a service.
    ///
    /// # Errors
    /// On a machine with one core; or when the system refuses.
    pub(super) fn of(stack: &Stack, service: &str) -> anyhow::Result<Self> {
        let all = sched_getaffinity(Pid::from_raw(0))?;
        let is_allowed = |core: &usize| all.is_set(*core).unwrap_or(false);
        let cores: Vec<usize> = (0..CpuSet::count()).filter(is_allowed).collect();
        ensure!(cores.len() > 1, "a core for {service} alone takes a machine with two");
        let (mut own, mut others) = (CpuSet::new(), CpuSet::new());
        own.set(cores[0])?;
        cores[1..].iter().try_for_each(|core| others.set(*core))?;
        let served = Process::all(stack, service);
        let rest = stack.pids.values().copied().map(Process::numbered).filter(|one| !served.contains(one));
        let rest: Vec<_> = rest.chain([Process::own()]).collect();
        // Whatever happens from here on is undone.
        let apart = Self { own, all, processes: served.iter().chain(&rest).copied().collect() };
        served.iter().try_for_each(|one| one.run_on(&own))?;
        rest.iter().try_for_each(|one| one.run_on(&others))?;
        Ok(apart)
    }

    /// Moves the calling thread to the service's core.
    pub(super) fn enter(cores: &CpuSet) {
        // Where that is refused now, it was refused before.
        sched_setaffinity(Pid::from_raw(0), cores).ok();
    }

    /// The service's core.
    pub(super) fn core(&self) -> CpuSet {
        self.own
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        for one in &self.processes {
            one.run_on(&self.all).ok();
        }
    }
}
