//! One kind of error: a line that a person can act on.

use std::fmt;

/// What a function of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, in one line; it names the log file where there is one.
#[derive(Debug, Clone)]
pub struct Error {
    message: String,
    port_taken: bool,
}

impl Error {
    /// An error with this text.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), port_taken: false }
    }

    /// An error of a process that wrote `log`, the lines of this start.
    pub(crate) fn from_log(message: String, log: &str) -> Self {
        Self { message, port_taken: log.contains("ddress already in use") }
    }

    /// Whether the process found its port taken, so that another port may help.
    pub fn is_port_taken(&self) -> bool {
        self.port_taken
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Says what was being done when an error came.
pub trait Context<T> {
    /// Puts `what` before the error's text.
    ///
    /// # Errors
    /// The same error as before, with `what` in front.
    fn context(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Error::new(format!("{what}: {error}")))
    }
}
