//! rota: a loopback HTTP proxy that owns OAuth credentials, so that its clients need none.
//!
//! The map is `docs/ARCHITECTURE.md`. In short: `model` holds nouns, `engine` decides (pure), `state` is the one
//! writer, `store` keeps bytes through crashes, `upstream` and `proxy` move requests, `auth` renews tokens, `admin`
//! and `cli` show and change, `app` wires them.
pub mod admin;
pub mod affinity;
pub mod antigravity;
pub mod app;
pub mod auth;
pub mod cli;
pub mod clients;
pub mod clock;
pub mod config;
pub mod engine;
mod http1;
pub mod lease;
pub mod limits;
pub mod model;
pub mod notify;
pub mod proxy;
pub mod runs;
pub mod scheduler;
pub mod state;
pub mod store;
pub mod sys;
pub mod telemetry;
pub mod upstream;
