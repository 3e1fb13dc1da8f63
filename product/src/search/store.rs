//! Searches in SQL.
//!
//! A search runs on connections of its own ([`pool`]): planned for its very values, because a frequent word is found by
//! walking along the order and a rare one by its list; never by reading the whole table; and for a second at most.

use std::time::Duration;

use common::wire::Time;
use common::wire::id::{CompanyId, ProductId};
use common::wire::money::Won;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};

use super::rules::{KNOWN_MAX, WORDS_MAX, Word};
use super::{Cursor, Filter, Part, Sort};

/// `total` counts no further: whoever reads a page does not need to know, and counting costs reading.
pub const TOTAL_MAX: i64 = 200;

/// A product that was found.
#[derive(Debug, FromRow)]
pub struct Found {
    /// The product.
    pub product_id: ProductId,
    /// Its company.
    pub company_id: CompanyId,
    /// The company's name.
    pub company_name: String,
    /// Its name.
    pub product_name: String,
    /// Price before the discount.
    pub original_price: Won,
    /// Price.
    pub discounted_price: Won,
    /// Its category.
    pub category_code: i32,
    /// Keys of its pictures.
    pub images: Vec<String>,
    /// First moment of the sale.
    pub sale_start_time: Time,
    /// First moment after it.
    pub sale_end_time: Time,
    /// Units that can be ordered now.
    pub available: i64,
    /// What it was sorted by, as a cursor has it.
    pub value: i64,
}

/// What is looked for, as the index has it.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// What the client asked for; its words stand in `query`.
    pub filter: &'a Filter,
    /// The words, as [`rules::query`](super::rules::query) makes them.
    pub query: Option<&'a str>,
    /// The category with all below it.
    pub categories: Option<&'a [i32]>,
    /// The present moment.
    pub now: Time,
}

/// Connections for searches alone. Few: each has to get to know every page of PostgreSQL's memory by itself, which costs
/// more than to read it, and all take turns.
#[must_use]
pub fn pool(pg: &PgPool, connections_max: u32) -> PgPool {
    let options = [
        ("plan_cache_mode", "force_custom_plan"),
        ("enable_seqscan", "off"),
        ("jit", "off"),
        // What is searched is in memory: a page read costs little more than the row on it. The defaults are a disk's, and
        // choose walks of 20,000 rows where a list has 2,000.
        ("seq_page_cost", "0.05"),
        ("random_page_cost", "0.05"),
        ("statement_timeout", "1000"),
        // A wrong letter of four leaves a quarter of the trigrams: the default of 0.3 would not see it.
        ("pg_trgm.similarity_threshold", "0.2"),
    ];
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(Duration::from_secs(2))
        .connect_lazy_with((*pg.connect_options()).clone().options(options))
}

/// The words of a text, as the index has them.
///
/// # Errors
/// The database's.
pub async fn words(db: &mut PgConnection, text: &str) -> Result<Vec<Word>, sqlx::Error> {
    sqlx::query_as!(
        Word,
        r#"SELECT left(one, 60) AS "asked!",
                  ARRAY(SELECT word FROM search_word WHERE word ~>=~ one AND word ~<~ (one || chr(1114111)) LIMIT $2)
                  AS "known!"
           FROM string_to_table(trim(search_words($1)), ' ') WITH ORDINALITY AS asked(one, n)
           WHERE one <> '' ORDER BY n LIMIT $3"#,
        text,
        i64::try_from(KNOWN_MAX + 1).unwrap_or(i64::MAX),
        i64::try_from(WORDS_MAX).unwrap_or(i64::MAX),
    )
    .fetch_all(db)
    .await
}

/// For each word that begins no known one, the known one that is most like it. None where that changes nothing.
///
/// # Errors
/// The database's.
pub async fn meant(db: &mut PgConnection, words: &[Word]) -> Result<Option<Vec<String>>, sqlx::Error> {
    let asked: Vec<_> = words.iter().map(|word| word.asked.clone()).collect();
    let meant = sqlx::query_scalar!(
        r#"SELECT COALESCE((SELECT known.word FROM search_word known
                            WHERE NOT EXISTS (SELECT FROM search_word longer WHERE longer.word LIKE asked.word || '%')
                              AND known.word % asked.word AND char_length(known.word) >= 3
                            ORDER BY similarity(known.word, asked.word) DESC, known.word LIMIT 1),
                           asked.word) AS "word!"
           FROM UNNEST($1::text[]) WITH ORDINALITY AS asked(word, n) ORDER BY n"#,
        &asked,
    );
    let meant = meant.fetch_all(db).await?;
    Ok((meant != asked).then_some(meant))
}

/// Words of the index as people write them: syllables instead of their letters.
///
/// # Errors
/// The database's.
pub async fn composed(db: &mut PgConnection, words: &str) -> Result<String, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT normalize($1, NFC) AS "words!""#, words).fetch_one(db).await
}

