use aws_lc_rs::digest::{SHA256, digest};
use std::fmt::{self, Write};

/// What a record's body was, without keeping it: enough to see that writing it again would change nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<u8>);

impl Fingerprint {
    pub(super) fn of(body: &[u8]) -> Self {
        Self(digest(&SHA256, body).as_ref().to_vec())
    }

    /// Its first sixteen bytes, in hexadecimal: enough to tell one from any other.
    pub(super) fn short(&self) -> String {
        let mut text = String::new();
        for byte in self.0.iter().take(16) {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
