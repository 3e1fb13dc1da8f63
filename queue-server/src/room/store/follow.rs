//! Reads for those who follow a room in memory: its log from where they are, and its line as it stands. They go over a
//! connection of their own, because their answers are long.

use std::sync::Arc;

use anyhow::Context as _;
use common::kafka::chain::StreamId;
use common::redis::Value;
use common::wire::id::{ProductId, Ticket, UserId};
use common::wire::queue::{CAME, StepKind, came};
use serde::Deserialize as _;
use serde::de::IntoDeserializer;
use serde::de::value::Error as Unknown;

use super::answer::Room;
use super::{Store, keys};

/// Entries of a log that one look reads at most; those who came together are one.
const ENTRIES_MAX: u64 = 2_000;
/// People of a line that one page holds at most: Redis is held for some milliseconds.
const PEOPLE_MAX: i64 = 10_000;
/// Of four bytes in `seen`, the highest bit: nothing was heard of the ticket's holder for a while.
const AWAY: u8 = 0x80;

/// What a look at a room found.
#[derive(Debug)]
pub(crate) struct Looked {
    /// The room's clock then, in ms since 1970.
    pub(crate) now: i64,
    /// The room then; `None`: its product is not known.
    pub(crate) room: Option<Arc<Room>>,
    /// What an operator says to everybody waiting, and why the room is held.
    pub(crate) said: [Option<String>; 2],
    /// Steps since the last look, in their order.
    pub(crate) steps: Vec<Taken>,
    /// Whether there are more.
    pub(crate) has_more: bool,
}

/// A step of a room, as far as it moves people.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    /// Its place in the log.
    pub(crate) id: StreamId,
    /// What happened.
    pub(crate) kind: StepKind,
    /// To whom.
    pub(crate) user: Option<UserId>,
    /// To which ticket.
    pub(crate) ticket: Option<u64>,
}

/// Somebody in the line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) user: UserId,
    pub(crate) ticket: u64,
    pub(crate) is_away: bool,
}

impl Store {
    /// The room now, and its steps after `after`: one moment of the room.
    pub(crate) async fn follow(&self, product: ProductId, after: StreamId) -> anyhow::Result<Looked> {
        let [meta, .., log] = self.followed(product);
        let fields = ["room", "message", "holdText"];
        let look = self.beside.look(&meta, &fields, &log, (&after.to_string(), ENTRIES_MAX)).await?;
        let has_more = look.entries.len() as u64 == ENTRIES_MAX;
        let mut fields = look.fields.into_iter();
        let room =
            fields.next().flatten().map(|text| serde_json::from_str(&text).map(Arc::new)).transpose()?;
        let said = std::array::from_fn(|_| fields.next().flatten().filter(|text| !text.is_empty()));
        let mut steps = Vec::with_capacity(look.entries.len());
        for (id, fields) in &look.entries {
            take(id, fields, &mut steps)?;
        }
        Ok(Looked { now: look.now, room, said, steps, has_more })
    }

    /// Where a room's log ends.
    pub(crate) async fn end(&self, product: ProductId) -> anyhow::Result<StreamId> {
        let [.., log] = self.followed(product);
        let last = self.beside.last_entry(&log).await?;
        Ok(last.and_then(|id| StreamId::parse(&id)).unwrap_or_default())
    }

    /// A page of the line: people with tickets after `after`, in order. The last page is empty.
    pub(crate) async fn line(&self, product: ProductId, after: u64) -> anyhow::Result<Vec<Waiting>> {
        let [_, line, seen, _] = self.followed(product);
        let page = self.beside.scores(&line, after.try_into()?, PEOPLE_MAX).await?;
        let Some((first, last)) = page.first().zip(page.last()) else { return Ok(Vec::new()) };
        let from = usize::try_from(first.1)? * 4;
        let stamps = self.beside.bytes(&seen, from, usize::try_from(last.1)? * 4 + 3).await?;
        let people = page.into_iter().map(|(user, ticket)| {
            let ticket = u64::try_from(ticket)?;
            let is_away =
                stamps.get(usize::try_from(ticket)? * 4 - from).is_some_and(|byte| byte & AWAY != 0);
            Ok(Waiting { user: UserId(user), ticket, is_away })
        });
        people.collect()
    }

    fn followed(&self, product: ProductId) -> [String; 4] {
        let [meta, line, ..] = keys(product);
        let of = |part| format!("room:{{{product}}}:{part}");
        [meta, line, of("seen"), of("log")]
    }
}

/// Takes the steps of an entry.
fn take(id: &str, fields: &[Value], steps: &mut Vec<Taken>) -> anyhow::Result<()> {
    let id = StreamId::parse(id).with_context(|| format!("a step's id is {id}"))?;
    let field = |name: &str| {
        fields.chunks_exact(2).find(|pair| pair[0].as_bytes() == Some(name.as_bytes())).map(|pair| &pair[1])
    };
    let text = |name: &str| field(name).and_then(Value::as_str).unwrap_or_default();
    let (kind, ticket) = (text("step"), field("ticket").and_then(Value::as_i64));
    if kind == CAME {
        for who in came(ticket.unwrap_or_default(), &text("users"), &text("kinds")) {
            let (kind, user, Ticket(ticket)) = who.with_context(|| format!("those who came at {id}"))?;
            steps.push(Taken { id, kind, user: Some(user), ticket: u64::try_from(ticket).ok() });
        }
        return Ok(());
    }
    let kind = StepKind::deserialize(IntoDeserializer::<Unknown>::into_deserializer(&*kind))
        .with_context(|| format!("the step {id}"))?;
    let user = field("user").and_then(Value::as_i64).map(UserId);
    steps.push(Taken { id, kind, user, ticket: ticket.and_then(|ticket| u64::try_from(ticket).ok()) });
    Ok(())
}
