//! What a request that has arrived is answered: fault, refusal, or the endpoint.

use http::StatusCode;
use serde_json::json;

use crate::account::Account;
use crate::ask::{Ask, Head};
use crate::assertions::{Rule, Went, conversation};
use crate::auth::{self, Caller};
use crate::conversation::Turn;
use crate::fault::Fault;
use crate::fault_table::{Phase, Target};
use crate::limits::{self, Meter};
use crate::reply::{Content, Reply};
use crate::routes::{Api, Door, Provider, Route};
use crate::seal::{Purpose, open, seal};
use crate::world::World;
use crate::{
    authorize, chat, device, errors, files, gemini, handshake, messages, models, responses, shape, token,
    usage,
};

/// Name of the cookie that is bound to an account.
const COOKIE: &str = "__cf_bm";

/// A request after the check of its credential.
#[derive(Debug)]
pub(crate) enum Checked {
    /// The endpoint wants no credential.
    Open(Door),
    Passed(Api, Caller),
    Refused(Reply),
}

impl Checked {
    pub(crate) fn of(world: &mut World, head: &Head, route: &Route, now_ms: i64) -> Self {
        match route {
            Route::Api(api) => match auth::check(world, head, api.provider(), now_ms) {
                Ok(caller) => Self::Passed(api.clone(), caller),
                Err(reply) => Self::Refused(reply),
            },
            Route::Door(door) => Self::Open(*door),
        }
    }

    fn account(&self) -> Option<&str> {
        match self {
            Self::Passed(_, caller) => Some(&caller.id),
            Self::Open(_) | Self::Refused(_) => None,
        }
    }
}

/// The fault that a request meets before its body is read, with its reply.
pub(crate) fn early(world: &mut World, head: &Head, checked: &Checked, now: i64) -> Option<(Reply, Fault)> {
    let target =
        Target { account: checked.account(), model: "", path: &head.path, method: head.method.as_str() };
    let fault = world.faults.choose(Phase::Head, target)?;
    let reply = shape::replacement(&fault, "", now)?;
    Some((reply, fault))
}

/// Answers a whole request; the fault that is to shape the reply comes with it.
pub(crate) fn answer(
    world: &mut World,
    ask: &Ask,
    route: &Route,
    checked: Checked,
    here: Here<'_>,
) -> (Reply, Option<Fault>) {
    let token_owner = owner_of_token_request(world, ask, route);
    let model = model(ask, route);
    let target = Target {
        account: checked.account().or(token_owner.as_deref()),
        model: &model,
        path: &ask.head.path,
        method: ask.head.method.as_str(),
    };
    let fault = world.faults.choose(Phase::Whole, target);
    let visitor = visitor(world, ask, route, &checked);
    let replaced = fault.as_ref().and_then(|fault| shape::replacement(fault, &model, here.now));
    let commits = fault.as_ref().is_none_or(|fault| fault.committed);
    let reply = match replaced {
        Some(reply) if !commits => reply,
        Some(reply) => {
            let _thrown_away = handle(world, ask, checked, here);
            reply
        }
        None => handle(world, ask, checked, here),
    };
    if let Some(account) = visitor {
        note_visit(world, ask, &account, went(&reply, fault.as_ref()));
    }
    (reply, fault)
}

/// The account of a request that belongs to a conversation.
fn visitor(world: &World, ask: &Ask, route: &Route, checked: &Checked) -> Option<String> {
    let Route::Api(api) = route else {
        return None;
    };
    if !api.is_metered() && !matches!(api, Api::Socket(_)) {
        return None;
    }
    let known = || auth::identify(world, &ask.head).map(|(id, _)| id);
    checked.account().map(str::to_owned).or_else(known)
}

/// Whether the account has given a reason to try another.
pub(crate) fn went(reply: &Reply, fault: Option<&Fault>) -> Went {
    let refused = reply.status.as_u16() >= 400 || fault.is_some_and(Fault::spoils);
    if refused { Went::Refused } else { Went::Served }
}

