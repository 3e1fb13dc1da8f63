//! Products in SQL.

use std::collections::HashMap;

use common::pg::OnConstraint as _;
use common::wire::Time;
use common::wire::id::{CompanyId, OptionId, ProductId, UserId};
use common::wire::money::Won;
use common::wire::product::{OptionView, QueuePolicy, SaleState};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::rules::{Change, Registration};
use super::{Fields, OptionWish, Product};
use crate::error::Error;

/// Who did it, and when.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// Who.
    pub by: UserId,
    /// When.
    pub at: Time,
}

/// Registers a product with its options.
///
/// # Errors
/// [`Error::UnknownCategory`]; the database's.
pub async fn insert(db: &mut PgConnection, new: &Registration, stamp: Stamp) -> Result<ProductId, Error> {
    let fields = &new.fields;
    let product = sqlx::query_file_scalar!(
        "src/catalog/sql/insert.sql",
        new.company_id.0,
        fields.category_code,
        fields.product_name,
        fields.description,
        fields.original_price.0,
        fields.discounted_price.0,
        new.stock,
        fields.sale_start_time,
        fields.sale_end_time,
        limit(fields),
        &fields.images,
        Json(&fields.queue) as _,
        stamp.at,
        stamp.by.0,
        fields.sale_zone,
        fields.state(stamp.at, new.stock).as_str(),
        fields.turns_at(stamp.at),
    )
    .fetch_one(&mut *db)
    .await
    .on_constraint("product_of_a_category", || Error::UnknownCategory)?;
    insert_options(db, product, &fields.options, stamp).await?;
    Ok(product)
}

fn limit(fields: &Fields) -> i32 {
    i32::try_from(fields.purchase_limit).expect("checked: at most 100")
}

async fn insert_options(
    db: &mut PgConnection,
    product: ProductId,
    options: &[OptionWish],
    stamp: Stamp,
) -> Result<(), sqlx::Error> {
    let names: Vec<_> = options.iter().map(|option| option.option_name.clone()).collect();
    let values: Vec<_> = options.iter().map(|option| option.option_value.clone()).collect();
    let prices: Vec<_> = options.iter().map(|option| option.option_price.0).collect();
    sqlx::query!(
        "INSERT INTO product_option (product_id, position, option_name, option_value, option_price,
                                     created_at, created_by, updated_at, updated_by)
         SELECT $1, n::integer, name, value, price, $5, $6, $5, $6
         FROM UNNEST($2::text[], $3::text[], $4::bigint[]) WITH ORDINALITY AS o(name, value, price, n) ORDER BY n",
        product.0,
        &names,
        &values,
        &prices,
        stamp.at,
        stamp.by.0,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A product, withdrawn or not.
///
/// # Errors
/// The database's.
pub async fn find(db: &mut PgConnection, product: ProductId) -> Result<Option<Product>, sqlx::Error> {
    Ok(find_all(db, &[product.0]).await?.pop())
}

/// Those of these products that there are, withdrawn or not, in no order.
///
/// # Errors
/// The database's.
pub async fn find_all(db: &mut PgConnection, products: &[i64]) -> Result<Vec<Product>, sqlx::Error> {
    let rows = sqlx::query_file!("src/catalog/sql/find.sql", products).fetch_all(&mut *db).await?;
    let mut options = options(db, products).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let options = options.remove(&row.product_id).unwrap_or_default();
        let wishes = options.iter().map(|option| OptionWish {
            option_name: option.option_name.clone(),
            option_value: option.option_value.clone(),
            option_price: option.option_price,
        });
        let fields = Fields {
            product_name: row.product_name,
            description: row.description,
            original_price: Won(row.original_price),
            discounted_price: Won(row.discounted_price),
            options: wishes.collect(),
            category_code: row.category_code,
            sale_start_time: row.sale_start_time,
            sale_end_time: row.sale_end_time,
            sale_zone: row.sale_zone,
            draft: row.state == SaleState::Draft.as_str(),
            purchase_limit: row.purchase_limit.unsigned_abs(),
            images: row.images,
            queue: row.queue.0,
        };
        found.push(Product {
            product_id: ProductId(row.product_id),
            company_id: CompanyId(row.company_id),
            company_name: row.company_name,
            seller_id: UserId(row.seller_id),
            fields,
            options,
            initial_stock: row.initial_stock,
            available: row.available,
            version: row.version,
            told: state(&row.state)?,
            state_version: row.state_version,
            price_version: row.price_version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            updated_by: UserId(row.updated_by),
            deleted_at: row.deleted_at,
        });
    }
    Ok(found)
}

