use super::event::{Event, Kind};
use crate::model::{Alias, ProviderId, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long an account's, or a provider's, event of one kind is no news again.
const SILENCE: Duration = Duration::from_secs(3600);

/// What was told within the hour. Bounded: one entry for each account and kind of event.
#[derive(Debug, Default)]
pub(super) struct Once(BTreeMap<(Kind, ProviderId, Option<Alias>), Time>);

impl Once {
    /// True, and remembered, unless its like was told within the hour.
    pub(super) fn is_news(&mut self, event: &Event, now: Time) -> bool {
        self.0.retain(|_, told| now < told.after(SILENCE));
        let key = (event.kind, event.provider.clone(), event.account.clone());
        let is_news = !self.0.contains_key(&key);
        if is_news {
            self.0.insert(key, now);
        }
        is_news
    }
}
