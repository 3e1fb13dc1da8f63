//! The start of a stack: all services at once, then the accounts.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use testkit::error::{Context, Error, Result};
use testkit::http;
use testkit::process::{Process, Spec, run_checked};

use super::{Stack, held};
use crate::services::{self, Instance, SANDBOX};

/// Services migrate their databases and wait for their servers before they are ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The orderly stop of a whole stack takes at most 10 s: these three and the servers' own 3.5 s.
const GATEWAY_STOP: Duration = Duration::from_millis(2_000);
const SERVICE_STOP: Duration = Duration::from_millis(3_000);
const SANDBOX_STOP: Duration = Duration::from_millis(1_000);

/// How often all services are started on other ports when somebody took one meanwhile.
const PORT_TRIES: usize = 3;

impl Stack {
    pub(super) fn start_services(&mut self) -> Result<()> {
        let mut tries = 0;
        loop {
            tries += 1;
            // The others know each other's addresses, so one taken port means new ports for all.
            self.plan.instances = services::instances(&self.options.replicas)?;
            match self.start_all() {
                Ok(()) => return Ok(()),
                Err(error) => {
                    self.stop_services();
                    self.services.clear();
                    if !(error.is_port_taken() && tries < PORT_TRIES) {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Starts all at the same time; when one fails, the others are not waited for.
    fn start_all(&mut self) -> Result<()> {
        let failed = Arc::new(AtomicBool::new(false));
        let first_error = Mutex::new(None);
        let started: Vec<_> = thread::scope(|scope| {
            let start = |instance| match self.start_one(instance, &failed) {
                Ok(process) => Some((Instance::clone(instance), Mutex::new(process))),
                Err(error) => {
                    // First the reason, so that no failure of one that gave up takes its place.
                    held(&first_error).get_or_insert(error);
                    failed.store(true, Ordering::Relaxed);
                    None
                }
            };
            let start = Arc::new(start);
            let spawn = |instance| {
                let start = start.clone();
                scope.spawn(move || start(instance))
            };
            let threads: Vec<_> = self.plan.instances.iter().map(spawn).collect();
            threads.into_iter().filter_map(|thread| thread.join().expect("a start does not panic")).collect()
        });
        self.services = started;
        first_error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    fn start_one(&self, instance: &Instance, failed: &Arc<AtomicBool>) -> Result<Process> {
        let process = Process::start(self.spec(instance, failed))?;
        let log = process.log().unwrap_or(Path::new("-"));
        (self.options.progress)(&instance.name, &instance.url(), process.pid(), log);
        Ok(process)
    }

    fn spec(&self, instance: &Instance, failed: &Arc<AtomicBool>) -> Spec {
        let stop = match instance.service {
            "gateway" => GATEWAY_STOP,
            SANDBOX => SANDBOX_STOP,
            _ => SERVICE_STOP,
        };
        let readyz = format!("{}/readyz", instance.admin_url());
        let mut spec = Spec::new(&instance.name, self.options.programs.join(instance.service))
            .log(self.options.dir.join("logs").join(format!("{}.log", instance.name)))
            .stop("TERM", stop)
            .give_up(failed.clone())
            .ready(READY_WITHIN, move |_| http::is_ok(&readyz));
        for (name, value) in self.plan.settings(instance) {
            spec = spec.env(name, value);
        }
        for (name, value) in &self.options.settings {
            spec = spec.env(name, value);
        }
        spec
    }

    /// Runs `user seed` and reads the JSON object it prints.
    pub(super) fn run_seed(&self) -> Result<Value> {
        let user = self.instances_of("user").next().expect("every stack has a user service");
        let logs = self.options.dir.join("logs");
        let answer = logs.join("seed.json");
        let mut spec = Spec::new("user seed", self.options.programs.join("user"))
            .args(["seed", "--shoppers", &self.options.shoppers.to_string()])
            .answer(&answer)
            .log(logs.join("seed.log"));
        for (name, value) in self.plan.settings(user) {
            spec = spec.env(name, value);
        }
        run_checked(spec)?;
        let text = fs::read_to_string(&answer).context(format!("cannot read {}", answer.display()))?;
        let json: Value = serde_json::from_str(&text).context(format!("{} is not JSON", answer.display()))?;
        let complete = json["accounts"].is_object() && json["shoppers"].is_object();
        complete.then_some(json).ok_or_else(|| {
            Error::new(format!(
                "`user seed` did not print accounts and shoppers (answer: {})",
                answer.display()
            ))
        })
    }
}
