//! `audit`: what was changed lately, and by whom. No secret. What cannot be read of it is left out: it is a record for
//! people, and no decision depends on it.
use super::fields::{BadField, Fields, Object};
use crate::model::{AuditAction, AuditEntry, AuditTrail};
use serde_json::Value;

/// Reads an audit record. An entry of an unknown kind, which a later version may have written, is left out.
pub(in crate::store) fn parse(body: &[u8]) -> Result<AuditTrail, BadField> {
    let mut fields = Fields::parse(body)?;
    let entries: Vec<Value> = fields.need("entries")?;
    let mut kept: Vec<AuditEntry> =
        entries.into_iter().filter_map(|entry| take(entry).ok().flatten()).collect();
    kept.sort_by_key(|entry| entry.seq);
    Ok(AuditTrail::of(kept))
}

/// As a record's body.
pub(in crate::store) fn text(trail: &AuditTrail) -> Vec<u8> {
    let entries: Vec<Value> = trail.entries().map(|entry| give(entry).into()).collect();
    // One entry a line would be for people; this is for a disk, and people have `rota audit`.
    Value::from(Object::default().set("entries", entries)).to_string().into_bytes()
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

fn give(entry: &AuditEntry) -> Object {
    Object::default()
        .set("seq", entry.seq)
        .time("at", Some(entry.at))
        .set("actor", entry.actor.as_str())
        .set("action", entry.action.as_str())
        .set("target", entry.target.clone())
        .put("before", entry.before.clone())
        .put("after", entry.after.clone())
        .put("reason", entry.reason.clone())
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
        let body = text(&trail);
        assert_eq!(parse(&body).as_ref(), Ok(&trail));
        let mut value: Value = serde_json::from_slice(&body).expect("JSON");
        let entries = value["entries"].as_array_mut().expect("a list");
        entries.push(serde_json::json!({"seq": 99, "action": "account.beamed-up"}));
        entries.push(serde_json::json!({"seq": 98, "at": "soon", "action": "force.set"}));
        entries.push(Value::Null);
        assert_eq!(parse(value.to_string().as_bytes()).as_ref(), Ok(&trail));
        assert!(parse(b"{\"entries\": 1}").is_err());
    }
}
