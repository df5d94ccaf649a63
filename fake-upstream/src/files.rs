//! Files and containers: known only to the organisation that made them.

use serde_json::{Value, json};

use crate::assertions::Rule;
use crate::conversation::{Kept, Turn};
use crate::errors;
use crate::reply::Reply;

/// Fields of an input that name something kept by the organisation.
const NAMES: [&str; 6] =
    ["container", "container_id", "file_id", "file_ids", "vector_store_id", "vector_store_ids"];

/// Answers `POST /v1/containers`.
pub(crate) fn container(mut turn: Turn<'_>) -> Reply {
    let id = format!("cntr_{}", turn.world.serial());
    turn.mint(&id, Kept::ByOrganisation);
    let name = turn.ask.text("name");
    Reply::json(
        200,
        &json!({"id": id, "object": "container", "created_at": turn.now, "status": "running", "name": name}),
    )
}

/// Answers `POST /v1/files`. The content is not kept.
pub(crate) fn upload(mut turn: Turn<'_>) -> Reply {
    let id = format!("file-{}", turn.world.serial());
    turn.mint(&id, Kept::ByOrganisation);
    Reply::json(200, &describe(&id, turn.ask.body.len(), turn.now))
}

/// Answers `GET` and `DELETE /v1/files/{id}`.
pub(crate) fn existing(mut turn: Turn<'_>, id: &str) -> Reply {
    if !turn.world.owns(id, &turn.caller.org) {
        report(&mut turn, id);
        return not_found(id);
    }
    if turn.ask.head.method == http::Method::DELETE {
        turn.world.forget(id);
        return Reply::json(200, &json!({"id": id, "object": "file", "deleted": true}));
    }
    Reply::json(200, &describe(id, 0, turn.now))
}

/// Refuses a request that names a file or container of another organisation.
pub(crate) fn check(turn: &mut Turn<'_>) -> Result<(), Reply> {
    let ask = turn.ask;
    let mut named = Vec::new();
    for part in ["input", "tools"] {
        collect(ask.json.get(part).unwrap_or(&Value::Null), &mut named);
    }
    match named.into_iter().find(|id| !turn.world.owns(id, &turn.caller.org)) {
        Some(id) => {
            report(turn, id);
            Err(not_found(id))
        }
        None => Ok(()),
    }
}

/// Every id in the places that name one. What stands elsewhere is text.
fn collect<'a>(value: &'a Value, named: &mut Vec<&'a str>) {
    match value {
        Value::Array(entries) => entries.iter().for_each(|entry| collect(entry, named)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(id) if NAMES.contains(&name.as_str()) => named.push(id),
                    Value::Array(ids) if NAMES.contains(&name.as_str()) => {
                        named.extend(ids.iter().filter_map(Value::as_str));
                    }
                    Value::Array(_)
                    | Value::Bool(_)
                    | Value::Null
                    | Value::Number(_)
                    | Value::Object(_)
                    | Value::String(_) => collect(value, named),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn report(turn: &mut Turn<'_>, id: &str) {
    if let Some(owner) = turn.world.minted(id).map(|mint| mint.account.clone()) {
        let words = format!("{id:?} of account {owner:?} came to account {:?}", turn.caller.id);
        turn.violation(Rule::File, words);
    }
}

fn describe(id: &str, bytes: usize, now: i64) -> Value {
    json!({"id": id, "object": "file", "bytes": bytes, "created_at": now, "filename": "upload",
        "purpose": "user_data", "status": "processed"})
}

fn not_found(id: &str) -> Reply {
    errors::openai(404, "file_not_found", &format!("No such File object: {id}"))
}
