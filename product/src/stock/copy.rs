//! Rows of PostgreSQL's binary copy: a writer loads millions, and a query's rows cost it three times as much.
//! <https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4>

use futures::TryStreamExt as _;
use sqlx::PgConnection;

/// What stands before the first row, without its extension.
const HEAD: usize = 19;

/// Gives each row of `statement`, a binary copy to the client, to `take`.
///
/// # Errors
/// The database's; and when `take` finds another row than it expects.
pub async fn rows(
    db: &mut PgConnection,
    statement: &str,
    mut take: impl FnMut(&mut Fields<'_>) -> Option<()>,
) -> Result<(), sqlx::Error> {
    let mut pieces = db.copy_out_raw(statement).await?;
    // The server sends a row per piece, and the head with the first.
    let mut is_first = true;
    while let Some(piece) = pieces.try_next().await? {
        let from = if std::mem::take(&mut is_first) { HEAD } else { 0 };
        let mut fields = Fields(piece.get(from..).ok_or_else(unexpected)?);
        while !fields.0.is_empty() {
            match fields.count() {
                // The end.
                Some(-1) => {}
                Some(_) => take(&mut fields).ok_or_else(unexpected)?,
                None => return Err(unexpected()),
            }
        }
    }
    Ok(())
}

fn unexpected() -> sqlx::Error {
    sqlx::Error::Protocol("a row of a copy is not as expected".into())
}

/// The fields of a row that were not read yet.
#[derive(Debug)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn count(&mut self) -> Option<i16> {
        self.bytes().map(i16::from_be_bytes)
    }

    /// The next field as it is; a NULL is none.
    pub fn raw(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(i32::from_be_bytes(self.bytes()?)).ok()?;
        let (field, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }

    /// The next field, of so many bytes.
    pub fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.raw()?.try_into().ok()
    }
}
