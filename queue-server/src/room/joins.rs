//! Registrations that come together go to the store together: while one batch is on its way, the next one collects. So a
//! single shopper waits for nothing, and a rush costs Redis a fraction of as many calls.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, anyhow, bail};
use common::stop::Stop;
use common::wire::id::ProductId;
use tokio::sync::oneshot;

use super::store::{JOIN_MAX, Joined, Joiner, Store};

/// Shoppers who wait for a batch of one room at most: what Redis registers in a tenth of a second.
const COLLECTED_MAX: usize = 10_000;

/// What the store answered; an error is everybody's of the batch.
type Answer = Result<Option<Joined>, Arc<anyhow::Error>>;

/// Those who register, by room. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Joins {
    store: Store,
    stop: Stop,
    /// Of rooms with a batch on its way: who comes after it.
    collected: Arc<Mutex<HashMap<ProductId, Vec<Head>>>>,
}

#[derive(Debug)]
struct Head {
    person: Joiner,
    answer: oneshot::Sender<Answer>,
}

impl Joins {
    pub(crate) fn new(store: Store, stop: Stop) -> Self {
        Self { store, stop, collected: Arc::default() }
    }

    /// Registers a shopper. `None`: the product is not known.
    pub(crate) async fn join(&self, product: ProductId, person: Joiner) -> anyhow::Result<Option<Joined>> {
        let (answer, told) = oneshot::channel();
        if self.collect(product, Head { person, answer })? {
            // Not in this request's own time: its client may hang up while others wait for the same batch.
            self.stop.spawn("joins", self.clone().send(product));
        }
        told.await.context("the batch was dropped")?.map_err(|cause| anyhow!("{cause:#}"))
    }

    /// Whether somebody must begin to send.
    fn collect(&self, product: ProductId, head: Head) -> anyhow::Result<bool> {
        match self.lock().entry(product) {
            Entry::Vacant(room) => {
                room.insert(vec![head]);
                Ok(true)
            }
            Entry::Occupied(room) if room.get().len() >= COLLECTED_MAX => bail!("too many register at once"),
            Entry::Occupied(mut room) => {
                room.get_mut().push(head);
                Ok(false)
            }
        }
    }

    async fn send(self, product: ProductId) {
        while let Some(batch) = self.next(product, JOIN_MAX) {
            let people: Vec<Joiner> = batch.iter().map(|head| head.person).collect();
            match self.store.join(product, &people).await {
                Ok(Some(joined)) => {
                    for (head, joined) in batch.into_iter().zip(joined) {
                        // Whoever hung up has registered all the same.
                        head.answer.send(Ok(Some(joined))).ok();
                    }
                }
                Ok(None) => tell(batch, &Ok(None)),
                Err(error) => {
                    let refused = Err(Arc::new(error));
                    tell(batch, &refused);
                    // The next batch would wait as long for nothing.
                    tell(self.next(product, COLLECTED_MAX).unwrap_or_default(), &refused);
                }
            }
        }
    }

    /// The next of those who came meanwhile; when there are none, nobody sends any more.
    fn next(&self, product: ProductId, most: usize) -> Option<Vec<Head>> {
        let mut collected = self.lock();
        let room = collected.get_mut(&product)?;
        if room.is_empty() {
            collected.remove(&product);
            return None;
        }
        let rest = room.split_off(most.min(room.len()));
        Some(std::mem::replace(room, rest))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ProductId, Vec<Head>>> {
        // A panic cannot leave half a list.
        self.collected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(heads: Vec<Head>, answer: &Answer) {
    for head in heads {
        head.answer.send(answer.clone()).ok();
    }
}
