//! What the authority saw, judged: every refresh token is presented once. The one exception is told apart: its sender
//! was killed before it could keep the answer, and whoever came after it said aloud that it asks once more.
use super::driver::SENDER;
use fake_upstream::Recorded;
use std::collections::BTreeMap;

/// One exchange that reached the authority whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Presented {
    /// Its place among all requests that arrived.
    pub(crate) seq: u64,
    /// The same for the same refresh token, and for no other: the digest of the request's body, which differs in nothing
    /// else.
    pub(crate) token: String,
    /// By whom.
    pub(crate) sender: String,
    /// Whether it was granted.
    pub(crate) granted: bool,
}

impl Presented {
    pub(crate) fn of(request: &Recorded) -> Option<Self> {
        if request.path != "/oauth/token" {
            return None;
        }
        let sender = request.headers.iter().find(|(name, _)| name == SENDER);
        Some(Self {
            seq: request.seq,
            token: request.body_sha256.clone()?,
            sender: sender.map(|(_, value)| value.clone()).unwrap_or_default(),
            granted: request.status == Some(200),
        })
    }
}

/// Who presented each token, first to last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    tokens: BTreeMap<String, Vec<Presented>>,
}

/// What is known of the senders.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witness {
    /// Those that were killed, and how many requests had arrived when they were gone.
    pub(crate) killed: BTreeMap<String, u64>,
    /// How often each said that it asks once more, since the end of an exchange before it is not known.
    pub(crate) recoveries: BTreeMap<String, u64>,
}

/// The judgment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Tokens that were granted a successor.
    pub(crate) rotations: u64,
    /// Second presentations that were told, after a kill.
    pub(crate) recoveries: u64,
    /// All others, and every third one.
    pub(crate) reuses: Vec<String>,
}

impl Ledger {
    pub(crate) fn of(presented: &[Presented]) -> Self {
        let mut ledger = Self::default();
        for one in presented {
            ledger.tokens.entry(one.token.clone()).or_default().push(one.clone());
        }
        ledger
    }

    pub(crate) fn judge(&self, witness: &Witness) -> Verdict {
        let mut verdict = Verdict::default();
        let mut told = witness.recoveries.clone();
        for (token, presented) in &self.tokens {
            verdict.rotations += u64::from(presented.iter().any(|one| one.granted));
            let [first, again @ ..] = presented.as_slice() else {
                continue;
            };
            for (at, one) in again.iter().enumerate() {
                let left = told.entry(one.sender.clone()).or_default();
                let gone = witness.killed.get(&first.sender).is_some_and(|seen| *seen <= one.seq);
                if at == 0 && *left > 0 && gone {
                    *left -= 1;
                    verdict.recoveries += 1;
                    continue;
                }
                let senders: Vec<&str> = presented.iter().map(|one| one.sender.as_str()).collect();
                let token = token.get(..8).unwrap_or_default();
                verdict.reuses.push(format!("token {token} came from {senders:?}"));
            }
        }
        verdict
    }
}

#[test]
fn a_second_presentation_is_excused_by_a_kill_and_a_word_and_by_nothing_less() {
    let seen = |senders: &[&str]| {
        let one = |(seq, sender): (usize, &&str)| Presented {
            seq: seq as u64,
            token: "t".repeat(64),
            sender: (*sender).to_owned(),
            granted: *sender == "a",
        };
        Ledger::of(&senders.iter().enumerate().map(one).collect::<Vec<_>>())
    };
    let witness = |killed: Option<(&str, u64)>, told: Option<&str>| Witness {
        killed: killed.iter().map(|(name, seen)| ((*name).to_owned(), *seen)).collect(),
        recoveries: told.iter().map(|name| ((*name).to_owned(), 1)).collect(),
    };
    for (senders, killed, told, recoveries, reuses) in [
        (&["a"][..], None, None, 0, 0),
        (&["a", "b"], Some(("a", 1)), Some("b"), 1, 0),
        (&["a", "b"], Some(("a", 2)), Some("b"), 0, 1),
        (&["a", "b"], None, Some("b"), 0, 1),
        (&["a", "b"], Some(("a", 1)), None, 0, 1),
        (&["a", "b"], Some(("b", 1)), Some("a"), 0, 1),
        (&["a", "b", "b"], Some(("a", 1)), Some("b"), 1, 1),
        (&["a", "a"], None, Some("a"), 0, 1),
        (&["a", "a"], Some(("a", 2)), Some("a"), 0, 1),
    ] {
        let verdict = seen(senders).judge(&witness(killed, told));
        let got = (verdict.rotations, verdict.recoveries, verdict.reuses.len());
        assert_eq!(got, (1, recoveries, reuses), "{senders:?} {killed:?} {told:?}");
    }
}
