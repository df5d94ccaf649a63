//! What a message holds that only one account can read: learnt from what the upstream says, left out of what the client
//! sends where it is another account's (SEL-4).
use super::super::bonds::Bonds;
use super::super::sanitize::sanitize;
use super::super::{flight, markers};
use super::turn::Bound;
use crate::model::OnOwnerLost;

impl Bound {
    /// A message that asks, without the reasoning of other accounts; none where all of it may go as it is.
    pub(super) fn readable(&self, text: &str) -> Option<String> {
        let conversation = &self.provider.conversation;
        if conversation.on_owner_lost != OnOwnerLost::Sanitize {
            return None;
        }
        let (owners, now) = (&self.app.owners, self.app.clock.now());
        if !Bonds::of_text(text, conversation).is_foreign_to(self.account, owners, now) {
            return None;
        }
        let ours = |ciphertext: &str| {
            let owner = owners.owner(markers::mark(ciphertext.as_bytes()), now);
            owner.is_none_or(|owner| owner == self.account)
        };
        let sanitized = sanitize(text.as_bytes(), ours)?;
        flight::left_out(self.account, sanitized.dropped);
        String::from_utf8(sanitized.body).ok()
    }

    /// What the upstream says is this account's to read.
    pub(super) fn note(&self, text: &str) {
        let now = self.app.clock.now();
        for mark in Bonds::of_text(text, &self.provider.conversation).marks() {
            self.app.owners.learn(mark, self.account, now);
        }
    }
}
