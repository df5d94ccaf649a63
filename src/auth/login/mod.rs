//! A person signs in: what is made up for a sign-in (`pkce`, `inbox`), how its answer comes back (`callback`,
//! `listener`, `page`), the flows (`browser`, `device`, `trade`), what becomes of an account by it (`fresh`, `save`), and
//! the jobs that carry all this while people take their time (`job`, `table`, `plan`, `logins`). No renewals here, and
//! nothing that decides who serves.
mod browser;
mod callback;
mod device;
mod error;
mod fresh;
mod inbox;
mod job;
mod listener;
mod logins;
mod page;
mod pkce;
mod plan;
mod query;
mod save;
mod table;
mod trade;

#[cfg(test)]
mod tests;

pub use error::LoginError;
pub use job::{JobKind, JobReport, LoginFailure, LoginFlow, Offer, OwnersEyes, Progress};
pub use logins::{Ended, LoginRequest, Logins, LoginsParts};
pub use plan::ways_of;
