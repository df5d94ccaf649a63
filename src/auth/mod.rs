//! Credentials kept alive: the token endpoint's client and the refresher, which spends a refresh token at most once.
//! What a renewal means for the account is decided by the engine; where records live is the store's business.
mod attempts;
mod claims;
mod endpoint;
mod flight;
mod grant;
pub mod import;
mod params;
mod refresher;
mod renewed;
mod token;

#[cfg(test)]
mod tests;

pub use claims::Claims;
pub use flight::Tally;
pub use refresher::{Refresher, RefresherParts};
pub use token::TokenClient;
