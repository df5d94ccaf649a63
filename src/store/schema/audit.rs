//! `audit`: what was changed lately, and by whom. No secret. What cannot be read of it is left out: it is a record for
//! people, and no decision depends on it. Its newest entries stand in the state record until there are some of them: so
//! a change and its entry are one write, and the long record is not written for each.
use super::fields::{BadField, Fields};
use crate::model::{Actor, AuditAction, AuditEntry, AuditTrail};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// Where the state record has the entries that came after those of the audit record.
pub(in crate::store) const FIELD: &str = "recentChanges";

/// Reads an audit record. An entry of an unknown kind, which a later version may have written, is left out.
pub(in crate::store) fn parse(body: &[u8]) -> Result<AuditTrail, BadField> {
    let mut fields = Fields::parse(body)?;
    Ok(AuditTrail::of(entries(fields.need("entries")?)))
}

/// Those of a list that can be read, in order.
pub(in crate::store) fn entries(list: Vec<Value>) -> Vec<AuditEntry> {
    let mut kept: Vec<AuditEntry> = list.into_iter().filter_map(|entry| take(entry).ok().flatten()).collect();
    kept.sort_by_key(|entry| entry.seq);
    kept
}

/// As a record's body.
pub(in crate::store) fn text(trail: &AuditTrail) -> Result<Vec<u8>, BadField> {
    // One entry a line would be for people; this is for a disk, and people have `rota audit`.
    let entries = trail.entries().map(|entry| Line::of(entry)).collect();
    serde_json::to_vec(&Entries { entries }).map_err(|error| BadField::new("entries", error.to_string()))
}

/// Entries as the state record has them.
pub(in crate::store) fn list<'a>(entries: impl IntoIterator<Item = &'a Arc<AuditEntry>>) -> Vec<Value> {
    entries.into_iter().filter_map(|entry| serde_json::to_value(Line::of(entry)).ok()).collect()
}

#[derive(Serialize)]
struct Entries<'a> {
    entries: Vec<Line<'a>>,
}

/// An entry as it is written: without a tree of values, for a thousand of them go into one record.
#[derive(Serialize)]
struct Line<'a> {
    action: &'static str,
    actor: Actor,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a str>,
    at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    seq: u64,
    target: &'a str,
}

impl<'a> Line<'a> {
    fn of(entry: &'a AuditEntry) -> Self {
        Self {
            action: entry.action.as_str(),
            actor: entry.actor,
            after: entry.after.as_deref(),
            at: entry.at.as_millis(),
            before: entry.before.as_deref(),
            reason: entry.reason.as_deref(),
            seq: entry.seq,
            target: &entry.target,
        }
    }
}

fn take(entry: Value) -> Result<Option<AuditEntry>, BadField> {
    let mut fields = Fields::of(entry)?;
    let word: String = fields.need("action")?;
    let Some(action) = AuditAction::ALL.into_iter().find(|action| action.as_str() == word) else {
        return Ok(None);
    };
    Ok(Some(AuditEntry {
        seq: fields.need("seq")?,
        at: fields.need("at")?,
        actor: fields.need("actor")?,
        action,
        target: fields.need("target")?,
        before: fields.get("before")?,
        after: fields.get("after")?,
        reason: fields.get("reason")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Actor, Note, Time};

    /// ADM-5
    #[test]
    fn a_trail_is_read_as_it_was_written_and_what_means_nothing_is_left_out() {
        let mut trail = AuditTrail::default();
        for action in AuditAction::ALL {
            let note = Note::new(action, "work").between(Some("a\nb".to_owned()), None);
            trail.push(note.because(Some("é\"".to_owned())), Actor::Dashboard, Time::from_millis(7));
        }
        let body = text(&trail).expect("JSON");
        assert_eq!(parse(&body).as_ref(), Ok(&trail));
        let mut value: Value = serde_json::from_slice(&body).expect("JSON");
        let entries = value["entries"].as_array_mut().expect("a list");
        entries.push(serde_json::json!({"seq": 99, "action": "account.beamed-up"}));
        entries.push(serde_json::json!({"seq": 98, "at": "soon", "action": "force.set"}));
        entries.push(Value::Null);
        assert_eq!(parse(value.to_string().as_bytes()).as_ref(), Ok(&trail));
        assert!(parse(b"{\"entries\": 1}").is_err());
        let (early, late) = (trail.entries().take(5), list(trail.since(3)));
        let early = AuditTrail::of(early.map(|entry| entry.as_ref().clone()));
        assert_eq!(early.followed_by(super::entries(late)), trail, "what stands in both is there once");
    }
}
