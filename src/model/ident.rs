use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use std::{fmt, sync::Arc};

/// An account's number: given once, never given again, also after the account is gone, so that a record or a late
/// answer of a removed account can never be taken for another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountId(pub u32);

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A request's name in headers, logs and `rota why`: 16 hex digits, the first eight the same for one run of rota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub u64);

impl RequestId {
    /// Its digits, without a formatter: every reply tells it.
    pub fn digits(self) -> [u8; 16] {
        let mut left = self.0;
        let mut digits = [b'0'; 16];
        for place in digits.iter_mut().rev() {
            *place = b"0123456789abcdef"[(left & 15) as usize];
            left >>= 4;
        }
        digits
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// Why a text is not a name. Its `Display` is a full sentence for the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadIdent {
    /// Not 1 to 64 of `a-z 0-9 . _ -`.
    #[error("an alias is 1 to 64 of a-z 0-9 . _ - and starts with a letter or digit; {0:?} is not")]
    Alias(String),
    /// Not 1 to 64 of `a-z 0-9 . _ -`.
    #[error("a key's name is 1 to 64 of a-z 0-9 . _ - and starts with a letter or digit; {0:?} is not")]
    Key(String),
    /// Not 1 to 128 printable characters.
    #[error("a model name is 1 to 128 printable ASCII characters; {0:?} is not")]
    Model(String),
    /// Not a plain path.
    #[error("a path starts with / and has no blanks, .. // ? # % or \\; {0:?} is none")]
    Path(String),
    /// Not 1 to 32 of `a-z 0-9 -`.
    #[error("a provider id is 1 to 32 of a-z 0-9 - and starts with a letter; {0:?} is not")]
    Provider(String),
}

/// The user's name for an account: 1 to 64 of `a-z 0-9 . _ -`, starting with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^[a-z0-9][a-z0-9._-]{0,63}$"))]
pub struct Alias(Arc<str>);

/// The user's name for a client's key, made like an [`Alias`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^[a-z0-9][a-z0-9._-]{0,63}$"))]
pub struct KeyName(Arc<str>);

/// A provider's name, which is also its path prefix: 1 to 32 of `a-z 0-9 -`, starting with a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^[a-z][a-z0-9-]{0,31}$"))]
pub struct ProviderId(Arc<str>);

/// A model as the client names it: 1 to 128 printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^[!-~]{1,128}$"))]
pub struct ModelName(Arc<str>);

/// The longest alias, in bytes.
const LONGEST_ALIAS: usize = 64;

impl Alias {
    /// `name` made to fit, with the first number behind it that is not `taken`: what another program calls an account
    /// need not be an alias.
    pub fn near(name: &str, taken: impl Fn(&str) -> bool) -> Self {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        let plain: String = name.to_lowercase().chars().map(|c| if fits(c) { c } else { '-' }).collect();
        let plain = plain.trim_start_matches(['.', '_', '-']);
        let plain = if plain.is_empty() { "account" } else { plain };
        let mut number = 1_u32;
        loop {
            let suffix = if number == 1 { String::new() } else { format!("-{number}") };
            let room = LONGEST_ALIAS - suffix.len();
            let alias = format!("{}{suffix}", &plain[..plain.len().min(room)]);
            if !taken(&alias) {
                return Self(alias.into());
            }
            number += 1;
        }
    }
}

fn is_alias(text: &str) -> bool {
    (1..=LONGEST_ALIAS).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
}

fn is_provider(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_model(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

macro_rules! name {
    ($name:ident, $fits:ident, $error:path) => {
        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<&str> for $name {
            type Error = BadIdent;
            fn try_from(text: &str) -> Result<Self, BadIdent> {
                if $fits(text) { Ok(Self(text.into())) } else { Err($error(text.chars().take(80).collect())) }
            }
        }
        impl TryFrom<String> for $name {
            type Error = BadIdent;
            fn try_from(text: String) -> Result<Self, BadIdent> {
                Self::try_from(text.as_str())
            }
        }
        impl std::str::FromStr for $name {
            type Err = BadIdent;
            fn from_str(text: &str) -> Result<Self, BadIdent> {
                Self::try_from(text)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
name!(Alias, is_alias, BadIdent::Alias);
name!(KeyName, is_alias, BadIdent::Key);
name!(ProviderId, is_provider, BadIdent::Provider);
name!(ModelName, is_model, BadIdent::Model);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_a_path_a_label_and_a_file_can_all_hold() {
        let long = "a".repeat(64);
        for good in ["work", "a", "0", "team-2.eu_west", long.as_str()] {
            assert_eq!(Alias::try_from(good).map(|alias| alias.to_string()).as_deref(), Ok(good));
        }
        let longer = "a".repeat(65);
        for bad in ["", "Work", ".hidden", "-x", "a b", "a/b", "ä", "a\n", longer.as_str()] {
            assert!(Alias::try_from(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "2fast", "Open", "a.b", "a_b", &"a".repeat(33)] {
            assert!(ProviderId::try_from(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "two words", "tab\t", &"m".repeat(129)] {
            assert!(ModelName::try_from(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_error_says_what_a_name_is_and_shows_a_bounded_part_of_what_was_given() {
        let error = Alias::try_from("X".repeat(5000).as_str()).expect_err("refused").to_string();
        assert!(error.starts_with("an alias is 1 to 64 of a-z 0-9 . _ -"), "{error}");
        assert!(error.len() < 200, "{} bytes", error.len());
    }

    #[test]
    fn any_name_has_an_alias_near_it_and_a_taken_one_is_numbered() {
        let long = "x".repeat(80);
        for (name, taken, alias) in [
            ("work", &[][..], "work"),
            ("Work (EU)", &[], "work--eu-"),
            ("a@example.com", &["a-example.com"], "a-example.com-2"),
            ("work", &["work", "work-2"], "work-3"),
            ("", &[], "account"),
            ("..-", &[], "account"),
            ("äöü", &[], "account"),
            (&long, &[], &long[..64]),
        ] {
            let near = Alias::near(name, |alias| taken.contains(&alias));
            assert_eq!(near.as_str(), alias, "{name:?}");
            assert!(Alias::try_from(near.as_str()).is_ok(), "{name:?}");
        }
        let first = &long[..64];
        let second = Alias::near(&long, |alias| alias == first);
        assert_eq!(second.as_str(), format!("{}-2", &long[..62]));
    }

    #[test]
    fn a_name_survives_being_stored() {
        let alias = Alias::try_from("work").expect("an alias");
        let text = serde_json::to_string(&alias).expect("JSON");
        assert_eq!(text, r#""work""#);
        assert_eq!(serde_json::from_str::<Alias>(&text).ok(), Some(alias));
        assert!(serde_json::from_str::<Alias>(r#""Not One""#).is_err());
    }
}
