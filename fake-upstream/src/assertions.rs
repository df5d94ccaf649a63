//! What a proxy did that it must never do, and which accounts served which
//! conversation. Only the record; what is against the rules is decided where
//! the request is read.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::ask::Ask;
use crate::recorder::contains;
use crate::seal::fingerprint;

/// Most violations kept; later ones are only missed by a test that failed long ago.
const MAX_VIOLATIONS: usize = 1_000;
/// Most conversations told apart; later ones are not recorded.
const MAX_CONVERSATIONS: usize = 20_000;
/// Most stays of one conversation; more is a rotation per request, and seen as such.
const MAX_STAYS: usize = 1_000;
/// Most secrets watched for.
const MAX_CANARIES: usize = 100;
/// Headers that name a conversation, the most telling first.
const CONVERSATION_HEADERS: [&str; 7] = [
    "x-rota-session",
    "session-id",
    "session_id",
    "x-claude-code-session-id",
    "x-session-id",
    "x-session-affinity",
    "conversation_id",
];
/// The same in bodies.
const CONVERSATION_FIELDS: [&str; 3] =
    ["/prompt_cache_key", "/metadata/user_id", "/client_metadata/session_id"];

/// What a request was not allowed to carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Rule {
    /// A `chatgpt-account-id` that is not the credential's.
    AccountHeader,
    /// A secret that should have stayed where it was; see [`crate::Script::canary`].
    Canary,
    /// Reasoning of another organisation.
    Ciphertext,
    /// A compaction item of another organisation or with another id.
    Compaction,
    /// A cookie of another account, or one that no provider ever set.
    Cookie,
    /// Credentials of two accounts in one request.
    Credentials,
    /// A file or container of another organisation.
    File,
    /// A `previous_response_id` of another organisation or another WebSocket.
    PreviousResponse,
    /// A thinking block after a prefix that was changed, or one of an
    /// organisation that had not refused anything yet.
    Thinking,
    /// A Gemini thought signature of another organisation.
    ThoughtSignature,
    /// A message thread of another organisation.
    Thread,
    /// An `x-codex-turn-state` of another account, or of nobody.
    TurnState,
}

/// One thing that must never happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Violation {
    /// The rule it breaks.
    pub rule: Rule,
    /// Account whose credential came with it, `-` when there was none.
    pub account: String,
    /// What came, in a sentence without a secret.
    pub words: String,
}

/// A run of requests of one conversation that came to the same account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stay {
    /// Account id.
    pub account: String,
    /// Requests that were served in good order.
    pub requests: u64,
    /// Requests that were refused, or spoilt by a fault: reasons to move on.
    pub refused: u64,
}

/// Everything that tests assert about accounts and conversations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Assertions {
    /// Empty when all is well.
    pub violations: Vec<Violation>,
    /// By session header or cache key: the stays in their order. Model requests
    /// only; the opening of a WebSocket and a prewarm count when they are refused.
    pub conversations: BTreeMap<String, Vec<Stay>>,
}

/// How a request went, as far as it gives a reason to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Went {
    Refused,
    Served,
}

/// The assertions under way.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) seen: Assertions,
    /// Organisations that have refused a request: what they minted may travel
    /// where the provider forgives it.
    refusers: BTreeSet<String>,
    canaries: Vec<String>,
}

impl Watch {
    pub(crate) fn new(canaries: &[String]) -> Self {
        let mut watch = Self::default();
        canaries.iter().for_each(|canary| watch.watch_for(canary));
        watch
    }

    pub(crate) fn watch_for(&mut self, canary: &str) {
        if !canary.is_empty() && self.canaries.len() < MAX_CANARIES {
            self.canaries.push(canary.to_owned());
        }
    }

    pub(crate) fn report(&mut self, rule: Rule, account: &str, words: String) {
        if self.seen.violations.len() < MAX_VIOLATIONS {
            self.seen.violations.push(Violation { rule, account: account.to_owned(), words });
        }
    }

    /// Reports every watched secret that `bytes` hold.
    pub(crate) fn look(&mut self, bytes: &[u8], account: &str) {
        let found: Vec<String> = self
            .canaries
            .iter()
            .filter(|canary| contains(bytes, canary.as_bytes()))
            .map(|canary| format!("the canary {} arrived", fingerprint(canary)))
            .collect();
        found.into_iter().for_each(|words| self.report(Rule::Canary, account, words));
    }

