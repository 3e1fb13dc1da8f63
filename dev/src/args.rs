//! The command line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::services::{DATABASES, REPLICATED};

const HELP: &str = "\
cargo dev <command> [options]

  up        starts the whole platform and runs a small flash sale on it
  down      stops the `up` of this folder
  test      runs the whole test suite on its own servers
  check     formatting, clippy and documentation, all without warnings
  seed      registers the demo shop again on the running platform
  sqlx      refreshes the committed descriptions of SQL queries
  packages  installs what `up` and `test` need, and nothing else

`cargo dev <command> --help` says more.";

const UP_HELP: &str = "\
cargo dev up [options]

Starts Redis, PostgreSQL, Kafka and all services under .dev/, runs a simulated flash sale through the gateway, and
stays until Ctrl-C. Missing packages are installed when this is root. Addresses are in .dev/stack.json.

  --once              stops after the simulated sale; its verdict is the exit code
  --no-rush           skips the simulated sale
  --keep              keeps the data of the last start
  --debug             builds without optimisation
  --shoppers N        shoppers of the simulated sale (2000)
  --units N           units it sells (200)
  --replicas LIST     several of one service, as queue-server=2,order=2,product=2,gateway=2,user=2
  --external          uses the servers that EXTERNAL_REDIS_URL (redis://host:port), EXTERNAL_POSTGRES_URL
                      (postgres://user@host:port, no database) and EXTERNAL_KAFKA (host:port) name
  --dir FOLDER        keeps data, logs and stack.json there instead of in .dev";

const TEST_HELP: &str = "\
cargo dev test [--long] [-- <arguments of cargo test>]

Starts Redis, PostgreSQL and Kafka of its own, builds all programs and runs `cargo test` over the workspace. With
`-- -p <crate>` only that crate's tests run.

  --long    also runs the long tests";

const DOWN_HELP: &str =
    "cargo dev down [--dir FOLDER]\n\nStops the `cargo dev up` of this folder and waits for its end.";
const SEED_HELP: &str =
    "cargo dev seed [--dir FOLDER]\n\nRegisters the demo shop again on the running platform.";
const CHECK_HELP: &str = "cargo dev check\n\nRuns rustfmt, clippy and rustdoc; a warning is a failure.";
const PACKAGES_HELP: &str = "\
cargo dev packages

Installs missing system packages when this is root (otherwise prints the line to run), and fetches Apache Kafka.";
const SQLX_HELP: &str = "\
cargo dev sqlx [user] [product] [order]

Starts a PostgreSQL, applies all migrations and writes .sqlx/ of these crates; without a name, of all three.";

/// What to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    /// Print this.
    Help(&'static str),
    Up(Up),
    Down {
        dir: PathBuf,
    },
    Test(Test),
    Check,
    Seed {
        dir: PathBuf,
    },
    Sqlx {
        services: Vec<String>,
    },
    Packages,
}

/// Options of `up`.
#[derive(Debug, PartialEq)]
pub(crate) struct Up {
    pub(crate) once: bool,
    pub(crate) rush: bool,
    pub(crate) keep: bool,
    pub(crate) debug: bool,
    pub(crate) external: bool,
    pub(crate) shoppers: u32,
    pub(crate) units: u32,
    pub(crate) replicas: BTreeMap<String, usize>,
    pub(crate) dir: PathBuf,
}

/// Options of `test`.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Test {
    pub(crate) long: bool,
    pub(crate) cargo: Vec<String>,
}

/// Reads the command line; the error is the line to show.
pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut args = args.peekable();
    let Some(command) = args.next() else { return Ok(Command::Help(HELP)) };
    let (help, parse): (_, Parse) = match command.as_str() {
        "up" => (UP_HELP, up),
        "down" => (DOWN_HELP, |args| Ok(Command::Down { dir: only_dir(args)? })),
        "test" => (TEST_HELP, test),
        "check" => (CHECK_HELP, |args| args.none().map(|()| Command::Check)),
        "seed" => (SEED_HELP, |args| Ok(Command::Seed { dir: only_dir(args)? })),
        "sqlx" => (SQLX_HELP, sqlx),
        "packages" => (PACKAGES_HELP, |args| args.none().map(|()| Command::Packages)),
        "help" | "--help" | "-h" => return Ok(Command::Help(HELP)),
        other => return Err(format!("no such command: {other} (see `cargo dev --help`)")),
    };
    let rest: Vec<String> = args.collect();
    let asks_help = rest.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--help" || arg == "-h");
    if asks_help {
        return Ok(Command::Help(help));
    }
    parse(&mut Args { command, rest: rest.into_iter() })
}

/// Reads the options of one command.
type Parse = fn(&mut Args) -> Result<Command, String>;

struct Args {
    command: String,
    rest: std::vec::IntoIter<String>,
}

impl Args {
    /// The next option, with the part after `=` if it has one.
    fn next(&mut self) -> Option<(String, Option<String>)> {
        let arg = self.rest.next()?;
        Some(match arg.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
            _ => (arg, None),
        })
    }

    fn value(&mut self, name: &str, inline: Option<String>) -> Result<String, String> {
        inline.or_else(|| self.rest.next()).ok_or_else(|| format!("{name} needs a value"))
    }

    fn number(&mut self, name: &str, inline: Option<String>) -> Result<u32, String> {
        let value = self.value(name, inline)?;
        match value.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("{name} needs a number above 0, not {value}")),
        }
    }

    fn none(&mut self) -> Result<(), String> {
        self.next().map_or(Ok(()), |(name, _)| Err(self.unknown(&name)))
    }

    fn unknown(&self, name: &str) -> String {
        format!("no such option: {name} (see `cargo dev {} --help`)", self.command)
    }
}

