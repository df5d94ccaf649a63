//! The admin API: loopback only, JSON in and out, one handler per endpoint. A handler parses, makes one `Command` or
//! one view, and answers; what may happen is the engine's to say. The command line renders these
//! bodies and has no other way in.
mod accounts;
mod antigravity;
mod audit;
mod auth;
mod clients;
mod contain;
mod credential;
mod decisions;
mod described;
mod doctor;
mod edit;
mod endpoint;
mod error;
mod events;
mod extract;
mod feature;
mod force;
mod handover;
mod health;
mod import;
mod job;
mod keys;
mod limits;
mod listener;
mod login;
mod openapi;
mod providers;
mod reply;
mod runs;
mod sessions;
mod settings;
mod shape;
mod socket;
mod stats;
mod ui;
mod view;

pub use auth::AdminToken;
pub use error::ApiError;
pub use events::Readers;
pub use extract::ACTOR;
pub use force::{ForceEnded, ForceState, ForceView};
pub use job::JobView;
pub use openapi::document as openapi;
pub use socket::{AdminSocket, SocketError};
pub use view::{AccountView, StatusView};

use crate::app::App;
use crate::proxy::{Gate, Guests};
use axum::Extension;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use axum::serve::Listener;
use endpoint::{Access, Endpoint};
use handover::Tickets;
use listener::Doorkeeper;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The largest body an endpoint reads: credentials are a few KiB.
const BODY: usize = 256 * 1024;

/// Who is asking: a listener's client must pass the gate and show the token; the command line under the store's lock is
/// the owner already.
#[derive(Clone, Debug)]
pub enum Door {
    /// Requests of this process's own.
    Inside,
    /// Requests from a socket bound to this port.
    Socket {
        /// What they must show.
        token: AdminToken,
        /// The listener's gate.
        gate: Arc<Gate>,
        /// For pages that are to be given the token; those of one rota are the same at each of its doors.
        tickets: Arc<Tickets>,
    },
}

/// Both doors of a rota that listens: the second is that of a Unix socket, if there is one. They differ in how they are
/// addressed only.
pub fn doors(token: AdminToken, port: u16) -> (Door, Door) {
    let tickets = Arc::new(Tickets::default());
    let door =
        |gate| Door::Socket { token: token.clone(), gate: Arc::new(gate), tickets: Arc::clone(&tickets) };
    (door(Gate::new(port)), door(Gate::new(port).without_port()))
}

/// A TCP listener that lets `guests` in.
pub fn listener(listener: TcpListener, guests: Guests) -> impl Listener<Addr = SocketAddr> {
    Doorkeeper { listener, guests }
}

/// Answers on `listener` until `stop` turns true; what is being answered then is finished.
pub async fn serve<L>(listener: L, router: Router, mut stop: watch::Receiver<bool>)
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the admin API ended");
    }
}

/// The whole API, as the table of endpoints says.
pub fn router(app: Arc<App>, door: Door) -> Router {
    let mut guarded = Router::new();
    let mut open = Router::new();
    for Endpoint { path, access, route, .. } in endpoint::all() {
        match access {
            Access::Feature(feature) => open = open.route(path, feature.hide(route, &app, &door)),
            Access::Gate => open = open.route(path, route),
            Access::Token => guarded = guarded.route(path, route),
        }
    }
    Router::new()
        .merge(guarded.route_layer(from_fn_with_state(door.clone(), auth::token)))
        .merge(open)
        .route("/", get(ui::index))
        .route("/ui/{name}", get(ui::file))
        .fallback(error::no_endpoint)
        .method_not_allowed_fallback(error::no_method)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(from_fn(contain::contain))
        .layer(Extension(door.clone()))
        .layer(from_fn_with_state(door, auth::gate))
        .with_state(app)
}
