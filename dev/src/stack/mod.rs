//! The whole platform as processes: `cargo dev up` keeps one alive, end-to-end tests start and break their own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::{Value, json};
use testkit::error::{Context, Error, Result};
use testkit::process::{Process, Server};

use crate::keys;
use crate::servers::Servers;
use crate::services::{self, Instance, Plan, SANDBOX};

mod options;
mod start;

pub use options::Options;

/// A running platform. Dropping it stops everything it started.
pub struct Stack {
    options: Options,
    plan: Plan,
    /// In the order of starts; what stops first is last.
    services: Vec<(Instance, Mutex<Process>)>,
    servers: Option<Mutex<Servers>>,
    seed: Value,
}

impl Stack {
    /// Starts servers (unless given), makes keys, starts all services and the payment sandbox, waits until all are
    /// ready, prepares the accounts and writes `stack.json`.
    ///
    /// # Errors
    /// Anything that does not come up, in one line with its log; then nothing is left running.
    pub fn start(options: Options) -> Result<Self> {
        let mut servers = match &options.servers {
            Some(_) => None,
            None => Some(Servers::start(&options.dir)?),
        };
        for (name, address, server) in servers.iter_mut().flat_map(Servers::all) {
            let process = server.process();
            (options.progress)(name, &address, process.pid(), process.log().unwrap_or(Path::new("-")));
        }
        let logs = options.dir.join("logs");
        fs::create_dir_all(&logs).context(format!("cannot create {}", logs.display()))?;
        let given = options.servers.clone();
        let plan = Plan {
            instances: Vec::new(),
            servers: given.or_else(|| servers.as_ref().map(Servers::addresses)).expect("given or started"),
            keys: keys::ensure(&options.keys, &options.programs, &logs.join("keygen.log"))?,
            database_prefix: options.database_prefix.clone(),
            redis_database: options.redis_database,
            topic_prefix: options.topic_prefix.clone(),
            web: crate::root().join("web"),
            images: options.dir.join("images"),
        };
        let servers = servers.map(Mutex::new);
        let mut stack = Self { options, plan, services: Vec::new(), servers, seed: Value::Null };
        stack.start_services()?;
        stack.seed = stack.run_seed()?;
        stack.write_json()?;
        Ok(stack)
    }

    /// The public address of the first gateway.
    pub fn gateway(&self) -> String {
        self.urls("gateway").swap_remove(0)
    }

    /// The addresses of a service's processes, in the order of their numbers.
    pub fn urls(&self, service: &str) -> Vec<String> {
        self.plan.urls(service)
    }

    /// The gateways' private listeners.
    pub fn gateway_admins(&self) -> Vec<String> {
        self.instances_of("gateway").map(Instance::admin_url).collect()
    }

    /// The payment sandbox.
    pub fn payment_sandbox(&self) -> String {
        self.urls(SANDBOX).swap_remove(0)
    }

    /// Redis, with this stack's database number.
    pub fn redis(&self) -> String {
        self.plan.redis()
    }

    /// The database of `user`, `product` or `order`.
    pub fn database(&self, service: &str) -> Option<String> {
        self.plan.database(service)
    }

    /// Kafka's bootstrap address.
    pub fn kafka(&self) -> &str {
        &self.plan.servers.kafka
    }

    /// What stands before the names of this stack's topics and consumer groups.
    pub fn topic_prefix(&self) -> &str {
        &self.plan.topic_prefix
    }

    /// What `user seed` answered: `accounts` and `shoppers`.
    pub fn seed(&self) -> &Value {
        &self.seed
    }

    /// The file that names all this for other programs.
    pub fn json_path(&self) -> PathBuf {
        self.options.dir.join("stack.json")
    }

    /// The folder of the services' logs.
    pub fn logs(&self) -> PathBuf {
        self.options.dir.join("logs")
    }

