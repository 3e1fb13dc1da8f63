//! Judges one sale that was just played.

use std::collections::BTreeMap;
use std::time::Duration;

use common::wire::id::OrderId;

use super::check::Check;
use super::look::{Eye, Facts, Scope};
use super::topics::Marks;
use super::{orders, room};
use crate::http::Agent;
use crate::notes::Seen;
use crate::sale::Sale;
use crate::stack::Stack;

const AREA: &str = "sale";
/// What is still on its way gets this long to arrive.
const QUIET_WITHIN: Duration = Duration::from_secs(30);

/// A run to be judged.
#[derive(Debug)]
pub(crate) struct Case {
    /// What was sold.
    pub(crate) sale: Sale,
    /// Orders that were accepted with 202.
    pub(crate) seen: BTreeMap<OrderId, Seen>,
    /// Ends of the topics before the sale was registered.
    pub(crate) marks: Marks,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Findings {
    /// Units sold.
    pub(crate) sold: i64,
    /// Units sold or held beyond those there were.
    pub(crate) oversold: i64,
    /// Shoppers let in before somebody who stood before them.
    pub(crate) inversions: usize,
    /// Orders accepted but not decided.
    pub(crate) undecided: usize,
    /// All rules.
    pub(crate) checks: Vec<Check>,
}

/// Waits until nothing is on its way any more, then judges.
pub(crate) async fn judge(stack: &Stack, agent: &Agent, case: &Case) -> anyhow::Result<Findings> {
    let product = Some(case.sale.product);
    let scope = Scope { product, marks: case.marks.clone(), provider: true };
    let (facts, mut checks) = Eye::open(stack, agent, scope).await?.settled(QUIET_WITHIN).await?;
    let room = room::read(stack, case).await?;
    checks.extend(of_sale(&facts, &case.sale));
    checks.extend(orders::promises(&case.seen, &facts.book));
    checks.extend(room::checks(&room));
    let [_, _, reserved, sold] = counts(&facts, &case.sale);
    Ok(Findings {
        sold,
        oversold: (sold + reserved - case.sale.terms.units).max(0),
        inversions: room.story.inversions.len(),
        undecided: orders::undecided(case.seen.keys(), &facts.book).len(),
        checks,
    })
}

fn counts(facts: &Facts, sale: &Sale) -> [i64; 4] {
    facts.stage.products.get(&sale.product.0).map(|stock| stock.counts).unwrap_or_default()
}

/// What holds of a sale whose seller changes nothing.
fn of_sale(facts: &Facts, sale: &Sale) -> Vec<Check> {
    let [total, _, _, sold] = counts(facts, sale);
    let wanted = sale.terms.units;
    let key = sale.product.to_string();
    let dead = facts.stage.letters.values().filter(|letter| **letter == key).count();
    let found = format!("{} commands, {} decisions", facts.log.commands.len(), facts.log.decisions.len());
    let stands = !facts.log.commands.is_empty() && !facts.log.decisions.is_empty();
    vec![
        Check::one(
            AREA,
            "the stock is what was registered",
            total == wanted,
            format!("{total}, not {wanted}"),
        ),
        Check::one(AREA, "not one unit too many is sold", sold <= wanted, format!("{sold} of {wanted}")),
        Check::one(AREA, "every command could be read", dead == 0, format!("{dead} dead letters")),
        Check::one(AREA, "the run stands in the log", stands, found),
    ]
}
