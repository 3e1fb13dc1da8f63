//! Looks at the store: the line when a room is new here or its tickets changed, its log ever after.

use crate::app::App;

use super::room::Room;
use super::view::Phase;

/// Brings a room's memory up to now, by one step; says whether it is.
pub(crate) async fn step(app: &App, room: &Room) -> anyhow::Result<bool> {
    let (phase, last) = room.view().phase();
    match phase {
        Phase::Blank => {
            let end = app.store.end(room.product).await?;
            room.view().begin(end);
            Ok(false)
        }
        Phase::Loading(after) => {
            let page = app.store.line(room.product, after).await?;
            room.view().load(&page);
            Ok(false)
        }
        Phase::Following => {
            let looked = app.store.follow(room.product, last).await?;
            app.metrics.looks_total.inc();
            app.metrics.followed_total.inc_by(looked.steps.len() as u64);
            let touched = app.live.hearing(|heard| room.view().apply(&looked, heard));
            room.touch(touched);
            room.changed();
            Ok(!looked.has_more && room.view().phase().0 == Phase::Following)
        }
    }
}