/// Notes which account a conversation came to. What costs nothing, a handshake
/// or a prewarm, counts only as a refusal.
pub(crate) fn note_visit(world: &mut World, ask: &Ask, account: &str, went: Went) {
    let org = world.place_of(account).and_then(|place| world.accounts.get(place));
    if let (Went::Refused, Some(org)) = (went, org.map(|account| account.org_id.clone())) {
        world.watch.refused(&org);
    }
    let costs = ask.head.method != http::Method::GET && !ask.is_prewarm();
    if let Some(conversation) = conversation(ask).filter(|_| costs || went == Went::Refused) {
        world.watch.visit(conversation, account, went);
    }
}

/// Where and when a request is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Here<'a> {
    pub(crate) origin: &'a str,
    pub(crate) now: i64,
}

/// The account that a token endpoint was asked for.
pub(crate) fn owner_of_token_request(world: &World, ask: &Ask, route: &Route) -> Option<String> {
    matches!(route, Route::Door(Door::Token(_))).then(|| token::owner(world, ask)).flatten()
}

/// The model that a request names, empty when it names none.
pub(crate) fn model(ask: &Ask, route: &Route) -> String {
    if let Route::Api(Api::Gemini { model, .. }) = route {
        return model.clone();
    }
    ask.text("model").to_owned()
}

fn handle(world: &mut World, ask: &Ask, checked: Checked, here: Here<'_>) -> Reply {
    match checked {
        Checked::Open(door) => open_endpoint(world, ask, door, here),
        Checked::Refused(reply) => with_request_id(world, reply),
        Checked::Passed(api, caller) => {
            let reply = guarded(world, ask, &api, &caller, here.now);
            with_request_id(world, reply)
        }
    }
}

fn open_endpoint(world: &mut World, ask: &Ask, door: Door, here: Here<'_>) -> Reply {
    match door {
        Door::Authorize => authorize::authorize(world, ask, here.now),
        Door::DeviceAuthorization => device::start(world, ask, here.origin, here.now),
        Door::DeviceCode => device::user_code(world, ask, here.now),
        Door::DevicePage => {
            Reply::bytes(200, "text/html; charset=utf-8", "<!doctype html><title>Type the code</title>")
        }
        Door::NoSocket => errors::openai(426, "upgrade_not_supported", "Use HTTP."),
        Door::DeviceToken => device::poll(world, ask, here.origin, here.now),
        Door::PastePage => authorize::paste_page(ask),
        Door::Probe => Reply::json(200, &json!({"fake_upstream": true})),
        Door::Revoke => token::revoke(world, ask),
        Door::Token(vendor) => token::exchange(world, ask, vendor, here.now),
        Door::Unknown => {
            let words = format!("Invalid URL ({} {})", ask.head.method, ask.head.path);
            errors::openai(404, "unknown_url", &words)
        }
    }
}

fn guarded(world: &mut World, ask: &Ask, api: &Api, caller: &Caller, now: i64) -> Reply {
    check_cookie(world, ask, caller);
    let mut reply = if api.is_metered() {
        metered(world, ask, api, caller, now)
    } else {
        endpoint(Turn { world, ask, caller, now }, api)
    };
    if world.script.cookies {
        let value = seal(Purpose::Cookie, &[&caller.id]);
        reply.add("set-cookie", &format!("{COOKIE}={value}; path=/; HttpOnly; Secure; SameSite=None"));
    }
    reply
}