    /// The path of a built program, as `loadtest`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.options.programs.join(name)
    }

    /// The names of all processes, as [`Stack::kill9`] takes them.
    pub fn names(&self) -> Vec<String> {
        let servers = self.servers.iter().flat_map(|_| Servers::NAMES).map(str::to_owned);
        servers.chain(self.services.iter().map(|(instance, _)| instance.name.clone())).collect()
    }

    /// Kills a process (`order-1`, `redis`) with SIGKILL.
    ///
    /// # Errors
    /// There is no such process in this stack.
    pub fn kill9(&self, name: &str) -> Result<()> {
        self.with(name, |server| {
            server.kill9();
            Ok(())
        })
    }

    /// Starts a killed process again on the same address, and waits until it is ready.
    ///
    /// # Errors
    /// There is no such process in this stack, or it does not come up.
    pub fn restart(&self, name: &str) -> Result<()> {
        self.with(name, |server| server.restart())?;
        // It has a new pid.
        self.write_json()
    }

    /// Processes that ended though nobody stopped them: what to say about each.
    pub fn dead(&self) -> Vec<(String, String)> {
        let dead = |name: String| {
            let said = self.with(&name, |server| {
                let process = server.process();
                Ok(process.exited().map(|status| process.failure(&format!("died ({status})")).to_string()))
            });
            said.ok().flatten().map(|line| (name, line))
        };
        self.names().into_iter().filter_map(dead).collect()
    }

    /// Stops everything within 10 s: gateways, services, the sandbox, own servers.
    pub fn stop(&mut self) {
        self.stop_services();
        if let Some(servers) = &self.servers {
            held(servers).stop();
        }
    }

    /// Everything another program has to know of this stack.
    pub fn json(&self) -> Value {
        let databases: BTreeMap<_, _> = services::DATABASES
            .iter()
            .filter_map(|(owner, _)| Some((*owner, self.database(owner)?)))
            .collect();
        let (mut pids, mut logs) = (BTreeMap::new(), BTreeMap::new());
        for name in self.names() {
            let found = self.with(&name, |server| {
                let process = server.process();
                Ok((process.pid(), process.log().map(Path::to_owned)))
            });
            let (pid, log) = found.expect("the names are this stack's own");
            pids.insert(name.clone(), pid);
            logs.insert(name, log);
        }
        let admins = self.gateway_admins();
        let mut json = json!({
            "gateway": self.gateway(),
            "gatewayAdmin": admins[0],
            "queueServer": self.urls("queue-server"),
            "product": self.urls("product"),
            "order": self.urls("order"),
            "user": self.urls("user"),
            "redis": self.redis(),
            "postgres": databases,
            "kafka": self.kafka(),
            "kafkaTopicPrefix": self.topic_prefix(),
            "paymentSandbox": self.payment_sandbox(),
            "pids": pids,
            "logs": logs,
            "devKeys": {
                "identity": self.plan.keys.identity,
                "kid": self.plan.keys.identity_kid,
                "pass": self.plan.keys.pass,
                "internal": self.plan.keys.internal,
            },
            "accounts": self.seed["accounts"],
            "shoppers": self.seed["shoppers"],
        });
        if admins.len() > 1 {
            json["gateways"] = json!(self.urls("gateway"));
            json["gatewayAdmins"] = json!(admins);
        }
        json
    }

    fn write_json(&self) -> Result<()> {
        let path = self.json_path();
        let text = serde_json::to_string_pretty(&self.json()).context("stack.json")?;
        fs::write(&path, text).context(format!("cannot write {}", path.display()))
    }

    fn instances_of(&self, service: &str) -> impl Iterator<Item = &Instance> {
        self.plan.instances.iter().filter(move |instance| instance.service == service)
    }

    fn with<T>(&self, name: &str, act: impl FnOnce(&mut dyn Server) -> Result<T>) -> Result<T> {
        if let Some((_, process)) = self.services.iter().find(|(instance, _)| instance.name == name) {
            return act(&mut *held(process));
        }
        let mut servers = self.servers.as_ref().map(held);
        let mut all = servers.iter_mut().flat_map(|servers| servers.all());
        match all.find(|(server, _, _)| *server == name) {
            Some((_, _, server)) => act(server),
            None => Err(Error::new(format!("this stack has no {name}"))),
        }
    }

    fn stop_services(&self) {
        let groups: [fn(&str) -> bool; 3] =
            [|name| name == "gateway", |name| name != "gateway" && name != SANDBOX, |name| name == SANDBOX];
        for group in groups {
            thread::scope(|scope| {
                for (_, process) in self.services.iter().filter(|(instance, _)| group(instance.service)) {
                    scope.spawn(|| held(process).stop());
                }
            });
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A process stays usable when a test panicked while it held it.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
