use super::endpoint::Leave;
use super::flight::{Tools, adopt, later};
use super::grant::{self, Exchange, Grant, Then};
use super::logbook::Logbook;
use super::token::Trade;
use crate::engine::RenewalFailure;
use crate::model::{Credential, Time, TokenEndpoint};
use crate::store::{Answer, Pending, Round};
use http::{HeaderMap, StatusCode};
use std::time::Duration;

/// The deadline of the one attempt to recover from an unclear end: within the grace that authorities give.
const RECOVERY: Duration = Duration::from_secs(10);
/// Exchanges that were provably not spent, before it is left for later (REN-3).
const ATTEMPTS: u32 = 3;
/// The wait after the first of them; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// An endpoint that wants to be left alone for longer is left for later.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// What became of a refresh token that was sent twice is not known. It is never sent again.
pub(super) const INDETERMINATE: &str = "indeterminate";

/// One trade on its way through the endpoint.
pub(super) struct Attempts<'a> {
    pub(super) tools: &'a Tools,
    pub(super) leave: &'a Leave<'a>,
    pub(super) endpoint: &'a TokenEndpoint,
    pub(super) trade: Trade<'a>,
    pub(super) params: &'a [(String, String)],
    pub(super) log: &'a Logbook,
}

impl Attempts<'_> {
    /// New tokens; none where a newer credential turned up and was adopted. Begins where the journal ends: what came
    /// back already is not asked for, and what may be spent is shown once more at most.
    pub(super) async fn run(&self) -> Result<Option<Grant>, RenewalFailure> {
        match self.log.pending(self.tools).await? {
            Pending::Nothing => self.first().await,
            Pending::Answered(round, answer) => self.resume(round, &answer).await,
            Pending::Unanswered(Round::First) => {
                self.recover("the process that sent it ended before an answer was noted".to_owned()).await
            }
            Pending::Unanswered(Round::Recovery) => Err(self.unknown("no answer is known")),
        }
    }

    /// From an answer that an earlier process noted.
    async fn resume(&self, round: Round, answer: &Answer) -> Result<Option<Grant>, RenewalFailure> {
        match (read(answer), round) {
            (Exchange::Granted(grant), _) => Ok(Some(*grant)),
            (Exchange::Refused(code), _) => self.dead(code).await,
            (Exchange::Unspent { .. }, Round::First) => {
                self.log.clear(self.tools, Round::First).await;
                self.first().await
            }
            (Exchange::Unspent { why, .. }, Round::Recovery) => {
                self.log.clear(self.tools, Round::Recovery).await;
                self.recover(why).await
            }
            (Exchange::Unclear(why), Round::First) => self.recover(why).await,
            (Exchange::Unclear(why), Round::Recovery) => {
                if !self.log.credential().lapsed(self.tools.clock.now()) {
                    return Err(turned_away(&why));
                }
                let account = self.log.account().0;
                tracing::warn!(account, why, "the token has ended and both answers were errors: sent anew");
                self.first().await
            }
        }
    }

    async fn first(&self) -> Result<Option<Grant>, RenewalFailure> {
        let mut wait = FIRST_WAIT;
        let mut left = ATTEMPTS;
        loop {
            let (why, next) = match self.once(Round::First, self.tools.deadline).await? {
                Exchange::Granted(grant) => return Ok(Some(*grant)),
                Exchange::Refused(code) => return self.dead(code).await,
                Exchange::Unclear(why) => return self.recover(why).await,
                Exchange::Unspent { why, then } => match then {
                    Then::Later => return Err(later(&why)),
                    Then::Soon(asked) => (why, asked.max(wait)),
                    Then::Unreached => (why, wait),
                },
            };
            left -= 1;
            if !self.leave.may_go_on(self.tools.clock.now()) {
                return Err(later(&format!("{why}, and the endpoint is left alone for now")));
            }
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

    /// Notes it, sends it, notes what came back, and only then looks at it. What was provably not spent leaves no note.
    async fn once(&self, round: Round, patience: Duration) -> Result<Exchange, RenewalFailure> {
        let ticket = self.log.intent(self.tools, round).await?;
        let asked = self.tools.tokens.ask(self.endpoint, &self.trade, self.params, patience).await;
        self.log.result(self.tools, ticket, &asked).await;
        let exchange = asked.map_or_else(|exchange| exchange, |answer| answer.exchange());
        match &exchange {
            Exchange::Unclear(_) | Exchange::Unspent { then: Then::Unreached, .. } => {
                self.leave.failed(self.tools.clock.now())
            }
            Exchange::Granted(_) | Exchange::Refused(_) | Exchange::Unspent { .. } => {
                self.leave.answered();
            }
        }
        if matches!(exchange, Exchange::Unspent { .. }) {
            self.log.clear(self.tools, round).await;
        }
        Ok(exchange)
    }

    /// The token may be spent, and its successor lost. Authorities give a moment's grace for exactly this, so it is
    /// shown once more, and then left alone.
    async fn recover(&self, why: String) -> Result<Option<Grant>, RenewalFailure> {
        let (account, version) = (self.log.account(), self.log.credential().version);
        tracing::warn!(
            account = account.0,
            version,
            why,
            "the end of a renewal is unclear: the refresh token is sent once more"
        );
        if adopt(self.tools, account, version).await? {
            return Ok(None);
        }
        match self.once(Round::Recovery, RECOVERY.min(self.tools.deadline)).await? {
            Exchange::Granted(grant) => Ok(Some(*grant)),
            Exchange::Refused(code) => {
                let code = format!("{code}, after an answer was lost ({why})");
                self.dead(code).await
            }
            Exchange::Unspent { why: again, .. } => Err(later(&format!("{why}; once more: {again}"))),
            Exchange::Unclear(again) => match self.log.pending(self.tools).await? {
                Pending::Unanswered(Round::Recovery) => {
                    Err(self.unknown(&format!("{why}; once more: {again}")))
                }
                Pending::Answered(..) => Err(turned_away(&format!("{why}; once more: {again}"))),
                Pending::Nothing | Pending::Unanswered(Round::First) => {
                    Err(later(&format!("{why}; once more: {again}")))
                }
            },
        }
    }

    /// Dead only if the record still holds what was refused: a peer may have renewed it (REN-3). The answer stays in the
    /// journal: whoever meets this credential after a crash need not ask again.
    async fn dead(&self, code: String) -> Result<Option<Grant>, RenewalFailure> {
        if adopt(self.tools, self.log.account(), self.log.credential().version).await? {
            return Ok(None);
        }
        Err(RenewalFailure::Permanent { detail: code })
    }

    fn unknown(&self, why: &str) -> RenewalFailure {
        unknown(self.log.credential(), why, self.tools.clock.now())
    }
}

/// Sent twice, and nobody knows what became of it: the access token serves until it ends, and then a human is needed.
pub(super) fn unknown(credential: &Credential, why: &str, now: Time) -> RenewalFailure {
    let detail = format!("{INDETERMINATE}: the refresh token was sent twice and is not sent again ({why})");
    match credential.lapsed(now) {
        true => RenewalFailure::Permanent { detail },
        false => RenewalFailure::Transient { detail },
    }
}

/// Both answers came whole and were errors of the endpoint's own. The token waits until its access token has ended:
/// from then on nothing is left to lose by sending it.
fn turned_away(why: &str) -> RenewalFailure {
    later(&format!("{why}; the refresh token is kept until the access token has ended"))
}

/// What a noted answer means. Its headers are not kept: how long to wait is not asked of an answer that is old.
pub(super) fn read(answer: &Answer) -> Exchange {
    match StatusCode::from_u16(answer.status) {
        Ok(status) => grant::read(status, &HeaderMap::new(), &answer.body),
        Err(_) => Exchange::Unclear("its status is none".to_owned()),
    }
}
