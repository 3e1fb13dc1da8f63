//! The table of services: program, settings and where each answers that it is ready.

use std::collections::BTreeMap;
use std::path::PathBuf;

use testkit::error::Result;
use testkit::port;

use crate::keys::Keys;
use crate::servers::Addresses;

/// Services of which several can run.
pub(crate) const REPLICATED: [&str; 5] = ["user", "product", "order", "queue-server", "gateway"];

/// The payment provider's stand-in.
pub(crate) const SANDBOX: &str = "payment-sandbox";

/// Secret and public key of the shop at the payment sandbox.
const PAYMENT_KEYS: (&str, &str) = ("test_sk_astraphe", "test_ck_astraphe");

/// Services with a database of their own, and its name.
pub(crate) const DATABASES: [(&str, &str); 3] =
    [("user", "users"), ("product", "product"), ("order", "orders")];

/// One process of a service.
#[derive(Debug, Clone)]
pub struct Instance {
    /// The service, which is also its program: `order`.
    pub service: &'static str,
    /// Its own name: `order-1`; the sandbox, of which there is one, has no number.
    pub name: String,
    port: u16,
    /// The gateway's private listener.
    admin: Option<u16>,
}

impl Instance {
    fn new(service: &'static str, name: String) -> Result<Self> {
        let admin = (service == "gateway").then(port::pick).transpose()?;
        Ok(Self { service, name, port: port::pick()?, admin })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where `/readyz` and `/metrics` are: the gateway has a private listener for them.
    pub fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin.unwrap_or(self.port))
    }
}

/// What every service of a stack has to know: all addresses are chosen before the first one starts, so that the order
/// of starts does not matter.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) instances: Vec<Instance>,
    pub(crate) servers: Addresses,
    pub(crate) keys: Keys,
    pub(crate) database_prefix: String,
    pub(crate) redis_database: u16,
    pub(crate) topic_prefix: String,
    pub(crate) web: PathBuf,
    /// The folder of uploaded pictures.
    pub(crate) images: PathBuf,
}

/// One instance of each service, or as many as asked for.
pub(crate) fn instances(replicas: &BTreeMap<String, usize>) -> Result<Vec<Instance>> {
    let mut instances = vec![Instance::new(SANDBOX, SANDBOX.to_owned())?];
    for service in REPLICATED {
        for number in 1..=replicas.get(service).copied().unwrap_or(1) {
            instances.push(Instance::new(service, format!("{service}-{number}"))?);
        }
    }
    Ok(instances)
}

impl Plan {
    /// The addresses of a service.
    pub(crate) fn urls(&self, service: &str) -> Vec<String> {
        self.instances.iter().filter(|one| one.service == service).map(Instance::url).collect()
    }

    fn first(&self, service: &str) -> String {
        self.urls(service).swap_remove(0)
    }

    /// The database of a service.
    pub(crate) fn database(&self, service: &str) -> Option<String> {
        let (_, name) = DATABASES.iter().find(|(owner, _)| *owner == service)?;
        Some(format!("{}/{}{name}", self.servers.postgres, self.database_prefix))
    }

    /// The logical database of this stack.
    pub(crate) fn redis(&self) -> String {
        format!("{}/{}", self.servers.redis, self.redis_database)
    }

    /// The settings of one process.
    pub(crate) fn settings(&self, instance: &Instance) -> Vec<(&'static str, String)> {
        let listen = format!("127.0.0.1:{}", instance.port);
        let mut settings = match instance.service {
            "user" => vec![
                ("USER_LISTEN", listen),
                ("REDIS_URL", self.redis()),
                ("IDENTITY_KEY_FILE", path(&self.keys.identity)),
                ("PRODUCT_URL", self.first("product")),
            ],
            "product" => vec![
                ("PRODUCT_LISTEN", listen),
                ("REDIS_URL", self.redis()),
                ("QUEUE_URL", self.first("queue-server")),
                ("IMAGE_STORE", path(&self.images)),
            ],
            "order" => self.order(listen),
            "queue-server" => vec![
                ("QUEUE_LISTEN", listen),
                ("REDIS_URL", self.redis()),
                ("PASS_KEY_FILE", path(&self.keys.pass)),
                ("PRODUCT_URL", self.first("product")),
                ("QUEUE_LOAD_URLS", self.figures(&["order", "product"])),
                // Every shopper of a stack comes from this machine.
                ("QUEUE_LOOPBACK_EXEMPT", "true".to_owned()),
            ],
            "gateway" => self.gateway(listen, instance),
            _ => {
                // Not through the gateway: a stack of several has several.
                let webhook = format!("{}/api/payments/webhooks/toss", self.first("order"));
                return vec![
                    ("SANDBOX_LISTEN", listen),
                    ("SANDBOX_SECRET_KEY", PAYMENT_KEYS.0.to_owned()),
                    ("SANDBOX_WEBHOOK_URL", webhook),
                ];
            }
        };
        let jwks = |service| format!("{}/.well-known/jwks.json", self.first(service));
        settings.extend([
            ("INSTANCE", instance.name.clone()),
            ("INTERNAL_KEY_FILE", path(&self.keys.internal)),
            ("IDENTITY_JWKS_URL", jwks("user")),
            ("PASS_JWKS_URL", jwks("queue-server")),
            ("KAFKA_BOOTSTRAP", self.servers.kafka.clone()),
        ]);
        if !self.topic_prefix.is_empty() {
            settings.push(("KAFKA_TOPIC_PREFIX", self.topic_prefix.clone()));
        }
        // Who holds a lock or runs a query is read in `pg_stat_activity`.
        let named = |url| format!("{url}?application_name={}", instance.name);
        settings.extend(self.database(instance.service).map(|url| ("DATABASE_URL", named(url))));
        settings
    }

    /// Where the replicas of these services show their figures.
    fn figures(&self, services: &[&str]) -> String {
        let urls = services.iter().flat_map(|service| self.urls(service));
        urls.map(|url| format!("{url}/metrics")).collect::<Vec<_>>().join(",")
    }

    fn order(&self, listen: String) -> Vec<(&'static str, String)> {
        vec![
            ("ORDER_LISTEN", listen),
            ("REDIS_URL", self.redis()),
            ("PRODUCT_URL", self.first("product")),
            ("PAYMENT_URL", self.first(SANDBOX)),
            ("PAYMENT_SECRET_KEY", PAYMENT_KEYS.0.to_owned()),
            ("PAYMENT_CLIENT_KEY", PAYMENT_KEYS.1.to_owned()),
            ("PUBLIC_URL", self.first("gateway")),
        ]
    }

    fn gateway(&self, listen: String, instance: &Instance) -> Vec<(&'static str, String)> {
        let upstreams = |service| self.urls(service).join(",");
        let admin = instance.admin.expect("a gateway has a private listener");
        vec![
            ("GATEWAY_LISTEN", listen),
            ("GATEWAY_ADMIN_LISTEN", format!("127.0.0.1:{admin}")),
            ("USER_UPSTREAMS", upstreams("user")),
            ("PRODUCT_UPSTREAMS", upstreams("product")),
            ("ORDER_UPSTREAMS", upstreams("order")),
            ("QUEUE_UPSTREAMS", upstreams("queue-server")),
            ("REDIS_URL", self.redis()),
            ("WEB_ROOT", path(&self.web)),
            ("GATEWAY_LOOPBACK_EXEMPT", "true".to_owned()),
        ]
    }
}

fn path(path: &std::path::Path) -> String {
    path.display().to_string()
}
