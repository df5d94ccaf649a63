use crate::model::{AccountId, JobState, Time};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// A refresh of one account's limits, as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeReport {
    /// Whose.
    pub account: AccountId,
    /// How far it is.
    pub state: JobState,
    /// When it was asked for.
    pub queued: Time,
    /// When it began.
    pub started: Option<Time>,
    /// When it ended.
    pub finished: Option<Time>,
    /// Why nothing was learnt.
    pub error: Option<String>,
}

/// The latest refresh of every account that had one: so bounded by the accounts there are.
pub(super) struct Jobs {
    by_account: Mutex<BTreeMap<AccountId, Job>>,
    changes: watch::Sender<u64>,
}

struct Job {
    number: u64,
    report: ProbeReport,
    task: Option<AbortHandle>,
}

/// The one who works on a job. If it is dropped before it has told how that went, the job has failed.
pub(super) struct Ticket {
    jobs: Arc<Jobs>,
    account: AccountId,
    number: u64,
}

impl Jobs {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { by_account: Mutex::default(), changes: watch::Sender::new(0) })
    }

    /// A new job; none while one is under way for the account (LIM-4).
    pub(super) fn open(self: &Arc<Self>, account: AccountId, now: Time) -> Option<Ticket> {
        let mut jobs = self.lock();
        let before = jobs.get(&account);
        if before.is_some_and(|job| job.report.state.is_active()) {
            return None;
        }
        let number = before.map_or(0, |job| job.number) + 1;
        let report = ProbeReport {
            account,
            state: JobState::Pending,
            queued: now,
            started: None,
            finished: None,
            error: None,
        };
        jobs.insert(account, Job { number, report, task: None });
        drop(jobs);
        self.changed();
        Some(Ticket { jobs: Arc::clone(self), account, number })
    }

    /// Who works on it, so that it can be called off.
    pub(super) fn works(&self, account: AccountId, task: AbortHandle) {
        if let Some(job) = self.lock().get_mut(&account).filter(|job| job.report.state.is_active()) {
            job.task = Some(task);
        }
    }

    /// Calls off all that has not begun; returns whose that was.
    pub(super) fn stop_queued(&self, now: Time) -> Vec<AccountId> {
        let mut stopped = Vec::new();
        let mut tasks = Vec::new();
        for (account, job) in self.lock().iter_mut().filter(|(_, job)| job.report.state == JobState::Pending)
        {
            job.report.state = JobState::Cancelled;
            job.report.finished = Some(now);
            stopped.push(*account);
            tasks.extend(job.task.take());
        }
        // Its worker looks at the jobs when it is dropped.
        tasks.iter().for_each(AbortHandle::abort);
        self.changed();
        stopped
    }

    pub(super) fn reports(&self) -> Vec<ProbeReport> {
        self.lock().values().map(|job| job.report.clone()).collect()
    }

    pub(super) fn report(&self, account: AccountId) -> Option<ProbeReport> {
        self.lock().get(&account).map(|job| job.report.clone())
    }

    /// Forgets those of accounts that are gone.
    pub(super) fn retain(&self, there_is: impl Fn(AccountId) -> bool) {
        self.lock().retain(|account, job| there_is(*account) || job.report.state.is_active());
    }

    /// A number that grows with every change.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn changed(&self) {
        self.changes.send_modify(|number| *number += 1);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AccountId, Job>> {
        self.by_account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// It begins, unless it was called off. True while it is to be done.
    pub(super) fn begin(&self, now: Time) -> bool {
        self.change(|report| {
            report.state = JobState::Running;
            report.started = Some(now);
        })
    }

    /// It has ended.
    pub(super) fn end(self, state: JobState, error: Option<String>, now: Time) {
        self.change(|report| {
            report.state = state;
            report.error = error;
            report.finished = Some(now);
        });
    }

    fn change(&self, change: impl FnOnce(&mut ProbeReport)) -> bool {
        let mut jobs = self.jobs.lock();
        let job = jobs.get_mut(&self.account).filter(|job| job.number == self.number);
        let Some(job) = job.filter(|job| job.report.state.is_active()) else {
            return false;
        };
        change(&mut job.report);
        drop(jobs);
        self.jobs.changed();
        true
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.change(|report| {
            report.state = JobState::Failed;
            report.error = Some("the probe ended early".to_owned());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: AccountId = AccountId(1);
    const NOW: Time = Time::from_secs(1);

    /// LIM-4
    #[test]
    fn an_account_has_one_job_at_a_time_and_a_worker_that_dies_leaves_none_behind() {
        let jobs = Jobs::new();
        let ticket = jobs.open(ONE, NOW).expect("the first");
        assert!(jobs.open(ONE, NOW).is_none(), "one is queued");
        assert!(ticket.begin(NOW));
        assert!(jobs.open(ONE, NOW).is_none(), "one is running");
        assert!(jobs.open(AccountId(2), NOW).is_some(), "another account is another matter");
        drop(ticket);
        assert_eq!(jobs.report(ONE).map(|job| job.state), Some(JobState::Failed));
        assert!(jobs.open(ONE, NOW).is_some());
    }

    /// REN-7
    #[test]
    fn only_what_is_queued_can_be_stopped_and_a_stopped_job_is_not_begun() {
        let jobs = Jobs::new();
        let (queued, running) =
            (jobs.open(ONE, NOW).expect("a job"), jobs.open(AccountId(2), NOW).expect("a job"));
        running.begin(NOW);
        jobs.stop_queued(NOW);
        let states = || jobs.reports().iter().map(|job| job.state).collect::<Vec<_>>();
        assert_eq!(states(), [JobState::Cancelled, JobState::Running]);
        assert!(!queued.begin(NOW));
        let again = jobs.open(ONE, NOW).expect("a new one");
        drop(queued);
        assert_eq!(states(), [JobState::Pending, JobState::Running], "an old worker is not the new one's");
        again.end(JobState::Succeeded, None, NOW);
        running.end(JobState::Failed, Some("why".to_owned()), NOW);
        assert_eq!(states(), [JobState::Succeeded, JobState::Failed]);
    }

    proptest! {
        /// LIM-4 REN-7: whatever happens in whatever order, an account never has two jobs that are active, and a job
        /// that has ended stays as it was.
        #[test]
        fn a_job_that_is_over_stays_over(steps in prop::collection::vec((0u8..5, 1u32..4), 0..60)) {
            let jobs = Jobs::new();
            let mut tickets: Vec<Ticket> = Vec::new();
            for (step, account) in steps {
                let account = AccountId(account);
                let before = jobs.report(account);
                let at = tickets.iter().position(|ticket| ticket.account == account);
                match (step, at) {
                    (0, _) => {
                        let opened = jobs.open(account, NOW);
                        let was_active = before.is_some_and(|job| job.state.is_active());
                        prop_assert_eq!(opened.is_none(), was_active);
                        tickets.extend(opened);
                        continue;
                    }
                    (1, Some(at)) => { tickets[at].begin(NOW); }
                    (2, Some(at)) => tickets.swap_remove(at).end(JobState::Succeeded, None, NOW),
                    (3, Some(at)) => drop(tickets.swap_remove(at)),
                    (4, _) => drop(jobs.stop_queued(NOW)),
                    (_, _) => {}
                }
                if let Some(before) = before.filter(|job| job.state.is_terminal()) {
                    prop_assert_eq!(jobs.report(account), Some(before));
                }
            }
        }
    }
}