    /// Whether an account of the organisation has refused a request so far.
    pub(crate) fn has_refused(&self, org: &str) -> bool {
        self.refusers.contains(org)
    }

    pub(crate) fn refused(&mut self, org: &str) {
        self.refusers.insert(org.to_owned());
    }

    /// Notes which account a request of a conversation came to.
    pub(crate) fn visit(&mut self, conversation: String, account: &str, went: Went) {
        let known = self.seen.conversations.len();
        if known >= MAX_CONVERSATIONS && !self.seen.conversations.contains_key(&conversation) {
            return;
        }
        let stays = self.seen.conversations.entry(conversation).or_default();
        if stays.last().is_none_or(|stay| stay.account != account) && stays.len() < MAX_STAYS {
            stays.push(Stay { account: account.to_owned(), requests: 0, refused: 0 });
        }
        if let Some(stay) = stays.last_mut().filter(|stay| stay.account == account) {
            match went {
                Went::Refused => stay.refused += 1,
                Went::Served => stay.requests += 1,
            }
        }
    }
}

/// What names the conversation of a request.
pub(crate) fn conversation(ask: &Ask) -> Option<String> {
    let header =
        CONVERSATION_HEADERS.iter().map(|name| ask.head.header(name)).find(|value| !value.is_empty());
    let field = || {
        CONVERSATION_FIELDS
            .iter()
            .filter_map(|place| ask.json.pointer(place).and_then(Value::as_str))
            .find(|value| !value.is_empty())
            .map(session_of)
    };
    header.map(str::to_owned).or_else(field)
}

/// Claude Code writes JSON with a `session_id` into `metadata.user_id`.
fn session_of(value: &str) -> String {
    let inner: Value = serde_json::from_str(value).unwrap_or(Value::Null);
    inner.get("session_id").and_then(Value::as_str).unwrap_or(value).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::Head;
    use bytes::Bytes;
    use http::{HeaderMap, Method, Uri};
    use serde_json::json;

    #[test]
    fn a_conversation_is_a_list_of_stays_with_the_reasons_to_leave() {
        let mut watch = Watch::default();
        for (account, went) in [
            ("a", Went::Served),
            ("a", Went::Served),
            ("a", Went::Refused),
            ("b", Went::Served),
            ("a", Went::Served),
        ] {
            watch.visit("s".into(), account, went);
        }
        let stay = |account: &str, requests, refused| Stay { account: account.into(), requests, refused };
        assert_eq!(watch.seen.conversations["s"], [stay("a", 2, 1), stay("b", 1, 0), stay("a", 1, 0)]);
    }

    #[test]
    fn a_conversation_is_named_by_its_header_and_else_by_its_body() {
        let named = |headers: &[(&'static str, &'static str)], body: Value| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, value.parse().expect("value"));
            }
            let head = Head::new(Method::POST, &Uri::from_static("/"), map);
            conversation(&Ask::new(head, Bytes::from(body.to_string())))
        };
        let user = json!({"device_id": "d", "session_id": "inner"}).to_string();
        assert_eq!(
            named(&[("session-id", "head")], json!({"prompt_cache_key": "body"})).as_deref(),
            Some("head")
        );
        assert_eq!(named(&[], json!({"prompt_cache_key": "body"})).as_deref(), Some("body"));
        assert_eq!(named(&[], json!({"metadata": {"user_id": user}})).as_deref(), Some("inner"));
        assert_eq!(named(&[], json!({"metadata": {"user_id": "plain"}})).as_deref(), Some("plain"));
        assert_eq!(named(&[], json!({})), None);
    }

    #[test]
    fn a_canary_is_reported_without_being_shown() {
        let mut watch = Watch::new(&["secret-1".into(), String::new()]);
        watch.look(b"x secret-1 y", "a");
        watch.look(b"nothing", "a");
        let words: Vec<&str> = watch.seen.violations.iter().map(|one| one.words.as_str()).collect();
        assert_eq!(words, [format!("the canary {} arrived", fingerprint("secret-1"))]);
    }
}
