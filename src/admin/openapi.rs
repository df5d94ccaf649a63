//! The OpenAPI 3.1 document, made of the table of endpoints and of the types that their handlers read and write. Its
//! schemas are JSON Schema 2020-12, which is what OpenAPI 3.1 speaks.
use super::described::{Content, Signature, TakenBody};
use super::endpoint::{Access, Endpoint, all};
use crate::app::App;
use axum::Json;
use axum::extract::State;
use http::Method;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::sync::Arc;

const VERSION: &str = "3.1.0";
const SCHEMAS: &str = "/components/schemas";
const ABOUT: &str = "The admin API of rota: loopback only, JSON in and out. All but health and metrics need the admin \
                     token, which is in the file admin-token of the state directory.";

/// An OpenAPI 3.1 document.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Document(Value);

impl JsonSchema for Document {
    fn schema_name() -> Cow<'static, str> {
        "Document".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "object",
            "required": ["openapi", "info", "paths", "components"],
            "properties": {"openapi": {"type": "string", "const": VERSION}, "paths": {"type": "object"}},
        })
    }
}

/// `GET /openapi.json`
pub(super) async fn answer(State(app): State<Arc<App>>) -> Json<Document> {
    let is_there = |endpoint: &Endpoint| match endpoint.access {
        Access::Feature(feature) => feature.is_on(&app),
        Access::Gate | Access::Token => true,
    };
    Json(Document(of(all().into_iter().filter(is_there))))
}

/// The document of all that there can be, as JSON.
pub fn document() -> Value {
    of(all().into_iter())
}

fn of(endpoints: impl Iterator<Item = Endpoint>) -> Value {
    let mut given = generator(SchemaSettings::draft2020_12().for_deserialize());
    let mut shown = generator(SchemaSettings::draft2020_12().for_serialize());
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in endpoints {
        let mut signature = Signature::new(&mut given, &mut shown);
        (endpoint.describe)(&mut signature);
        let operation = operation(&endpoint, signature);
        let method = endpoint.method.as_str().to_ascii_lowercase();
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[method] = operation;
    }
    let mut schemas = given.take_definitions(true);
    schemas.append(&mut shown.take_definitions(true));
    json!({
        "openapi": VERSION,
        "info": {
            "title": "rota",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:7683", "description": "admin_listen, unless it was changed"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn generator(settings: SchemaSettings) -> SchemaGenerator {
    settings.with(|settings| settings.definitions_path = SCHEMAS.into()).into_generator()
}

fn operation(endpoint: &Endpoint, signature: Signature<'_>) -> Value {
    let mut operation = json!({
        "operationId": operation_id(&endpoint.method, endpoint.path),
        "summary": endpoint.summary,
        "responses": replies(endpoint.access, &signature),
    });
    if endpoint.access != Access::Gate {
        operation["security"] = json!([{"token": []}]);
    }
    let mut parameters: Vec<Value> = names(endpoint.path)
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    parameters.extend(signature.query.iter().flat_map(query));
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if let Some(TakenBody { schema, required }) = signature.body {
        operation["requestBody"] =
            json!({"required": required, "content": {"application/json": {"schema": schema}}});
    }
    operation
}

/// The parameters in a path's braces.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn query(schema: &Schema) -> Vec<Value> {
    let required = |name: &str| {
        schema.get("required").and_then(Value::as_array).is_some_and(|names| names.iter().any(|n| n == name))
    };
    let properties = schema.get("properties").and_then(Value::as_object);
    let parameter = |(name, schema): (&String, &Value)| json!({"name": name, "in": "query", "required": required(name), "schema": unset(schema)});
    properties.into_iter().flatten().map(parameter).collect()
}

/// A parameter that may be left out is not `null` in a query.
fn unset(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            schema["type"] = only.clone();
        }
    }
    if let Some(Value::Array(forms)) = schema.get_mut("anyOf") {
        forms.retain(|form| form["type"] != "null");
    }
    schema
}

fn replies(access: Access, signature: &Signature<'_>) -> Value {
    let mut replies = Map::new();
    for (status, content) in &signature.replies {
        let description = if *status == "default" { "An error." } else { "Done." };
        let reply = match content {
            Content::Json(schema) => {
                json!({"description": description, "content": {"application/json": {"schema": schema}}})
            }
            Content::Events(media, schema) => {
                let stream = json!({"schema": {"type": "string"}, "x-event": schema});
                json!({"description": "A stream of events.", "content": {*media: stream}})
            }
            Content::Nothing => json!({"description": description}),
            Content::Text(media) => {
                json!({"description": description, "content": {*media: {"schema": {"type": "string"}}}})
            }
        };
        replies.insert((*status).to_owned(), reply);
    }
    let error = json!({"$ref": format!("#{SCHEMAS}/ErrorView")});
    let error =
        |description| json!({"description": description, "content": {"application/json": {"schema": error}}});
    replies.entry("default").or_insert_with(|| error("An error."));
    if access != Access::Gate {
        replies.insert("401".to_owned(), error("The admin token is missing or wrong."));
    }
    Value::Object(replies)
}

