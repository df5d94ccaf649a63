//! What the OpenAPI document promises of an answer, held against the answer.
use super::talk::Reply;
use jsonschema::Validator;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

static DOCUMENT: LazyLock<Value> = LazyLock::new(rota::admin::openapi);
/// By the pointer of the answer's schema.
static KNOWN: Mutex<BTreeMap<String, Validator>> = Mutex::new(BTreeMap::new());

/// Panics where the answer is not what the document says of its endpoint and status.
pub(super) fn check(method: &str, path: &str, reply: &Reply) {
    let path = path.split('?').next().unwrap_or(path);
    // The dashboard's files are no part of the API.
    if path == "/" || path.starts_with("/ui/") {
        return;
    }
    let Some((template, operations)) = endpoint(path) else {
        assert_eq!(reply.code(), "NOT_FOUND", "{method} {path} is not in the document: {reply:?}");
        return;
    };
    let method = method.to_ascii_lowercase();
    let Some(operation) = operations.get(&method) else {
        let refused = ["METHOD_NOT_ALLOWED", "CROSS_SITE", "ORIGIN_NOT_ALLOWED", "HOST_NOT_ALLOWED"];
        assert!(refused.contains(&reply.code().as_str()), "{method} {path}: {reply:?}");
        return;
    };
    let responses = &operation["responses"];
    let status = reply.status.to_string();
    let status = if responses.get(&status).is_some() { status } else { "default".to_owned() };
    let content = &responses[&status]["content"];
    if content.is_null() {
        assert_eq!(reply.body, "", "{method} {path} {status}");
        return;
    }
    let media = reply.header("content-type").unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default();
    let there = content.get(media).is_some();
    assert!(there, "{method} {path} answered {status} with {media:?}, which the document does not say");
    if media == "application/json" {
        let name = format!("{method} {template} {status}");
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let validator =
            known.entry(name).or_insert_with_key(|name| validator(name, &content[media]["schema"]));
        let wrong: Vec<String> = validator
            .iter_errors(&reply.json())
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(wrong.is_empty(), "{method} {path} {status}: {wrong:?}\n{}", reply.body);
    }
}

fn endpoint(path: &str) -> Option<(&'static String, &'static serde_json::Map<String, Value>)> {
    let fits = |template: &str| {
        let (parts, asked): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        parts.len() == asked.len()
            && parts.iter().zip(&asked).all(|(part, asked)| part.starts_with('{') || part == asked)
    };
    let paths = DOCUMENT["paths"].as_object()?;
    // A name goes before a parameter, as the router has it.
    let exact = paths.iter().find(|(template, _)| *template == path);
    let found = exact.or_else(|| paths.iter().find(|(template, _)| fits(template)));
    found.and_then(|(template, operations)| Some((template, operations.as_object()?)))
}

fn validator(name: &str, schema: &Value) -> Validator {
    let mut schema = schema.clone();
    schema["components"] = json!({"schemas": DOCUMENT["components"]["schemas"]});
    jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}
