//! What a request's body says of where it belongs: its session, where no header named one, and the marks of what only
//! one account can read (SEL-3, SEL-4). The body is read ahead for it, on a decoded copy, and stays as it is.
use super::error::Turned;
use super::markers::{self, Found, Markers};
use super::sanitize::{Sanitized, sanitize};
use super::session::Seeker;
use super::upload::Upload;
use crate::affinity::{Mark, Owners};
use crate::app::App;
use crate::engine::Bond;
use crate::model::{
    AccountId, Conversation, MarkerClass, MarkerField, OnOwnerLost, Provider, SessionKey, Snapshot, Time,
};
use crate::upstream::Unpack;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use std::collections::VecDeque;
use std::pin::pin;

/// Bytes of a body that are looked at, and of its text where it is compressed.
const LOOKED_AT: usize = 8 << 20;
/// Text of a body that something is left out of, at most: as much as a body held for replay may have by default.
const REWRITTEN: usize = 32 << 20;
/// Marks of one request that are kept: the last ones say where it was last.
const MOST: usize = 256;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Bonds {
    /// The session that the body names.
    pub(super) session: Option<SessionKey>,
    /// In the order of the body.
    marks: VecDeque<(MarkerClass, Mark)>,
}

/// To whom a request is bound, by what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Binding {
    /// The account that can read it.
    pub(super) owner: Option<AccountId>,
    /// Whether that is a must.
    pub(super) bond: Bond,
    /// An account that would read it better, where none must.
    pub(super) better: Option<AccountId>,
    /// What binds it; tells how a client is told that its owner is lost.
    pub(super) class: Option<MarkerClass>,
}

impl Bonds {
    /// Reads the body where there may be something to find: a JSON document. `named` is the session that a header named.
    ///
    /// # Errors
    /// The client broke the body.
    pub(super) async fn read(
        upload: &Upload,
        headers: &HeaderMap,
        conversation: &Conversation,
        named: Option<&SessionKey>,
    ) -> Result<Self, Turned> {
        let fields = if named.is_some() { &[][..] } else { &conversation.session_fields[..] };
        // What is made while it is sent may wait for an answer to its beginning: it goes on as it comes.
        let told = upload.told().filter(|_| is_json(headers));
        let seeks = !(fields.is_empty() && conversation.markers.is_empty());
        if told.filter(|_| seeks).is_none() {
            return Ok(Self::default());
        }
        let mut unpack = Unpack::at_most(LOOKED_AT, headers.get(CONTENT_ENCODING));
        let mut markers = Markers::of(conversation.markers.clone());
        let mut session = Seeker::of(fields);
        let mut bonds = Self::default();
        let classes = &conversation.markers;
        pin!(upload.look(LOOKED_AT as u64, |piece| {
            unpack.read(piece, |seen| {
                markers.read(seen, |found| bonds.note(classes, found));
                session.read(seen);
            });
        }))
        .await?;
        bonds.session = session.found();
        Ok(bonds)
    }

    /// Reads a message of a WebSocket; its session is the handshake's.
    pub(super) fn of_message(text: &str, conversation: &Conversation) -> Self {
        let classes = &conversation.markers;
        let mut bonds = Self::default();
        Markers::of(classes.clone()).read(text.as_bytes(), |found| bonds.note(classes, found));
        bonds
    }

    fn note(&mut self, fields: &[MarkerField], found: Found) {
        if self.marks.len() == MOST {
            self.marks.pop_front();
        }
        self.marks.extend(fields.get(found.field).map(|field| (field.class, found.mark)));
    }