/// Remembers the words of these products as what a misspelled one may mean. In the order of the words, so that two
/// transactions that learn the same ones wait for each other, but not both.
///
/// # Errors
/// The database's.
pub async fn learn(db: &mut PgConnection, products: &[i64]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO search_word (word)
         SELECT DISTINCT one FROM product, unnest(tsvector_to_array(lexemes)) AS one
         WHERE product_id = ANY($1) AND one !~ '[0-9]'
           AND NOT EXISTS (SELECT FROM search_word WHERE word = one)
         ORDER BY one ON CONFLICT DO NOTHING",
        products,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// One part of what is found, in order.
///
/// # Errors
/// The database's.
pub async fn find(db: &mut PgConnection, look: Look<'_>, part: Part) -> Result<Vec<Found>, sqlx::Error> {
    selection(look, part).build_query_as().fetch_all(db).await
}

/// How many are found, counted to just above [`TOTAL_MAX`].
///
/// # Errors
/// The database's.
pub async fn count(db: &mut PgConnection, look: Look<'_>) -> Result<i64, sqlx::Error> {
    counting(look).build_query_scalar().fetch_one(db).await
}

/// The statement behind [`find`].
#[must_use]
pub fn selection(look: Look<'_>, part: Part) -> QueryBuilder<Postgres> {
    let (column, value, direction, _) = order(look.filter.sort);
    let mut sql = QueryBuilder::new(
        "SELECT p.product_id, p.company_id, c.company_name, p.product_name, p.original_price, p.discounted_price,
                p.category_code, p.images, p.sale_start_time, p.sale_end_time,
                COALESCE(s.available, p.initial_stock) AS available, ",
    );
    sql.push(value).push(" AS value FROM (SELECT * FROM product p WHERE ");
    narrow(&mut sql, look);
    let (limit, offset) = match part {
        Part::Page { size, offset } => (size, offset),
        Part::Next { limit, after } => {
            if let Some(after) = after {
                go_on(&mut sql, look.filter.sort, after);
            }
            // One more says whether there is more.
            (limit + 1, 0)
        }
    };
    sql.push(format_args!(" ORDER BY p.{column} {direction}, p.product_id {direction} LIMIT "));
    sql.push_bind(limit).push(" OFFSET ").push_bind(offset);
    sql.push(") p JOIN company c USING (company_id) LEFT JOIN stock s USING (product_id)");
    sql.push(format_args!(" ORDER BY p.{column} {direction}, p.product_id {direction}"));
    sql
}

/// The statement behind [`count`].
#[must_use]
pub fn counting(look: Look<'_>) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("SELECT count(*) FROM (SELECT FROM product p WHERE ");
    narrow(&mut sql, look);
    sql.push(" LIMIT ").push_bind(TOTAL_MAX + 1).push(") found");
    sql
}

/// Column, its value as a cursor has it, direction, and what comes behind a product.
fn order(sort: Sort) -> (&'static str, &'static str, &'static str, &'static str) {
    match sort {
        Sort::Newest => ("created_at", "(extract(epoch FROM p.created_at) * 1000000)::bigint", "DESC", "<"),
        Sort::Updated => ("updated_at", "(extract(epoch FROM p.updated_at) * 1000000)::bigint", "DESC", "<"),
        Sort::PriceUp => ("discounted_price", "p.discounted_price", "ASC", ">"),
        Sort::PriceDown => ("discounted_price", "p.discounted_price", "DESC", "<"),
        Sort::OpeningSoon => {
            ("sale_start_time", "(extract(epoch FROM p.sale_start_time) * 1000000)::bigint", "ASC", ">")
        }
        Sort::Popular => ("likes", "p.likes", "DESC", "<"),
    }
}

fn narrow(sql: &mut QueryBuilder<Postgres>, look: Look<'_>) {
    let filter = look.filter;
    sql.push("p.listed");
    if let Some(query) = look.query {
        sql.push(" AND p.lexemes @@ ").push_bind(query.to_owned()).push("::tsquery");
    }
    if let Some(company) = filter.company {
        sql.push(" AND p.company_id = ").push_bind(company.0);
    }
    match look.categories {
        Some([one]) => drop(sql.push(" AND p.category_code = ").push_bind(*one)),
        Some(several) => drop(sql.push(" AND p.category_code = ANY(").push_bind(several.to_vec()).push(")")),
        None => {}
    }
    if let Some(least) = filter.price_min {
        sql.push(" AND p.discounted_price >= ").push_bind(least);
    }
    if let Some(most) = filter.price_max {
        sql.push(" AND p.discounted_price <= ").push_bind(most);
    }
    if let Some(state) = filter.state {
        sql.push(" AND p.state = ").push_bind(state.as_str());
    }
    if let Some(from) = filter.starts_from {
        sql.push(" AND p.sale_start_time >= ").push_bind(from);
    }
    if let Some(to) = filter.starts_to {
        sql.push(" AND p.sale_start_time < ").push_bind(to);
    }
    if filter.sort == Sort::OpeningSoon {
        sql.push(" AND p.sale_start_time > ").push_bind(look.now);
    }
}

fn go_on(sql: &mut QueryBuilder<Postgres>, sort: Sort, after: Cursor) {
    let (column, _, _, behind) = order(sort);
    sql.push(format_args!(" AND (p.{column}, p.product_id) {behind} ("));
    match sort {
        Sort::PriceUp | Sort::PriceDown | Sort::Popular => sql.push_bind(after.value),
        // A moment that cannot be is behind, or before, all there are.
        _ => sql.push_bind(Time::from_timestamp_micros(after.value).unwrap_or_default()),
    };
    sql.push(", ").push_bind(after.product.0).push(")");
}
