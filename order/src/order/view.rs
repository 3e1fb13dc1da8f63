//! Orders as their owners read them.

use std::collections::HashMap;

use common::wire::Time;
use common::wire::id::{OptionId, OrderId, ProductId, UserId};
use common::wire::money::Won;
use common::wire::order::{LineView, OrderState, OrderView};
use sqlx::PgConnection;
use uuid::Uuid;

use super::rules;

/// A page of somebody's orders.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Whose.
    pub user: UserId,
    /// Only those placed before this one.
    pub before: Option<OrderId>,
    /// Only those in this state.
    pub state: Option<OrderState>,
    /// Only those with a product whose name contains this, however it is capitalised.
    pub product_name: Option<String>,
    /// How many at most.
    pub max: i64,
}

struct Row {
    id: OrderId,
    user: UserId,
    state: OrderState,
    seq: i64,
    total: Won,
    expires_at: Option<Time>,
    reason: Option<String>,
    shipping_address: Option<String>,
    memo: Option<String>,
    created_at: Time,
    updated_at: Time,
}

/// One order and its owner.
///
/// # Errors
/// The database's.
pub async fn one(
    connection: &mut PgConnection,
    id: OrderId,
) -> Result<Option<(UserId, OrderView)>, sqlx::Error> {
    Ok(numbered(connection, id).await?.map(|(owner, _, view)| (owner, view)))
}

/// One order with its owner and the number of its last transition.
///
/// # Errors
/// The database's.
pub async fn numbered(
    connection: &mut PgConnection,
    id: OrderId,
) -> Result<Option<(UserId, i64, OrderView)>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT order_id AS "id: OrderId", user_id AS "user: UserId", state AS "state: OrderState", seq,
                  total_price AS "total: Won", expires_at, reason, shipping_address, memo, created_at, updated_at
           FROM orders WHERE order_id = $1"#,
        id.0,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let (user, seq) = (row.user, row.seq);
    Ok(with_lines(connection, vec![row]).await?.pop().map(|view| (user, seq, view)))
}

/// Orders, the newest first.
///
/// # Errors
/// The database's.
pub async fn list(connection: &mut PgConnection, wanted: Wanted) -> Result<Vec<OrderView>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT order_id AS "id: OrderId", user_id AS "user: UserId", state AS "state: OrderState", seq,
                  total_price AS "total: Won", expires_at, reason, shipping_address, memo, created_at, updated_at
           FROM orders
           WHERE user_id = $1 AND ($2::uuid IS NULL OR order_id < $2) AND ($3::text IS NULL OR state = $3)
             AND ($5::text IS NULL OR EXISTS (SELECT FROM order_line
                                              WHERE order_line.order_id = orders.order_id AND product_name ILIKE $5))
           ORDER BY order_id DESC LIMIT $4"#,
        wanted.user.0,
        wanted.before.map(|id| id.0),
        wanted.state.map(rules::name),
        wanted.max,
        wanted.product_name.as_deref().map(containing),
    )
    .fetch_all(&mut *connection)
    .await?;
    with_lines(connection, rows).await
}

/// The pattern of texts that contain this one, whatever it is made of.
fn containing(text: &str) -> String {
    let literal = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{literal}%")
}

async fn with_lines(connection: &mut PgConnection, rows: Vec<Row>) -> Result<Vec<OrderView>, sqlx::Error> {
    let mut lines = lines(connection, rows.iter().map(|row| row.id.0).collect()).await?;
    let views = rows.into_iter().map(|row| {
        let payable = matches!(row.state, OrderState::Reserved | OrderState::Paying);
        OrderView {
            order_id: row.id,
            state: row.state,
            lines: lines.remove(&row.id).unwrap_or_default(),
            total_price: row.total,
            expires_at: row.expires_at.filter(|_| payable),
            reason: row.reason,
            shipping_address: row.shipping_address,
            memo: row.memo,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    });
    Ok(views.collect())
}

async fn lines(
    connection: &mut PgConnection,
    orders: Vec<Uuid>,
) -> Result<HashMap<OrderId, Vec<LineView>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT order_id AS "order: OrderId", product_id AS "product: ProductId", product_name,
                  option_id AS "option: OptionId", quantity, unit_price AS "unit_price: Won"
           FROM order_line WHERE order_id = ANY($1) ORDER BY order_id, line"#,
        &orders,
    )
    .fetch_all(connection)
    .await?;
    let mut lines: HashMap<OrderId, Vec<LineView>> = HashMap::with_capacity(orders.len());
    for row in rows {
        lines.entry(row.order).or_default().push(LineView {
            product_id: row.product,
            product_name: row.product_name,
            option_id: row.option,
            quantity: row.quantity.unsigned_abs(),
            unit_price: row.unit_price,
        });
    }
    Ok(lines)
}
