use super::{AccountId, BadIdent, KeyName, ProviderId, Time};
use http::Method;
use std::fmt;
use std::sync::Arc;

/// A client's own key, which a person has made for it. The key itself is kept by nobody but the client: here is what it
/// comes to, and what it opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientKey {
    /// What people call the client.
    pub name: KeyName,
    /// What the key comes to.
    pub digest: KeyDigest,
    /// What it opens.
    pub scope: KeyScope,
    /// When it was made.
    pub made: Time,
}

/// SHA-256 of a key. A key is 256 random bits, so that no slower hash is needed: there is nothing to guess.
#[derive(Clone, Copy)]
pub struct KeyDigest([u8; 32]);

/// What a key opens. Where nothing is named, everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyScope {
    /// These providers.
    pub providers: Vec<ProviderId>,
    /// These accounts; none at all where the last of them was removed.
    pub accounts: Option<Arc<[AccountId]>>,
    /// These methods.
    pub methods: Vec<Method>,
    /// These paths and what is below them, as clients write them.
    pub paths: Vec<KeyPath>,
}

/// A path that a key opens, with all that is below it: `/openai/v1/responses` opens `/openai/v1/responses/resp_1`, too,
/// and not `/openai/v1/responses-2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPath(String);

/// What a key does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Beyond {
    /// The method.
    #[error("method")]
    Method,
    /// The path.
    #[error("path")]
    Path,
    /// The provider.
    #[error("provider")]
    Provider,
}

impl KeyScope {
    /// Entries of a list, at most.
    pub const ENTRIES: usize = 64;

    /// Whether the key opens `path` at `provider` for `method`; which account serves is for rotation to see to.
    pub fn permits(&self, provider: &ProviderId, method: &Method, path: &str) -> Result<(), Beyond> {
        if !self.providers.is_empty() && !self.providers.contains(provider) {
            return Err(Beyond::Provider);
        }
        if !self.methods.is_empty() && !self.methods.contains(method) {
            return Err(Beyond::Method);
        }
        if !self.paths.is_empty() && !self.paths.iter().any(|opened| opened.covers(path)) {
            return Err(Beyond::Path);
        }
        Ok(())
    }
}

impl KeyPath {
    /// The longest, in bytes.
    const LONGEST: usize = 256;

    /// True for the path itself and for what is below it.
    fn covers(&self, path: &str) -> bool {
        let below = path.strip_prefix(self.0.as_str());
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || self.0 == "/")
    }

    /// As it was given, but for a stroke at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for KeyPath {
    type Error = BadIdent;

    fn try_from(text: &str) -> Result<Self, BadIdent> {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#%\\".contains(&byte));
        let clear = !text.contains("..") && !text.contains("//");
        if !text.starts_with('/') || text.len() > Self::LONGEST || !plain || !clear {
            return Err(BadIdent::Path(text.chars().take(80).collect()));
        }
        let path = text.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(text);
        Ok(Self(path.to_owned()))
    }
}

impl KeyDigest {
    /// The digest with these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes in hexadecimal, as it is stored.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The digest that [`hex`](Self::hex) wrote.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl PartialEq for KeyDigest {
    /// Looks at every byte whatever differs.
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
    }
}

impl Eq for KeyDigest {}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[digest]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PRX-3
    #[test]
    fn a_key_opens_what_it_names_and_all_where_it_names_nothing() {
        let scope = |providers: &[&str], methods: &[Method], paths: &[&str]| KeyScope {
            providers: providers.iter().map(|id| provider(id)).collect(),
            accounts: None,
            methods: methods.to_vec(),
            paths: paths.iter().map(|path| KeyPath::try_from(*path).expect("a path")).collect(),
        };
        let below = &["/openai/v1/responses/"];
        for (scope, method, path, permitted) in [
            (scope(&[], &[], &[]), Method::DELETE, "/openai/v1/files", Ok(())),
            (scope(&["openai"], &[], &[]), Method::GET, "/openai/v1/models", Ok(())),
            (scope(&["codex"], &[], &[]), Method::GET, "/openai/v1/models", Err(Beyond::Provider)),
            (scope(&[], &[Method::POST], &[]), Method::GET, "/openai/v1/models", Err(Beyond::Method)),
            (scope(&[], &[Method::POST, Method::GET], &[]), Method::GET, "/openai/v1/models", Ok(())),
            (scope(&[], &[], below), Method::POST, "/openai/v1/responses", Ok(())),
            (scope(&[], &[], below), Method::GET, "/openai/v1/responses/resp_1", Ok(())),
            (scope(&[], &[], below), Method::GET, "/openai/v1/responses-2", Err(Beyond::Path)),
            (scope(&[], &[], below), Method::GET, "/openai/v1", Err(Beyond::Path)),
            (scope(&[], &[], &["/"]), Method::GET, "/openai/v1", Ok(())),
        ] {
            assert_eq!(
                scope.permits(&provider("openai"), &method, path),
                permitted,
                "{scope:?} {method} {path}"
            );
        }
    }

    /// PRX-3
    #[test]
    fn a_path_with_two_readings_opens_nothing() {
        for path in ["", "openai", "/a/../b", "/a//b", "/a?b", "/a%2fb", "/a b", "/a\\b", "/ü"] {
            assert!(KeyPath::try_from(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_digest_is_stored_as_text_and_read_back() {
        let digest = KeyDigest::new(std::array::from_fn(|at| at as u8));
        assert_eq!(KeyDigest::from_hex(&digest.hex()), Some(digest));
        for bad in ["", "00", &"g".repeat(64), &"ü".repeat(32), &"+1".repeat(32)] {
            assert_eq!(KeyDigest::from_hex(bad), None, "{bad}");
        }
    }

    fn provider(id: &str) -> ProviderId {
        ProviderId::try_from(id).expect("an id")
    }
}
