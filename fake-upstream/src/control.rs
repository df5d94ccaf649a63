//! The control API under `/__fake/`, for those who run the fake as a program.
//! It does what the methods of [`crate::FakeUpstream`] do, and is not recorded.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::account::Account;
use crate::ask::Head;
use crate::body::PlayBody;
use crate::catalogue;
use crate::fault::{Action, Fault};
use crate::handler::unrecorded;
use crate::hub::Hub;
use crate::ledger::Ledger;
use crate::login::{Vendor, sign_in};
use crate::seal::fingerprint;

/// Where the control API begins.
pub(crate) const PREFIX: &str = "/__fake/";
/// Largest body of a control request.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// Answers a control request.
pub(crate) async fn answer(hub: &Arc<Hub>, head: Head, body: Incoming) -> Response<PlayBody> {
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return refused("the body is too long or broke off");
    };
    let body = body.to_bytes();
    let what = head.path.strip_prefix(PREFIX).unwrap_or_default();
    let done = match (&head.method, what) {
        (&Method::GET, "requests") => {
            Ok(json!({"total": hub.recorder.total(), "requests": hub.recorder.requests()}))
        }
        (&Method::GET, "violations") => Ok(json!(hub.world().violations())),
        (&Method::GET, "assertions") => Ok(json!(hub.world().assertions())),
        (&Method::GET, "ledger") => Ok(json!(masked(hub.world().ledger.clone()))),
        (&Method::GET, "accounts") => Ok(json!(hub.world().accounts)),
        (&Method::GET, "clock") => Ok(json!({"now_ms": hub.clock.now_ms()})),
        (&Method::GET, "catalogue") => Ok(json!(catalogue::names())),
        (&Method::POST, "saw") => parsed::<Saw>(&body).map(|ask| json!({"saw": hub.recorder.saw(&ask.text)})),
        (&Method::POST, "canaries") => parsed::<Saw>(&body).map(|ask| {
            hub.world().watch.watch_for(&ask.text);
            json!({})
        }),
        (&Method::POST, "faults") => parsed::<OneOrMany>(&body).and_then(|faults| set_faults(hub, faults)),
        (&Method::DELETE, "faults") => {
            hub.world().faults.clear();
            Ok(json!({}))
        }
        (&Method::POST, "accounts") => parsed::<Value>(&body).and_then(|change| put_account(hub, &change)),
        (&Method::POST, "login") => parsed::<SignIn>(&body).and_then(|ask| log_in(hub, &ask)),
        (&Method::POST, "device") => parsed::<Judge>(&body).map(|ask| judge_device(hub, &ask)),
        (&Method::POST, "gates/release") => parsed::<Named>(&body).map(|ask| {
            hub.gates.named(&ask.name).release();
            json!({})
        }),
        (&Method::POST, "clock") => parsed::<MoveClock>(&body).map(|ask| move_clock(hub, &ask)),
        (&Method::POST, "reset") => {
            hub.reset();
            Ok(json!({}))
        }
        _ => {
            let words = format!("no control endpoint {} {}", head.method, head.path);
            return unrecorded(404, &json!({ "error": words }));
        }
    };
    match done {
        Ok(body) => unrecorded(200, &body),
        Err(words) => refused(&words),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Saw {
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    account: String,
    vendor: Vendor,
}

/// With an account the code is approved as it, without one it is denied.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Judge {
    user_code: String,
    account: Option<String>,
}

/// `advance_ms` moves the clock, `freeze_at_ms` stops it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MoveClock {
    #[serde(default)]
    advance_ms: i64,
    freeze_at_ms: Option<i64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<Fault>),
    One(Box<Fault>),
}

fn set_faults(hub: &Hub, faults: OneOrMany) -> Result<Value, String> {
    let faults = match faults {
        OneOrMany::Many(faults) => faults,
        OneOrMany::One(fault) => vec![*fault],
    };
    let known = catalogue::names();
    for action in faults.iter().flat_map(|fault| &fault.actions) {
        if let Action::Named(name) = action
            && !known.contains(&name.as_str())
        {
            return Err(format!("no catalogue entry named {name:?}; GET /__fake/catalogue lists them"));
        }
    }
    let count = faults.len();
    let mut world = hub.world();
    faults.into_iter().for_each(|fault| world.faults.set(fault));
    Ok(json!({ "set": count }))
}

/// The fields given replace those of the account; an unknown id is a new account.
fn put_account(hub: &Hub, change: &Value) -> Result<Value, String> {
    let id = change.get("id").and_then(Value::as_str).unwrap_or_default();
    if id.is_empty() {
        return Err("an account change needs the account's \"id\"".into());
    }
    let now = hub.clock.now();
    let mut world = hub.world();
    let old = world.place_of(id).and_then(|place| world.accounts.get(place));
    let mut merged = json!(old.cloned().unwrap_or_else(|| Account::new(id)));
    if let (Some(fields), Some(changed)) = (merged.as_object_mut(), change.as_object()) {
        fields.extend(changed.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    let account: Account = serde_json::from_value(merged).map_err(|error| error.to_string())?;
    world.put(account, now);
    Ok(json!({}))
}

fn log_in(hub: &Hub, ask: &SignIn) -> Result<Value, String> {
    let now = hub.clock.now();
    let mut world = hub.world();
    let place = world.place_of(&ask.account).ok_or_else(|| format!("no account {:?}", ask.account))?;
    let login = sign_in(&mut world, place, ask.vendor, now);
    Ok(json!(login))
}

fn judge_device(hub: &Hub, ask: &Judge) -> Value {
    let devices = &mut hub.world().devices;
    match &ask.account {
        Some(account) => json!({"approved": devices.approve(&ask.user_code, account)}),
        None => json!({"denied": devices.deny(&ask.user_code)}),
    }
}

fn move_clock(hub: &Hub, ask: &MoveClock) -> Value {
    if let Some(ms) = ask.freeze_at_ms {
        hub.clock.freeze_at_ms(ms);
    }
    hub.clock.advance_ms(ask.advance_ms);
    json!({"now_ms": hub.clock.now_ms()})
}

fn masked(mut ledger: Ledger) -> Ledger {
    let by_token = std::mem::take(&mut ledger.by_token);
    ledger.by_token = by_token.into_iter().map(|(token, used)| (fingerprint(&token), used)).collect();
    ledger
}

fn parsed<T: serde::de::DeserializeOwned>(body: &Bytes) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn refused(words: &str) -> Response<PlayBody> {
    unrecorded(400, &json!({ "error": words }))
}
