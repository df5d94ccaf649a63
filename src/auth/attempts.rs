use super::endpoint::Leave;
use super::flight::{Tools, adopt, later};
use super::grant::{Exchange, Grant, Then};
use super::token::Trade;
use crate::engine::RenewalFailure;
use crate::model::{AccountId, TokenEndpoint};
use std::time::Duration;

/// The deadline of the one attempt to recover from an unclear end: within the grace that authorities give.
const RECOVERY: Duration = Duration::from_secs(10);
/// Exchanges that were provably not spent, before it is left for later (REN-3).
const ATTEMPTS: u32 = 3;
/// The wait after the first of them; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// An endpoint that wants to be left alone for longer is left for later.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// One trade on its way through the endpoint.
pub(super) struct Attempts<'a> {
    pub(super) tools: &'a Tools,
    pub(super) leave: &'a Leave<'a>,
    pub(super) endpoint: &'a TokenEndpoint,
    pub(super) trade: Trade<'a>,
    pub(super) params: &'a [(String, String)],
}

impl Attempts<'_> {
    /// New tokens; none where a newer credential turned up and was adopted.
    pub(super) async fn run(
        &self,
        account: AccountId,
        version: u64,
    ) -> Result<Option<Grant>, RenewalFailure> {
        let mut wait = FIRST_WAIT;
        let mut left = ATTEMPTS;
        loop {
            let (why, next) = match self.once(self.tools.deadline).await {
                Exchange::Granted(grant) => return Ok(Some(*grant)),
                Exchange::Refused(code) => return self.dead(account, version, code).await,
                Exchange::Unclear(why) => return self.recover(account, version, why).await,
                Exchange::Unspent { why, then } => match then {
                    Then::Later => return Err(later(&why)),
                    Then::Soon(asked) => (why, asked.max(wait)),
                    Then::Unreached => (why, wait),
                },
            };
            left -= 1;
            if left == 0 {
                return Err(later(&format!("MAX_ATTEMPTS_EXCEEDED: {why}")));
            }
            if next > LONGEST_WAIT {
                return Err(later(&format!("{why}, and asks to be left alone")));
            }
            let now = self.tools.clock.now();
            self.tools.clock.sleep_until(now.after(next)).await;
            wait *= 2;
        }
    }

    async fn once(&self, patience: Duration) -> Exchange {
        let exchange = self.tools.tokens.exchange(self.endpoint, &self.trade, self.params, patience).await;
        match &exchange {
            Exchange::Unclear(_) | Exchange::Unspent { then: Then::Unreached, .. } => {
                self.leave.failed(self.tools.clock.now())
            }
            Exchange::Granted(_) | Exchange::Refused(_) | Exchange::Unspent { .. } => {
                self.leave.answered();
            }
        }
        exchange
    }

    /// The token may be spent, and its successor lost. Authorities give a moment's grace for exactly this, so it is
    /// shown once more, and then left alone.
    async fn recover(
        &self,
        account: AccountId,
        version: u64,
        why: String,
    ) -> Result<Option<Grant>, RenewalFailure> {
        tracing::warn!(account = account.0, version, why, "the end of a renewal is unclear");
        if adopt(self.tools, account, version).await? {
            return Ok(None);
        }
        match self.once(RECOVERY.min(self.tools.deadline)).await {
            Exchange::Granted(grant) => Ok(Some(*grant)),
            Exchange::Refused(code) => {
                let code = format!("{code}, after an answer was lost ({why})");
                self.dead(account, version, code).await
            }
            Exchange::Unclear(again) | Exchange::Unspent { why: again, .. } => {
                Err(later(&format!("{why}; once more: {again}")))
            }
        }
    }

    /// Dead only if the record still holds what was refused: a peer may have renewed it (REN-3).
    async fn dead(
        &self,
        account: AccountId,
        version: u64,
        code: String,
    ) -> Result<Option<Grant>, RenewalFailure> {
        if adopt(self.tools, account, version).await? {
            return Ok(None);
        }
        Err(RenewalFailure::Permanent { detail: code })
    }
}
