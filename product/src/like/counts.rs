//! The sets in Redis, one typed function per script.

use common::redis::{Connections, Error, ErrorKind, Script, Value};
use common::wire::id::{ProductId, UserId};

/// A set that nobody used for so long leaves Redis: a day, in seconds. The longest that PostgreSQL may be away.
const KEPT_S: i64 = 86_400;
const CHANGES: &str = "{like}:changes";
const LAST: &str = "{like}:last";

/// The likes in Redis. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Counts {
    redis: Connections,
    like: Script,
    load: Script,
    take: Script,
    done: Script,
}

/// What a shopper wants of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// To like it.
    Like,
    /// To like it no longer.
    Unlike,
    /// To know.
    Ask,
}

/// A change that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) product: ProductId,
    pub(super) user: UserId,
    pub(super) likes: bool,
    score: i64,
}

impl Change {
    fn name(&self) -> String {
        name(self.product, self.user)
    }
}

fn name(product: ProductId, user: UserId) -> String {
    format!("{product}:{user}")
}

fn key(product: ProductId) -> String {
    format!("{{like}}:of:{product}")
}

impl Counts {
    /// The likes behind these connections.
    #[must_use]
    pub fn new(redis: Connections) -> Self {
        Self {
            redis,
            like: Script::new(include_str!("lua/like.lua")),
            load: Script::new(include_str!("lua/load.lua")),
            take: Script::new(include_str!("lua/take.lua")),
            done: Script::new(include_str!("lua/done.lua")),
        }
    }

    /// How many like a product, and whether this shopper does, after the wish; `None` when its set is not here.
    pub(super) async fn wish(
        &self,
        product: ProductId,
        user: UserId,
        wish: Wish,
    ) -> Result<Option<(i64, bool)>, Error> {
        let wish = match wish {
            Wish::Like => "1",
            Wish::Unlike => "0",
            Wish::Ask => "",
        };
        let keys = vec![key(product), CHANGES.into(), LAST.into()];
        let args: Vec<Value> = vec![user.0.into(), wish.into(), name(product, user).into(), KEPT_S.into()];
        let found: Vec<i64> = self.like.run(&self.redis, keys, args).await?;
        Ok(match found[..] {
            [likes, mine] => Some((likes, mine == 1)),
            _ => None,
        })
    }

    /// Takes in who likes a product, unless somebody else has.
    pub(super) async fn load(&self, product: ProductId, users: Vec<i64>) -> Result<(), Error> {
        let mut args: Vec<Value> = vec![KEPT_S.into(), product.0.into()];
        args.extend(users.into_iter().map(Value::from));
        self.load.run::<i64>(&self.redis, vec![key(product), CHANGES.into()], args).await?;
        Ok(())
    }

    /// [`Self::wish`] after [`Self::load`].
    pub(super) async fn load_and_wish(
        &self,
        product: ProductId,
        likers: Vec<i64>,
        user: UserId,
        wish: Wish,
    ) -> Result<(i64, bool), Error> {
        self.load(product, likers).await?;
        let found = self.wish(product, user, wish).await?;
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, "the set is gone at once"))
    }

    /// The oldest changes that are to be written.
    pub(super) async fn take(&self, max: i64) -> Result<Vec<Change>, Error> {
        let found: Vec<String> = self.take.run(&self.redis, vec![CHANGES.into()], vec![max.into()]).await?;
        let changes = found.chunks_exact(2).filter_map(|pair| {
            let (product, user) = pair[0].split_once(':')?;
            let score: i64 = pair[1].parse().ok()?;
            let (product, user) = (product.parse().ok()?, user.parse().ok()?);
            Some(Change { product, user, likes: score % 2 == 1, score })
        });
        Ok(changes.collect())
    }

    /// These are written.
    pub(super) async fn done(&self, changes: &[Change]) -> Result<(), Error> {
        let args = changes.iter().flat_map(|change| [change.name().into(), change.score.to_string().into()]);
        self.done.run::<i64>(&self.redis, vec![CHANGES.into()], args.collect()).await?;
        Ok(())
    }
}
