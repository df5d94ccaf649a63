//! Every endpoint there is, in one table. The router is made of it and so is the OpenAPI document: what is not here does
//! not exist, and what is here is described.
use super::described::{Described, Signature};
use super::feature::Feature;
use super::{
    accounts, antigravity, clients, decisions, doctor, events, force, handover, health, import, keys, limits,
    login, openapi, runs, sessions,
};
use super::{audit, edit, settings};
use super::{providers, stats};
use crate::app::App;
use axum::handler::Handler;
use axum::routing::{self, MethodRouter};
use http::Method;
use std::sync::Arc;

/// One method of one path.
pub(super) struct Endpoint {
    /// How it is asked.
    pub(super) method: Method,
    /// Where, with its parameters in braces.
    pub(super) path: &'static str,
    /// What it is for: one sentence.
    pub(super) summary: &'static str,
    /// Who may.
    pub(super) access: Access,
    /// Its handler.
    pub(super) route: MethodRouter<Arc<App>>,
    /// What that takes and answers.
    pub(super) describe: fn(&mut Signature<'_>),
}

/// Who may ask, besides what the gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Whoever shows the admin token, while this is on; else there is no such endpoint.
    Feature(Feature),
    /// Whoever shows the admin token.
    Token,
    /// Whoever passes the gate.
    Gate,
}

/// The table.
pub(super) fn all() -> Vec<Endpoint> {
    vec![
        get("/api/accounts", accounts::list, "All accounts, each with whether it can serve and why not."),
        post("/api/accounts", accounts::add, "Adds an account; answered once it is durable."),
        get("/api/accounts/{alias}", limits::account, "One account, and what was observed of its limits."),
        delete("/api/accounts/{alias}", accounts::remove, "Removes an account and its credential."),
        put("/api/accounts/{alias}/enabled", accounts::set_enabled, "Switches an account on or off."),
        patch(
            "/api/accounts/{alias}",
            edit::edit,
            "Renames an account; its share, labels, notes, quota group.",
        ),
        get("/api/accounts/{alias}/reauth", login::latest, "The account's latest sign-in, if there is one."),
        post("/api/accounts/{alias}/reauth", login::again, "Begins to sign the account in again."),
        post("/api/accounts/{alias}/refresh", login::refresh, "Renews the account's token now."),
        get("/api/clients", clients::list, "How programs are pointed at this rota."),
        get(
            "/api/antigravity",
            antigravity::panel,
            "What the Antigravity plugin knows of its accounts' quota.",
        )
        .only_with(Feature::Antigravity),
        get("/api/audit", audit::latest, "Who changed what, newest first."),
        get("/api/decisions", decisions::latest, "The latest decisions, newest first."),
        get("/api/decisions/next", decisions::next, "Who would be taken now, and why; moves no cursor."),
        get("/api/decisions/{id}", decisions::one, "One decision, by its request id or the beginning of it."),
        get("/api/doctor", doctor::examine, "What is wrong, each with the command that puts it right."),
        get("/api/events", events::follow, "What happens, as it happens: server-sent events."),
        get("/api/force", force::show, "The account that is forced, if one is."),
        post("/api/force", force::set, "Pins an account for a day."),
        post("/api/force/clear", force::clear, "Lets the strategy decide again."),
        post("/api/handover", handover::give, "A ticket with which a page gets the token, once."),
        post("/api/handover/redeem", handover::redeem, "The token for a ticket, to our own page.").open(),
        post("/api/import", import::import, "Takes over the logins of another program's file."),
        get("/api/keys", keys::list, "Keys of clients, and what each is for."),
        post("/api/keys", keys::add, "Makes a key for a client; it is shown this once."),
        delete("/api/keys/{name}", keys::remove, "Takes a client's key back."),
        get("/api/limits/refresh", limits::latest, "How far the latest refresh of each account's limits is."),
        post("/api/limits/refresh", limits::refresh, "Asks for the limits of accounts now."),
        delete("/api/limits/refresh", limits::stop, "Calls off refreshes that have not begun."),
        post("/api/login", login::start, "Begins to sign in to a new account, or again to one there is."),
        get("/api/login/{id}", login::job, "A sign-in."),
        delete("/api/login/{id}", login::cancel, "Calls a sign-in off."),
        post("/api/login/{id}/complete", login::complete, "Takes what the person pasted."),
        get("/api/providers", providers::list, "What an account can be added for, and how."),
        put(
            "/api/runs/{id}",
            runs::open,
            "A command that `rota run` starts: lasts as long as the stream is read.",
        ),
        post("/api/runs/{id}/ready", runs::ready, "The command has been started."),
        get("/api/sessions", sessions::list, "Who is on which account, and what ties harder."),
        delete("/api/sessions/{key}", sessions::forget, "Takes a session off its account."),
        get("/api/stats", stats::stats, "Requests by the hour, and what is left."),
        get("/api/settings", settings::show, "What may change while rota runs, each value with its layers."),
        put("/api/settings", settings::set, "Changes settings: all of those that are named, or none."),
        post("/api/settings/reset", settings::reset, "Takes settings back to what the layers beneath say."),
        post("/api/settings/preset", settings::preset, "Takes thresholds by a name."),
        get("/api/settings/feature-flags", settings::flags, "What is off until somebody asks for it."),
        put("/api/settings/feature-flags", settings::set_flags, "Switches a feature on or off."),
        get("/api/status", health::status, "Version, addresses, strategy, store, accounts."),
        get("/healthz", health::alive, "Whether the process answers.").open(),
        get("/metrics", health::metrics, "Prometheus text.").open(),
        get("/openapi.json", openapi::answer, "This document: OpenAPI 3.1."),
        get("/readyz", health::ready, "Whether a request would be sent to somebody now.").open(),
    ]
}

