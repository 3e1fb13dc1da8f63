//! The real servers start, survive a kill on the same port and data, and leave nothing behind.

use std::net::TcpListener;
use std::path::PathBuf;

use testkit::kafka::Kafka;
use testkit::postgres::Postgres;
use testkit::process::{Server, is_alive};
use testkit::redis::{Redis, next_database};
use testkit::{jars, port, postgres};

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("astraphe-testkit-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        postgres::remove(&self.0).ok();
    }
}

#[test]
fn redis_is_killed_and_finds_its_port_again() {
    let dir = Dir::new("redis");
    let mut redis = port::on_free_port(|port| Redis::start(&dir.0, port)).unwrap();
    let (url, first) = (redis.url(), redis.process().pid());
    redis.kill9();
    assert!(!is_alive(first));
    redis.restart().unwrap();
    assert_eq!(redis.url(), url);
    let second = redis.process().pid();
    assert_ne!(next_database(&url).unwrap(), next_database(&url).unwrap());
    redis.stop();
    assert!(!is_alive(second));
}

#[test]
fn postgres_is_killed_and_finds_its_port_again() {
    let dir = Dir::new("postgres");
    let mut postgres = port::on_free_port(|port| Postgres::start(&dir.0, port)).unwrap();
    let (url, first) = (postgres.url(), postgres.process().pid());
    postgres.kill9();
    assert!(!is_alive(first));
    postgres.restart().unwrap();
    assert_eq!(postgres.url(), url);
    drop(postgres);
}

#[test]
fn kafka_is_killed_and_finds_its_port_again() {
    let dir = Dir::new("kafka");
    let jars = jars::ensure(&dir.0).unwrap();
    let mut kafka = port::on_free_port(|port| Kafka::start(&dir.0, port, &jars)).unwrap();
    let (url, first) = (kafka.url(), kafka.process().pid());
    kafka.kill9();
    assert!(!is_alive(first));
    kafka.restart().unwrap();
    assert_eq!(kafka.url(), url);
}

#[test]
fn a_taken_port_is_told_apart_from_other_failures() {
    let dir = Dir::new("taken");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Redis::start(&dir.0.join("redis"), port).err().unwrap();
    assert!(error.is_port_taken(), "{error}");
    assert!(error.to_string().contains("redis.log"), "{error}");
    let error = Postgres::start(&dir.0.join("postgres"), port).err().unwrap();
    assert!(error.is_port_taken(), "{error}");
}

#[test]
fn a_port_is_chosen_once() {
    let ports: Vec<u16> = (0..20).map(|_| port::pick().unwrap()).collect();
    let mut distinct = ports.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), ports.len());
    assert!(ports.iter().all(|port| port::RANGE.contains(port)));
}