fn metered(world: &mut World, ask: &Ask, api: &Api, caller: &Caller, now: i64) -> Reply {
    let model = model(ask, &Route::Api(api.clone()));
    let Some(account) = world.accounts.get_mut(caller.place).filter(|account| account.id == caller.id) else {
        return errors::openai(401, "invalid_api_key", "The account is gone.");
    };
    if !model.is_empty() && !account.may_use(&model) {
        return model_refused(api.provider(), caller.meter, &model);
    }
    limits::roll(account, now);
    let before = (account.quota.clone(), account.five_hour.clone());
    if !limits::spend(account, now) {
        return limits::refusal(account, caller.meter, now);
    }
    let mut reply = endpoint(Turn { world, ask, caller, now }, api);
    if let Some(account) = world.accounts.get_mut(caller.place) {
        if !reply.status.is_success() || ask.is_prewarm() {
            give_back(account, before);
        }
        limits::headers(account, caller.meter, now, &mut reply);
    }
    reply
}

/// A refused request costs nothing, nor does one that generates nothing.
fn give_back(account: &mut Account, before: (Option<crate::account::Quota>, crate::account::Window)) {
    (account.quota, account.five_hour) = before;
}

fn endpoint(turn: Turn<'_>, api: &Api) -> Reply {
    match api {
        Api::Chat => chat::create(turn),
        Api::ClaudeProfile => usage::profile(turn),
        Api::ClaudeUsage => usage::claude(turn),
        Api::CodexUsage => usage::codex(turn),
        Api::Compact(provider) => responses::compact(turn, *provider),
        Api::ContainerCreate => files::container(turn),
        Api::CountTokens => messages::count(turn),
        Api::Embeddings => chat::embeddings(turn),
        Api::FileOf(id) => files::existing(turn, id),
        Api::FileUpload => files::upload(turn),
        Api::Gemini { model, verb } => gemini::create(turn, model, *verb),
        Api::Messages => messages::create(turn),
        Api::Models(provider) => models::list(turn, *provider),
        Api::ResetCredit => usage::consume_reset_credit(turn),
        Api::Responses(provider) => responses::create(turn, *provider),
        Api::Socket(_) => handshake::accept(turn),
    }
}

fn model_refused(provider: Provider, meter: Meter, model: &str) -> Reply {
    match provider {
        Provider::Anthropic => errors::anthropic(404, &format!("model: {model}")),
        Provider::Gemini => {
            let words = format!("models/{model} is not found for API version v1beta");
            errors::google(404, "NOT_FOUND", &words, json!([]))
        }
        Provider::ChatGpt | Provider::OpenAi if meter == Meter::Codex => errors::detail(
            400,
            format!("The '{model}' model is not supported when using Codex with a ChatGPT account."),
        ),
        Provider::ChatGpt | Provider::OpenAi => {
            let words = format!("The model `{model}` does not exist or you do not have access to it.");
            errors::openai(404, "model_not_found", &words)
        }
    }
}

fn check_cookie(world: &mut World, ask: &Ask, caller: &Caller) {
    let cookies = ask.head.header("cookie").split(';').map(str::trim).filter(|pair| !pair.is_empty());
    for pair in cookies {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let owner = open(Purpose::Cookie, value).and_then(|fields| fields.into_iter().next());
        let words = match owner.filter(|_| name == COOKIE) {
            Some(owner) if owner == caller.id => continue,
            Some(owner) => {
                format!("a cookie of account {owner:?} came with the credential of account {:?}", caller.id)
            }
            None => format!("a cookie named {name:?} came, which no provider set"),
        };
        world.violation(Rule::Cookie, &caller.id, words);
    }
}

/// Every provider numbers its replies. Anthropic also does so in error bodies.
fn with_request_id(world: &mut World, mut reply: Reply) -> Reply {
    let id = format!("req_{:08}", world.serial());
    reply.set("x-request-id", &id);
    reply.set("request-id", &id);
    if reply.status >= StatusCode::BAD_REQUEST
        && let Content::Whole(body) = &mut reply.content
        && let Ok(text) = std::str::from_utf8(body)
        && text.contains("\"req_fake\"")
    {
        *body = text.replace("\"req_fake\"", &format!("\"{id}\"")).into();
    }
    reply
}