impl Endpoint {
    /// The same, only while `feature` is on.
    fn only_with(self, feature: Feature) -> Self {
        Self { access: Access::Feature(feature), ..self }
    }

    /// The same without the token: it tells nothing that is anybody's.
    fn open(self) -> Self {
        Self { access: Access::Gate, ..self }
    }
}

fn get<H, T, P>(path: &'static str, handler: H, summary: &'static str) -> Endpoint
where
    H: Handler<T, Arc<App>> + Described<P>,
    T: 'static,
{
    let route = routing::get(handler);
    Endpoint { method: Method::GET, path, summary, access: Access::Token, route, describe: H::describe }
}

fn post<H, T, P>(path: &'static str, handler: H, summary: &'static str) -> Endpoint
where
    H: Handler<T, Arc<App>> + Described<P>,
    T: 'static,
{
    let route = routing::post(handler);
    Endpoint { method: Method::POST, path, summary, access: Access::Token, route, describe: H::describe }
}

fn put<H, T, P>(path: &'static str, handler: H, summary: &'static str) -> Endpoint
where
    H: Handler<T, Arc<App>> + Described<P>,
    T: 'static,
{
    let route = routing::put(handler);
    Endpoint { method: Method::PUT, path, summary, access: Access::Token, route, describe: H::describe }
}

fn patch<H, T, P>(path: &'static str, handler: H, summary: &'static str) -> Endpoint
where
    H: Handler<T, Arc<App>> + Described<P>,
    T: 'static,
{
    let route = routing::patch(handler);
    Endpoint { method: Method::PATCH, path, summary, access: Access::Token, route, describe: H::describe }
}

fn delete<H, T, P>(path: &'static str, handler: H, summary: &'static str) -> Endpoint
where
    H: Handler<T, Arc<App>> + Described<P>,
    T: 'static,
{
    let route = routing::delete(handler);
    Endpoint { method: Method::DELETE, path, summary, access: Access::Token, route, describe: H::describe }
}