/// `getApiAccountsByAlias`.
fn operation_id(method: &Method, path: &str) -> String {
    let mut id = method.as_str().to_ascii_lowercase();
    for part in path.split(['/', '.']) {
        let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        if name.is_some() {
            id.push_str("By");
        }
        let mut letters = name.unwrap_or(part).chars();
        id.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        id.extend(letters);
    }
    id
}

#[cfg(test)]
mod tests {
    use super::super::{AdminToken, Door, doors, router};
    use super::*;
    use crate::app::bench::Bench;
    use crate::config::Antigravity;
    use axum::body::Body;
    use http::header::{CONTENT_TYPE, HOST};
    use http::{Request, StatusCode};
    use http_body_util::BodyExt;
    use std::collections::BTreeSet;
    use tower_service::Service;

    /// ADM-1: what the document lists is there, and nothing but health, metrics and what needs a ticket is there
    /// without the token.
    #[tokio::test]
    async fn every_operation_of_the_document_is_answered_and_guarded_as_it_says() {
        let bench = Bench::new().await;
        let mut config = (*bench.app.config.load_full()).clone();
        config.features.antigravity = Antigravity::On { file: None };
        bench.app.config.store(Arc::new(config));
        let token = AdminToken::load_or_make(&bench.file("admin-token")).expect("a token");
        let (door, _) = doors(token, 1);
        let inside = router(bench.app.clone(), Door::Inside);
        let outside = router(bench.app.clone(), door);
        for (method, path, operation) in operations(&document()) {
            let path = path.replace(['{', '}'], "");
            let (status, body) = ask(inside.clone(), &method, &path).await;
            assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_ne!(body["error"]["code"], "NOT_FOUND", "{method} {path}");
            let (status, _) = ask(outside.clone(), &method, &path).await;
            let guarded = operation.get("security").is_some();
            assert_eq!(status == StatusCode::UNAUTHORIZED, guarded, "{method} {path}");
            let open = ["/api/handover/redeem", "/healthz", "/metrics", "/readyz"].contains(&path.as_str());
            assert_eq!(guarded, !open, "{method} {path}");
        }
    }

    #[test]
    fn the_document_names_each_operation_once_and_refers_to_nothing_that_is_not_there() {
        let document = document();
        let operations = operations(&document);
        let ids: BTreeSet<&str> =
            operations.iter().filter_map(|(_, _, operation)| operation["operationId"].as_str()).collect();
        assert_eq!(ids.len(), operations.len());
        assert!(ids.contains("getApiAccountsByAliasReauth"), "{ids:?}");
        let mut references = BTreeSet::new();
        gather(&document, &mut references);
        assert!(!references.is_empty());
        for reference in references {
            let there = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
            assert!(there.is_some(), "{reference}");
        }
        for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
            jsonschema::draft202012::meta::validate(schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }

    #[test]
    fn a_parameter_that_may_be_left_out_is_not_null() {
        let document = document();
        let parameter = |path: &str| document["paths"][path]["get"]["parameters"][0].clone();
        let (limit, model) = (parameter("/api/decisions"), parameter("/api/decisions/next"));
        assert_eq!((&limit["name"], &limit["required"]), (&json!("limit"), &json!(false)));
        assert_eq!(limit["schema"]["type"], "integer");
        assert_eq!((&model["name"], &model["required"]), (&json!("model"), &json!(false)));
        assert_eq!(model["schema"]["anyOf"], json!([{"$ref": "#/components/schemas/ModelName"}]));
    }

    fn operations(document: &Value) -> Vec<(Method, String, Value)> {
        let paths = document["paths"].as_object().expect("paths").iter();
        paths
            .flat_map(|(path, methods)| methods.as_object().into_iter().flatten().map(move |m| (path, m)))
            .map(|(path, (method, operation))| {
                let method = method.to_ascii_uppercase().parse().expect("a method");
                (method, path.clone(), operation.clone())
            })
            .collect()
    }

    fn gather(value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                into.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|field| gather(field, into));
            }
            Value::Array(entries) => entries.iter().for_each(|entry| gather(entry, into)),
            Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
        }
    }

    async fn ask(mut router: axum::Router, method: &Method, path: &str) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "127.0.0.1:1")
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from("{}"));
        let Ok(reply) = router.call(request.expect("a request")).await;
        let (head, body) = reply.into_parts();
        if head.headers.get(CONTENT_TYPE).is_some_and(|media| media == "text/event-stream") {
            // It has no end of its own.
            return (head.status, Value::Null);
        }
        let body = body.collect().await.expect("a body").to_bytes();
        (head.status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }
}
