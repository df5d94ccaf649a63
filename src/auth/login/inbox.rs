use super::callback::{Answer, Callback};
use crate::model::Secret;
use std::sync::{Mutex, PoisonError};
use tokio::sync::oneshot;

/// Where one sign-in waits for its answer. It opens for its own `state`, compared in constant time, and once; a wrong one
/// changes nothing here and is not even looked at elsewhere (RFC 6749 §10.12).
#[derive(Debug)]
pub(super) struct Inbox(Mutex<Option<Slot>>);

#[derive(Debug)]
struct Slot {
    state: Secret,
    answer: oneshot::Sender<Answer>,
}

/// Why an answer was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undelivered {
    /// There was one before, or nobody waits any more.
    Over,
    /// Its `state` is missing or not ours: it belongs to another sign-in, or to nobody's.
    WrongState,
}

impl Inbox {
    /// An inbox, and where its answer comes out.
    pub(super) fn new(state: Secret) -> (Self, oneshot::Receiver<Answer>) {
        let (answer, waiting) = oneshot::channel();
        (Self(Mutex::new(Some(Slot { state, answer }))), waiting)
    }

    pub(super) fn deliver(&self, callback: Callback) -> Result<(), Undelivered> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match slot.take() {
            None => Err(Undelivered::Over),
            Some(Slot { state, answer }) if callback.state.as_ref() == Some(&state) => {
                answer.send(callback.answer).map_err(|_| Undelivered::Over)
            }
            wrong => {
                *slot = wrong;
                Err(Undelivered::WrongState)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STATE: &str = "the-state-of-this-one";

    /// REN-5
    #[test]
    fn a_state_opens_once_and_a_wrong_one_costs_nothing() {
        let (inbox, mut answer) = Inbox::new(Secret::new(STATE));
        let deliver = |pasted: &str| inbox.deliver(Callback::of_paste(pasted).unwrap());
        assert_eq!(deliver("evil#another-state"), Err(Undelivered::WrongState));
        assert_eq!(deliver("evil"), Err(Undelivered::WrongState));
        assert!(answer.try_recv().is_err());
        assert_eq!(deliver(&format!("good#{STATE}")), Ok(()));
        assert_eq!(answer.try_recv(), Ok(Answer::Code(Secret::new("good"))));
        assert_eq!(deliver(&format!("again#{STATE}")), Err(Undelivered::Over));
    }

    #[test]
    fn nobody_takes_an_answer_after_the_end() {
        let (inbox, answer) = Inbox::new(Secret::new(STATE));
        drop(answer);
        let late = Callback::of_paste(&format!("late#{STATE}")).unwrap();
        assert_eq!(inbox.deliver(late), Err(Undelivered::Over));
    }

    proptest! {
        /// REN-5
        #[test]
        fn nothing_but_the_exact_state_is_accepted(text in "\\PC{0,120}", cut in 0..STATE.len(), more in "[!-~]{1,4}") {
            let (inbox, mut answer) = Inbox::new(Secret::new(STATE));
            let near = [format!("c#{}", &STATE[..cut]), format!("c#{STATE}{more}"), text];
            for callback in near.iter().filter_map(|pasted| Callback::of_paste(pasted)) {
                prop_assert_eq!(inbox.deliver(callback), Err(Undelivered::WrongState));
            }
            prop_assert!(answer.try_recv().is_err());
        }
    }
}
