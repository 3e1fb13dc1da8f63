//! Makes a shop of many products straight in the database of the product service: their names are of two languages, and
//! of words that are frequent and rare.

use crate::report;

use super::Run;

/// Products of one statement.
const CHUNK: i64 = 20_000;
/// Words of a name: a brand, rare or not so rare, a kind, a thing, and a model that no other product has.
pub(super) fn brands() -> Vec<String> {
    let [first, second, last] = [
        ["na", "ko", "ri", "su", "me", "ta", "lo", "vi", "do", "pe", "ha", "shi"],
        ["no", "ka", "ru", "si", "ma", "to", "le", "va", "di", "po", "he", "shu"],
        ["n", "x", "ra", "tek", "lux", "on", "", "ia", "os", "el", "form", "wear"],
    ];
    let pairs = first.iter().flat_map(|a| second.iter().map(move |b| format!("{a}{b}")));
    pairs.flat_map(|pair| last.iter().map(move |c| format!("{pair}{c}"))).collect()
}

/// The kinds.
pub(super) const KINDS: [&str; 12] = [
    "무선",
    "가죽",
    "접이식",
    "휴대용",
    "스테인리스",
    "친환경",
    "wireless",
    "leather",
    "folding",
    "portable",
    "steel",
    "organic",
];
/// The things.
pub(super) const THINGS: [&str; 24] = [
    "이어폰",
    "램프",
    "의자",
    "셔츠",
    "가방",
    "시계",
    "주전자",
    "키보드",
    "운동화",
    "텀블러",
    "우산",
    "냄비",
    "earphones",
    "lamp",
    "chair",
    "shirt",
    "bag",
    "watch",
    "kettle",
    "keyboard",
    "sneakers",
    "tumbler",
    "umbrella",
    "pot",
];

/// Makes what is missing, and lets the planner see it.
pub(super) async fn fill(run: &Run<'_>) -> anyhow::Result<()> {
    let wanted = i64::from(run.args.products);
    let there: i64 =
        sqlx::query_scalar("SELECT count(*) FROM product WHERE listed").fetch_one(&run.pool).await?;
    if there >= wanted {
        return Ok(());
    }
    let companies = companies(run).await?;
    let mut made = there;
    while made < wanted {
        let count = CHUNK.min(wanted - made);
        products(run, &companies, made, count).await?;
        made += count;
        report::note(&format!("{made} of {wanted} products"));
    }
    // What the database would do later by itself, beside the measurements.
    for chore in
        ["VACUUM ANALYZE product", "VACUUM ANALYZE search_word", "VACUUM ANALYZE company", "CHECKPOINT"]
    {
        sqlx::query(chore).execute(&run.pool).await?;
    }
    Ok(())
}

async fn companies(run: &Run<'_>) -> anyhow::Result<Vec<i64>> {
    let ids = sqlx::query_scalar(
        "INSERT INTO company (user_id, company_name, description, address, created_at, created_by, updated_at, updated_by)
         SELECT -n, 'company ' || n, '', '', now(), -n, now(), -n FROM generate_series(1, 2000) n RETURNING company_id",
    );
    Ok(ids.fetch_all(&run.pool).await?)
}

async fn products(run: &Run<'_>, companies: &[i64], first: i64, count: i64) -> anyhow::Result<()> {
    let made = sqlx::query_scalar::<_, i64>(
        "INSERT INTO product (company_id, category_code, product_name, description, original_price, discounted_price,
             initial_stock, sale_start_time, sale_end_time, purchase_limit, images, queue, version, price_version,
             created_at, created_by, updated_at, updated_by, state, turns_at, likes)
         SELECT ($3::bigint[])[1 + (n * 7919) % cardinality($3::bigint[])], 1000 * (1 + n % 3),
             ($7::text[])[1 + floor(random() * random() * cardinality($7::text[]))] || ' ' ||
             ($4::text[])[1 + floor(random() * cardinality($4::text[]))] || ' ' ||
             ($5::text[])[1 + floor(random() * cardinality($5::text[]))] || ' ' ||
             chr(65 + floor(random() * 26)::integer) || chr(65 + floor(random() * 26)::integer) || n,
             repeat('A fine thing for the home. ', 4), price, price - floor(random() * price / 2)::bigint, 100,
             start, start + interval '3 days', 2, ARRAY['0123456789abcdef.webp'], $6, 1, 1,
             now() - n * interval '1 second', 1, now() - n * interval '1 second', 1,
             CASE WHEN start > now() THEN 'scheduled' WHEN start + interval '3 days' > now() THEN 'onSale' ELSE 'ended' END,
             NULL, floor(1000 * random() * random() * random())
         FROM (SELECT n, 1000 + floor(random() * 200000)::bigint AS price, now() + (random() * 20 - 10) * interval '1 day' AS start
               FROM generate_series($1::bigint, $1::bigint + $2::bigint - 1) n) goods
         RETURNING product_id",
    )
    .bind(first)
    .bind(count)
    .bind(companies)
    .bind(&KINDS[..])
    .bind(&THINGS[..])
    .bind(serde_json::to_value(common::wire::product::QueuePolicy::default())?)
    .bind(brands())
    .fetch_all(&run.pool)
    .await?;
    sqlx::query(
        "INSERT INTO search_word (word)
         SELECT DISTINCT one FROM product, unnest(tsvector_to_array(lexemes)) AS one
         WHERE product_id = ANY($1) AND one !~ '[0-9]' ON CONFLICT DO NOTHING",
    )
    .bind(&made)
    .execute(&run.pool)
    .await?;
    Ok(())
}
