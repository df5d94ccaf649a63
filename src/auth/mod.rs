//! Credentials kept alive: the token endpoint's client, the refresher, which spends a refresh token at most once, and
//! sign-ins.
//! What a renewal means for the account is decided by the engine; where records live is the store's business.
mod attempts;
mod claims;
mod endpoint;
mod flight;
mod grant;
mod granted;
pub mod import;
mod logbook;
mod login;
mod params;
mod printed;
mod program;
mod recovery;
mod refresher;
mod renewed;
mod token;

#[cfg(test)]
mod tests;

pub use claims::Claims;
pub use flight::Tally;
pub use granted::NotGranted;
pub use login::{
    Ended, JobKind, JobReport, LoginError, LoginFailure, LoginFlow, LoginRequest, Logins, LoginsParts, Offer,
    OwnersEyes, Progress, ways_of,
};
pub use refresher::{Refresher, RefresherParts};
pub use token::TokenClient;