fn default_dir() -> PathBuf {
    crate::root().join(".dev")
}

fn only_dir(args: &mut Args) -> Result<PathBuf, String> {
    let mut dir = default_dir();
    while let Some((name, value)) = args.next() {
        match name.as_str() {
            "--dir" => dir = args.value(&name, value)?.into(),
            _ => return Err(args.unknown(&name)),
        }
    }
    Ok(dir)
}

fn up(args: &mut Args) -> Result<Command, String> {
    let mut up = Up {
        once: false,
        rush: true,
        keep: false,
        debug: false,
        external: false,
        shoppers: 2_000,
        units: 200,
        replicas: BTreeMap::new(),
        dir: default_dir(),
    };
    while let Some((name, value)) = args.next() {
        match (name.as_str(), &value) {
            ("--once", None) => up.once = true,
            ("--no-rush", None) => up.rush = false,
            ("--keep", None) => up.keep = true,
            ("--debug", None) => up.debug = true,
            ("--external", None) => up.external = true,
            ("--shoppers", _) => up.shoppers = args.number(&name, value)?,
            ("--units", _) => up.units = args.number(&name, value)?,
            ("--replicas", _) => up.replicas = replicas(&args.value(&name, value)?)?,
            ("--dir", _) => up.dir = args.value(&name, value)?.into(),
            ("--once" | "--no-rush" | "--keep" | "--debug" | "--external", Some(_)) => {
                return Err(format!("{name} takes no value"));
            }
            _ => return Err(args.unknown(&name)),
        }
    }
    Ok(Command::Up(up))
}

fn replicas(list: &str) -> Result<BTreeMap<String, usize>, String> {
    let one = |part: &str| {
        let (name, count) = part.split_once('=')?;
        let count = count.parse().ok().filter(|count| (1..=9).contains(count))?;
        REPLICATED.contains(&name).then(|| (name.to_owned(), count))
    };
    let entry = |part: &str| {
        one(part).ok_or_else(|| {
            format!(
                "--replicas takes <service>=<1 to 9>, with a service of {}; not {part}",
                REPLICATED.join(", ")
            )
        })
    };
    list.split(',').map(entry).collect()
}

fn sqlx(args: &mut Args) -> Result<Command, String> {
    let services: Vec<String> = args.rest.by_ref().collect();
    let owns_queries = |name: &String| DATABASES.iter().any(|(service, _)| service == name);
    match services.iter().find(|name| !owns_queries(name)) {
        Some(name) => Err(format!("{name} has no queries (see `cargo dev sqlx --help`)")),
        None => Ok(Command::Sqlx { services }),
    }
}

fn test(args: &mut Args) -> Result<Command, String> {
    let mut test = Test::default();
    while let Some((name, _)) = args.next() {
        match name.as_str() {
            "--long" => test.long = true,
            "--" => test.cargo = args.rest.by_ref().collect(),
            _ => return Err(args.unknown(&name)),
        }
    }
    Ok(Command::Test(test))
}

#[cfg(test)]
mod tests {
    use super::{Command, HELP, TEST_HELP, UP_HELP, parse};

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn help_is_given_for_the_whole_and_for_a_command() {
        assert_eq!(parsed(""), Ok(Command::Help(HELP)));
        assert_eq!(parsed("--help"), Ok(Command::Help(HELP)));
        assert_eq!(parsed("up --once --help"), Ok(Command::Help(UP_HELP)));
        assert_eq!(parsed("test -h"), Ok(Command::Help(TEST_HELP)));
    }

    #[test]
    fn options_of_up_are_read() {
        let line = "up --once --shoppers=50 --units 5 --replicas queue-server=2,order=3 --dir /tmp/x";
        let Ok(Command::Up(up)) = parsed(line) else { panic!("not an up") };
        assert!(up.once && up.rush && !up.keep && !up.debug && !up.external);
        assert_eq!((up.shoppers, up.units, up.dir.to_str()), (50, 5, Some("/tmp/x")));
        assert_eq!((up.replicas["queue-server"], up.replicas["order"]), (2, 3));
    }

    #[test]
    fn wrong_options_are_named() {
        for (line, part) in [
            ("fly", "no such command: fly"),
            ("up --fast", "no such option: --fast"),
            ("up --shoppers", "--shoppers needs a value"),
            ("up --units many", "not many"),
            ("up --units 0", "not 0"),
            ("up --replicas redis=2", "not redis=2"),
            ("up --once=yes", "--once takes no value"),
            ("sqlx gateway", "gateway has no queries"),
            ("check --fix", "no such option: --fix"),
        ] {
            let error = parsed(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn what_follows_two_dashes_is_for_cargo() {
        let Ok(Command::Test(test)) = parsed("test --long -- -p order --help") else { panic!("not a test") };
        assert!(test.long);
        assert_eq!(test.cargo, ["-p", "order", "--help"]);
    }
}
