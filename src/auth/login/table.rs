use super::error::LoginError;
use super::job::Job;
use crate::model::{AccountId, Actor, Alias, JobState, Time};
use std::sync::Arc;
use std::time::Duration;

/// Sign-ins under way at most.
const ACTIVE: usize = 32;
/// Finished ones that are remembered at most.
const FINISHED: usize = 50;
/// And for how long.
const KEPT: Duration = Duration::from_secs(15 * 60);

/// The jobs there are, in the order they began.
#[derive(Default)]
pub(super) struct Table {
    jobs: Vec<Arc<Job>>,
    closed: bool,
}

impl Table {
    /// Takes a job in: one per account name at a time, and so many in all.
    pub(super) fn insert(&mut self, job: Arc<Job>, now: Time) -> Result<(), LoginError> {
        if self.closed {
            return Err(LoginError::Stopping);
        }
        self.forget(now);
        if let Some(under_way) = self.active().find(|there| there.alias == job.alias) {
            let id = under_way.id.clone();
            return Err(LoginError::InProgress { alias: job.alias.clone(), id });
        }
        if self.active().count() >= ACTIVE {
            return Err(LoginError::TooMany(ACTIVE));
        }
        self.jobs.push(job);
        Ok(())
    }

    /// No more jobs; those there are.
    pub(super) fn close(&mut self) -> Vec<Arc<Job>> {
        self.closed = true;
        self.jobs.clone()
    }

    pub(super) fn get(&self, id: &str, now: Time) -> Result<Arc<Job>, LoginError> {
        let found = self.known(now).find(|job| job.id == id);
        found.cloned().ok_or(LoginError::UnknownJob)
    }

    pub(super) fn latest_of(&self, alias: &Alias, now: Time) -> Option<Arc<Job>> {
        self.known(now).rfind(|job| job.alias == *alias).cloned()
    }

    pub(super) fn latest_for(&self, account: AccountId, now: Time) -> Option<Arc<Job>> {
        self.known(now).rfind(|job| job.account == Some(account)).cloned()
    }

    /// True while rota has lately asked a human for this account in vain: asking again at every request would be noise,
    /// to the person and to the provider.
    pub(super) fn is_tired_of(&self, account: AccountId, now: Time) -> bool {
        let mut raised =
            self.known(now).filter(|job| job.account == Some(account) && job.by == Actor::Engine);
        raised.next_back().is_some_and(|job| matches!(job.state(), JobState::Cancelled | JobState::Failed))
    }

    fn active(&self) -> impl Iterator<Item = &Arc<Job>> {
        self.jobs.iter().filter(|job| job.state().is_active())
    }

    fn known(&self, now: Time) -> impl DoubleEndedIterator<Item = &Arc<Job>> {
        self.jobs.iter().filter(move |job| job.ended().is_none_or(|ended| now < ended.after(KEPT)))
    }

    fn forget(&mut self, now: Time) {
        self.jobs.retain(|job| job.ended().is_none_or(|ended| now < ended.after(KEPT)));
        let mut surplus =
            self.jobs.iter().filter(|job| job.ended().is_some()).count().saturating_sub(FINISHED);
        self.jobs.retain(|job| {
            let goes = surplus > 0 && job.ended().is_some();
            surplus -= usize::from(goes);
            !goes
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::job::{End, LoginFlow, NewJob};
    use super::*;
    use crate::model::ProviderId;
    use tokio::sync::broadcast;

    const NOW: Time = Time::from_secs(1_000_000);

    #[test]
    fn an_account_has_one_sign_in_at_a_time_and_there_are_so_many_in_all() {
        let mut table = Table::default();
        let first = job("a0", Actor::Admin);
        table.insert(first.clone(), NOW).unwrap();
        let again = table.insert(job("a0", Actor::Admin), NOW);
        let alias = first.alias.clone();
        assert_eq!(again, Err(LoginError::InProgress { alias, id: first.id.clone() }));
        for n in 1..ACTIVE {
            table.insert(job(&format!("a{n}"), Actor::Admin), NOW).unwrap();
        }
        assert_eq!(table.insert(job("one-more", Actor::Admin), NOW), Err(LoginError::TooMany(ACTIVE)));
        first.end(End::Cancelled, NOW);
        assert_eq!(table.insert(job("one-more", Actor::Admin), NOW), Ok(()));
        assert_eq!(table.close().len(), ACTIVE + 1);
        assert_eq!(table.insert(job("a0", Actor::Admin), NOW), Err(LoginError::Stopping));
    }

    #[test]
    fn what_is_over_is_remembered_for_a_while_and_not_without_end() {
        let mut table = Table::default();
        let jobs: Vec<Arc<Job>> = (0..FINISHED + 2).map(|n| job(&format!("a{n}"), Actor::Admin)).collect();
        for job in &jobs {
            table.insert(job.clone(), NOW).unwrap();
            job.end(End::Succeeded, NOW);
        }
        table.insert(job("waits", Actor::Admin), NOW).unwrap();
        let is_known = |at: usize, now: Time| table.get(&jobs[at].id, now).is_ok();
        assert_eq!([0, 1, 2, FINISHED].map(|at| is_known(at, NOW)), [false, false, true, true]);
        let later = NOW.after(KEPT);
        assert!(!is_known(FINISHED, later) && table.latest_of(&jobs[FINISHED].alias, later).is_none());
        assert!(table.latest_of(&Alias::try_from("waits").unwrap(), later).is_some(), "it is under way");
    }

    /// FLO-6
    #[test]
    fn rota_asks_in_vain_once_and_a_humans_own_attempts_do_not_count() {
        for (by, end, tired) in [
            (Actor::Engine, End::Failed(LoginError::Expired), true),
            (Actor::Engine, End::Cancelled, true),
            (Actor::Engine, End::Succeeded, false),
            (Actor::Admin, End::Failed(LoginError::Expired), false),
        ] {
            let mut table = Table::default();
            let job = job("work", by);
            table.insert(job.clone(), NOW).unwrap();
            job.end(end.clone(), NOW);
            let account = AccountId(1);
            let told = [NOW, NOW.after(KEPT)].map(|now| table.is_tired_of(account, now));
            assert_eq!(told, [tired, false], "{by:?} {end:?}");
        }
    }

    fn job(alias: &str, by: Actor) -> Arc<Job> {
        let new = NewJob {
            alias: Alias::try_from(alias).unwrap(),
            account: Some(AccountId(1)),
            provider: ProviderId::try_from("p").unwrap(),
            flow: LoginFlow::Device,
            by,
            news: broadcast::Sender::new(1),
        };
        Arc::new(Job::new(new, NOW).unwrap())
    }
}
