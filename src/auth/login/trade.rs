use super::error::LoginError;
use super::job::{Job, Progress};
use super::logins::Work;
use crate::auth::grant::{Exchange, Grant, Then};
use crate::auth::token::Trade;
use crate::model::TokenEndpoint;
use std::time::Duration;

/// Trades that provably came to nothing, before it is given up.
const ATTEMPTS: u32 = 3;
/// The wait after the first of them; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// A code lives for minutes: an endpoint that wants to be left alone for longer is given up.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Trades what a login gave for tokens. A code is good once: after an unclear end nobody can tell, and the person signs
/// in again.
pub(super) async fn exchange(
    work: &Work,
    job: &Job,
    endpoint: &TokenEndpoint,
    trade: &Trade<'_>,
) -> Result<Grant, LoginError> {
    job.advance(Progress::Exchanging);
    let params =
        work.tokens.params(&endpoint.params, &job.alias).await.map_err(LoginError::ExchangeFailed)?;
    let mut wait = FIRST_WAIT;
    let mut left = ATTEMPTS;
    loop {
        let (why, next) = match work.tokens.exchange(endpoint, trade, &params, work.deadline).await {
            Exchange::Granted(grant) => return Ok(*grant),
            Exchange::Refused(why)
            | Exchange::Unclear(why)
            | Exchange::Unspent { why, then: Then::Later } => return Err(LoginError::ExchangeFailed(why)),
            Exchange::Unspent { why, then: Then::Soon(asked) } => (why, asked.max(wait)),
            Exchange::Unspent { why, then: Then::Unreached } => (why, wait),
        };
        left -= 1;
        if left == 0 || next > LONGEST_WAIT {
            return Err(LoginError::ExchangeFailed(why));
        }
        work.clock.sleep_until(work.clock.now().after(next)).await;
        wait *= 2;
    }
}
