//! Files: known only to the organisation that uploaded them.

use serde_json::{Value, json};

use crate::conversation::Turn;
use crate::errors;
use crate::reply::Reply;

/// Answers `POST /v1/files`. The content is not kept.
pub(crate) fn upload(turn: Turn<'_>) -> Reply {
    let id = format!("file-{}", turn.world.serial());
    turn.world.own(&id, &turn.caller.org);
    Reply::json(200, &describe(&id, turn.ask.body.len(), turn.now))
}

/// Answers `GET` and `DELETE /v1/files/{id}`.
pub(crate) fn existing(turn: Turn<'_>, id: &str) -> Reply {
    if !turn.world.owns(id, &turn.caller.org) {
        return not_found(id);
    }
    if turn.ask.head.method == http::Method::DELETE {
        turn.world.disown(id);
        return Reply::json(200, &json!({"id": id, "object": "file", "deleted": true}));
    }
    Reply::json(200, &describe(id, 0, turn.now))
}

/// Refuses a request that names a file of another organisation.
pub(crate) fn check(turn: &Turn<'_>) -> Result<(), Reply> {
    match foreign(turn, turn.ask.json.get("input").unwrap_or(&Value::Null)) {
        Some(id) => Err(not_found(&id)),
        None => Ok(()),
    }
}

fn foreign(turn: &Turn<'_>, value: &Value) -> Option<String> {
    match value {
        Value::Array(entries) => entries.iter().find_map(|entry| foreign(turn, entry)),
        Value::Object(fields) => fields.iter().find_map(|(name, value)| match value.as_str() {
            Some(id) if name == "file_id" => (!turn.world.owns(id, &turn.caller.org)).then(|| id.to_owned()),
            _ => foreign(turn, value),
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn describe(id: &str, bytes: usize, now: i64) -> Value {
    json!({"id": id, "object": "file", "bytes": bytes, "created_at": now, "filename": "upload",
        "purpose": "user_data", "status": "processed"})
}

fn not_found(id: &str) -> Reply {
    errors::openai(404, "file_not_found", &format!("No such File object: {id}"))
}
