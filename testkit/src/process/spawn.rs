//! The one thread that makes all children.

use std::process::{Child, Command};
use std::sync::{Mutex, OnceLock, mpsc};
use std::thread;

type Job = (Command, mpsc::Sender<std::io::Result<Child>>);

/// Spawns from the one thread that lives as long as this process: the kernel sends a child its parent-death signal
/// when the *thread* that made it ends.
pub(super) fn spawn(command: Command) -> std::io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, answer) in jobs {
                answer.send(command.spawn()).ok();
            }
        });
        Mutex::new(sender)
    });
    let (answer, child) = mpsc::channel();
    spawner
        .lock()
        .expect("nothing panics while it holds this lock")
        .send((command, answer))
        .expect("the spawner never ends");
    child.recv().expect("the spawner answers every job")
}
