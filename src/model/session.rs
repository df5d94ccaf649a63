use http::HeaderName;
use std::hash::{Hash, Hasher};
use std::{fmt, sync::Arc};

/// One client conversation, as the client names it: the header it came in and its value, so that equal values of
/// different kinds never meet. At most [`SessionKey::LONGEST`] bytes of value.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey {
    kind: HeaderName,
    value: Arc<str>,
}

impl SessionKey {
    /// Longer values are no session key: the map that holds them is bounded.
    pub const LONGEST: usize = 256;

    /// The key `value` of `kind`, the header it came in; none if it is empty, longer than
    /// [`LONGEST`](Self::LONGEST) or not printable ASCII.
    pub fn new(kind: HeaderName, value: &str) -> Option<Self> {
        let fits = (1..=Self::LONGEST).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self { kind, value: value.into() })
    }

    /// What named the session: `x-rota-session`, `session-id`, …
    pub fn kind(&self) -> &str {
        self.kind.as_str()
    }

    /// The same, without the client's own id.
    pub fn into_kind(self) -> HeaderName {
        self.kind
    }

    /// The client's own id.
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// Of the value only: each request looks its session up twice, and next to no two have one value in several kinds.
impl Hash for SessionKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.value.as_bytes());
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEL-3
    #[test]
    fn equal_ids_of_different_headers_are_different_sessions() {
        let (a, b) = (HeaderName::from_static("session-id"), HeaderName::from_static("x-session-id"));
        assert_eq!(SessionKey::new(a.clone(), "7"), SessionKey::new(a.clone(), "7"));
        assert_ne!(SessionKey::new(a, "7"), SessionKey::new(b, "7"));
    }

    #[test]
    fn what_cannot_be_a_key_is_none() {
        let longest = "x".repeat(SessionKey::LONGEST);
        let longer = "x".repeat(SessionKey::LONGEST + 1);
        for (value, fits) in
            [("a", true), (&longest, true), (&longer, false), ("", false), ("a b", false), ("ü", false)]
        {
            assert_eq!(
                SessionKey::new(HeaderName::from_static("session-id"), value).is_some(),
                fits,
                "{value:?}"
            );
        }
    }
}
