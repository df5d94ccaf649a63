use super::flight::{Tools, blocking, later};
use super::grant::Exchange;
use super::token;
use crate::engine::RenewalFailure;
use crate::model::{AccountId, Credential};
use crate::store::{Answer, Pending, Rotation, Round, Ticket};
use std::sync::Arc;
use std::time::Duration;

/// How long another process may hold the account's lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);
/// The pause before a lock that is taken is tried again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest of them.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// The account's lock and its journal, for one renewal of one credential. Where nothing single-use is spent, nothing is
/// noted.
#[derive(Clone)]
pub(super) struct Logbook {
    rotation: Arc<Rotation>,
    account: AccountId,
    credential: Arc<Credential>,
}

/// Waits for the account's lock. Tries and pauses: a thread that waited in the system could not be called back, would
/// take the lock when nobody wants it any more, and many of them would leave none for the rest of the store.
pub(super) async fn lock(tools: &Tools, account: AccountId) -> Result<Arc<Rotation>, RenewalFailure> {
    let taking = async {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(rotation) = try_lock(tools, account).await? {
                return Ok(rotation);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    };
    let taken = tokio::time::timeout(LOCK_PATIENCE, taking).await;
    taken.map_err(|_| later("another process holds the account's lock"))?
}

/// The account's lock, if nobody holds it.
pub(super) async fn try_lock(
    tools: &Tools,
    account: AccountId,
) -> Result<Option<Arc<Rotation>>, RenewalFailure> {
    let taken = blocking(tools, move |store| store.rotation(account)).await;
    Ok(taken.map_err(|error| later(&error.to_string()))?.map(Arc::new))
}

impl Logbook {
    pub(super) fn new(rotation: Arc<Rotation>, account: AccountId, credential: Arc<Credential>) -> Self {
        Self { rotation, account, credential }
    }

    pub(super) fn account(&self) -> AccountId {
        self.account
    }

    pub(super) fn credential(&self) -> &Credential {
        &self.credential
    }

    fn keeps(&self) -> bool {
        self.credential.refresh.is_some()
    }

    /// What is known of the refresh token. A journal that cannot be read says that nothing may be sent.
    pub(super) async fn pending(&self, tools: &Tools) -> Result<Pending, RenewalFailure> {
        let (rotation, credential) = (self.rotation.clone(), self.credential.clone());
        let pending = blocking(tools, move |_| rotation.pending(&credential)).await;
        pending.map_err(|error| later(&format!("nothing was sent: {error}")))
    }

    /// Proves that what comes back could be stored, and notes that the token is about to be sent. After a failure
    /// nothing is sent.
    pub(super) async fn intent(&self, tools: &Tools, round: Round) -> Result<Option<Ticket>, RenewalFailure> {
        let (rotation, credential, account) = (self.rotation.clone(), self.credential.clone(), self.account);
        let (keeps, now) = (self.keeps(), tools.clock.now());
        let noted = blocking(tools, move |store| {
            store.preflight(account)?;
            if !keeps {
                return Ok(None);
            }
            rotation.intent(round, &credential, now).map(Some)
        });
        noted.await.map_err(|error| later(&format!("nothing was sent, for it could not be stored: {error}")))
    }

    /// Notes what came back. Where that fails, the credential that is made of it may still be stored.
    pub(super) async fn result(
        &self,
        tools: &Tools,
        ticket: Option<Ticket>,
        asked: &Result<token::Answer, Exchange>,
    ) {
        let (Some(ticket), Ok(answer)) = (ticket, asked) else {
            return;
        };
        let answer = Answer { status: answer.status.as_u16(), body: answer.body.to_vec() };
        let rotation = self.rotation.clone();
        let noted = blocking(tools, move |_| rotation.result(&ticket, &answer)).await;
        if let Err(error) = noted {
            tracing::error!(account = self.account.0, %error, "the token endpoint's answer was not noted");
        }
    }

    /// Wipes what was noted of this round and later ones. What stays there because of an error costs a recovery at most.
    pub(super) async fn clear(&self, tools: &Tools, from: Round) {
        if !self.keeps() {
            return;
        }
        let rotation = self.rotation.clone();
        if let Err(error) = blocking(tools, move |_| rotation.clear(from)).await {
            tracing::warn!(account = self.account.0, %error, "the rotation journal was not wiped");
        }
    }
}