/// A state as it is stored.
///
/// # Errors
/// When it is none.
pub fn state(text: &str) -> Result<SaleState, sqlx::Error> {
    let known = SaleState::ALL.into_iter().find(|state| state.as_str() == text);
    known.ok_or_else(|| sqlx::Error::Decode(format!("sale state {text}").into()))
}

/// The options of products, in their order.
async fn options(
    db: &mut PgConnection,
    products: &[i64],
) -> Result<HashMap<i64, Vec<OptionView>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT product_id, option_id AS "option_id: OptionId", option_name, option_value,
                  option_price AS "option_price: Won"
           FROM product_option WHERE product_id = ANY($1) AND deleted_at IS NULL ORDER BY product_id, position"#,
        products,
    );
    let mut options: HashMap<i64, Vec<OptionView>> = HashMap::new();
    for row in rows.fetch_all(db).await? {
        options.entry(row.product_id).or_default().push(OptionView {
            option_id: row.option_id,
            option_name: row.option_name,
            option_value: row.option_value,
            option_price: row.option_price,
        });
    }
    Ok(options)
}

/// A product that was not withdrawn; nobody else changes it before the transaction ends.
///
/// # Errors
/// [`Error::UnknownProduct`]; the database's.
pub async fn lock(db: &mut PgConnection, product: ProductId) -> Result<Product, Error> {
    sqlx::query!("SELECT FROM product WHERE product_id = $1 AND deleted_at IS NULL FOR UPDATE", product.0)
        .fetch_optional(&mut *db)
        .await?
        .ok_or(Error::UnknownProduct)?;
    find(db, product).await?.ok_or(Error::UnknownProduct)
}

/// Writes a new version of a locked product.
///
/// # Errors
/// [`Error::UnknownCategory`]; the database's.
pub async fn update(
    db: &mut PgConnection,
    was: &Product,
    change: &Change,
    stamp: Stamp,
) -> Result<(), Error> {
    let (product, fields) = (was.product_id, &change.fields);
    // A draft has no units yet but those that it will begin with.
    let available = change.stock.unwrap_or(was.available);
    sqlx::query_file!(
        "src/catalog/sql/update.sql",
        product.0,
        fields.category_code,
        fields.product_name,
        fields.description,
        fields.original_price.0,
        fields.discounted_price.0,
        fields.sale_start_time,
        fields.sale_end_time,
        limit(fields),
        &fields.images,
        Json(&fields.queue) as _,
        i64::from(change.reprices),
        stamp.at,
        stamp.by.0,
        fields.sale_zone,
        fields.state(stamp.at, available).as_str(),
        fields.turns_at(stamp.at),
        change.stock,
    )
    .execute(&mut *db)
    .await
    .on_constraint("product_of_a_category", || Error::UnknownCategory)?;
    if change.replaces_options {
        withdraw_options(db, product, stamp).await?;
        insert_options(db, product, &fields.options, stamp).await?;
    }
    Ok(())
}

async fn withdraw_options(
    db: &mut PgConnection,
    product: ProductId,
    stamp: Stamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE product_option SET deleted_at = $2, deleted_by = $3, updated_at = $2, updated_by = $3
         WHERE product_id = $1 AND deleted_at IS NULL",
        product.0,
        stamp.at,
        stamp.by.0,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Withdraws a locked product: its last version.
///
/// # Errors
/// The database's.
pub async fn withdraw(db: &mut PgConnection, product: ProductId, stamp: Stamp) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE product SET version = version + 1, turns_at = NULL, deleted_at = $2, deleted_by = $3, updated_at = $2,
                            updated_by = $3
         WHERE product_id = $1",
        product.0,
        stamp.at,
        stamp.by.0,
    )
    .execute(db)
    .await?;
    Ok(())
}