    /// Whom the marks bind the request to. Of the gravest kind of which an owner is known, the last one speaks.
    /// An account of another provider binds nobody here: what this provider makes of its words is the client's to hear.
    pub(super) fn binding(
        &self,
        provider: &Provider,
        owners: &Owners,
        world: &Snapshot,
        now: Time,
    ) -> Binding {
        if self.marks.is_empty() {
            return Binding { bond: Bond::Fast, ..Binding::default() };
        }
        let conversation = &provider.conversation;
        let is_ours =
            |owner: &AccountId| world.account(*owner).is_none_or(|account| account.provider == provider.id);
        let owner = |wanted: MarkerClass| {
            let marks = self.marks.iter().rev().filter(|(class, _)| *class == wanted);
            marks.filter_map(|(_, mark)| owners.owner(*mark, now)).find(is_ours)
        };
        for class in [MarkerClass::State, MarkerClass::Chain] {
            if let Some(account) = owner(class) {
                return Binding { owner: Some(account), class: Some(class), ..Binding::default() };
            }
        }
        let reasons = self.marks.iter().any(|(class, _)| *class == MarkerClass::Reasoning);
        let loose = conversation.on_owner_lost == OnOwnerLost::Sanitize && reasons;
        let account = owner(MarkerClass::Reasoning);
        Binding {
            owner: account,
            bond: if loose { Bond::Loose } else { Bond::Fast },
            better: owner(MarkerClass::Soft),
            class: account.map(|_| MarkerClass::Reasoning),
        }
    }

    /// The account that can read what a message holds, where one is known; the last of it speaks. Ids of earlier answers say
    /// nothing here: they are good on their own connection only.
    pub(super) fn reader(&self, owners: &Owners, now: Time) -> Option<AccountId> {
        let bound = |class: MarkerClass| matches!(class, MarkerClass::Reasoning | MarkerClass::State);
        let marks = self.marks.iter().rev().filter(|(class, _)| bound(*class));
        marks.filter_map(|(_, mark)| owners.owner(*mark, now)).next()
    }

    /// True where some reasoning in the request is known to be another account's than `account`.
    pub(super) fn is_foreign_to(&self, account: AccountId, owners: &Owners, now: Time) -> bool {
        let reasoning = self.marks.iter().filter(|(class, _)| *class == MarkerClass::Reasoning);
        reasoning.filter_map(|(_, mark)| owners.owner(*mark, now)).any(|owner| owner != account)
    }
}

/// The body without the reasoning that `keeps` does not keep. None where it cannot be had, is too large to be rewritten,
/// or needs no change.
pub(super) fn without_reasoning(
    upload: &Upload,
    headers: &HeaderMap,
    keeps: impl Fn(Mark) -> bool,
) -> Option<Sanitized> {
    let mut unpack = Unpack::at_most(REWRITTEN, headers.get(CONTENT_ENCODING));
    let mut text = Vec::new();
    for piece in upload.whole()? {
        unpack.read(&piece, |seen| text.extend_from_slice(seen));
    }
    if !unpack.is_readable() {
        return None;
    }
    sanitize(&text, |ciphertext| keeps(markers::mark(ciphertext.as_bytes())))
}

/// Removes the headers that only the account they came from may see again, where that is not `account`, or unknown.
pub(super) fn keep_turn(
    headers: &mut HeaderMap,
    conversation: &Conversation,
    account: AccountId,
    app: &App,
    now: Time,
) {
    for name in &conversation.turn_headers {
        let is_ours =
            |value: &HeaderValue| app.owners.owner(markers::mark(value.as_bytes()), now) == Some(account);
        if !headers.get_all(name).iter().all(is_ours) {
            headers.remove(name);
        }
    }
}

/// Notes whose they are, as they come with a reply.
pub(super) fn learn_turn(headers: &HeaderMap, conversation: &Conversation, account: AccountId, app: &App) {
    for name in &conversation.turn_headers {
        for value in headers.get_all(name) {
            app.owners.learn(markers::mark(value.as_bytes()), account, app.clock.now());
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let json = b"application/json";
    headers.get(CONTENT_TYPE).is_none_or(|kind| {
        kind.as_bytes().get(..json.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(json))
    })
}
