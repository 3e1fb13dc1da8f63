//! An event stream as its listener reads it.

use std::time::Duration;

use reqwest::{Method, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::Http;

/// Longer than the time between two signs of life.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open stream.
#[derive(Debug)]
pub struct Events {
    response: Response,
    unread: String,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Its name.
    pub event: String,
    /// Its id; empty where it has none.
    pub id: String,
    /// What it says.
    pub data: Value,
}

impl Told {
    /// What it says, as a type.
    ///
    /// # Panics
    /// When it is no such thing.
    #[must_use]
    #[track_caller]
    pub fn data<T: DeserializeOwned>(&self) -> T {
        serde_json::from_value(self.data.clone()).unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }
}

impl Events {
    /// Opens a stream.
    ///
    /// # Panics
    /// When the answer is none.
    pub async fn open(http: &Http, path: &str) -> Self {
        let response = http.request(Method::GET, path).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], "text/event-stream", "{path}");
        Self { response, unread: String::new() }
    }

    /// The next event; `None` at the end.
    ///
    /// # Panics
    /// When nothing comes in time.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let field = |name| block.lines().find_map(|line| Some(line.strip_prefix(name)?.trim()));
                let told = field("event:").map(|event| Told {
                    event: event.to_owned(),
                    id: field("id:").unwrap_or_default().to_owned(),
                    data: serde_json::from_str(field("data:").unwrap_or("null")).expect("events carry JSON"),
                });
                self.unread = rest.to_owned();
                if told.is_some() {
                    return told;
                }
                continue;
            }
            let chunk =
                tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("something in time");
            self.unread.push_str(std::str::from_utf8(&chunk.expect("the stream goes on")?).expect("UTF-8"));
        }
    }

    /// Whether nothing comes for so long.
    pub async fn is_silent(&mut self, during: Duration) -> bool {
        self.unread.is_empty() && tokio::time::timeout(during, self.response.chunk()).await.is_err()
    }
}
