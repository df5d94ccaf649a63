use super::{Alias, Origin};
use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Where a provider's OAuth access tokens come from.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenSource {
    /// A program of the user's prints one, as with kubectl's exec plugins and AWS's `credential_process`.
    Command(TokenCommand),
    /// A token endpoint grants one.
    Endpoint(TokenEndpoint),
}

/// Where and how tokens are granted and renewed (RFC 6749 §3.2).
#[derive(Clone, Debug, PartialEq)]
pub struct TokenEndpoint {
    /// Its own origin: tokens are sent there and nowhere else.
    pub origin: Origin,
    /// Path on that origin.
    pub path: String,
    /// How the request is written.
    pub format: TokenFormat,
    /// How the request that trades a login's code is written, where it differs.
    pub code_format: Option<TokenFormat>,
    /// The client id; public, a secret is a parameter. Empty sends none, where a grant is told by its parameters alone.
    pub client_id: String,
    /// What is traded for a token, once there is an account.
    pub grant: Grant,
    /// Headers of the request beyond `Content-Type` and `Accept`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Parameters beyond those of the grant and `client_id`.
    pub params: Vec<(String, Param)>,
}

/// How a token request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TokenFormat {
    /// `application/x-www-form-urlencoded` (RFC 6749 §6).
    Form,
    /// `application/json`.
    Json,
}

/// What a new token is granted for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Grant {
    /// The client's own credentials, among the parameters (RFC 6749 §4.4).
    ClientCredentials,
    /// An assertion, among the parameters (RFC 7523 §2.1).
    JwtBearer,
    /// A refresh token that a login gave (RFC 6749 §6).
    #[default]
    RefreshToken,
    /// Another token, among the parameters (RFC 8693 §2.1).
    TokenExchange,
}

impl Grant {
    /// The value of `grant_type`.
    pub fn wire(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
            Self::RefreshToken => "refresh_token",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
        }
    }
}

/// Where a parameter's value comes from. It is read anew for every request. A text may be a secret, and so may an
/// argument: `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub enum Param {
    /// An environment variable of rota's, by name.
    Env(AliasText),
    /// What a program prints: its name and arguments.
    Exec(Vec<AliasText>),
    /// The text of a file that only its owner may read, by path.
    File(AliasText),
    /// Itself.
    Text(AliasText),
}

impl fmt::Debug for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => f.debug_tuple("Env").field(name).finish(),
            Self::Exec(argv) => f.debug_tuple("Exec").field(&argv.first()).finish_non_exhaustive(),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.write_str("Text([REDACTED])"),
        }
    }
}

/// A text in which `{alias}` stands for the account's name, so that one preset serves many accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasText(String);

impl AliasText {
    const HOLE: &str = "{alias}";

    /// The text as it is written in a preset.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As it is written.
    pub fn as_written(&self) -> &str {
        &self.0
    }

    /// The text for one account. An alias holds no character that means anything to a file system but `.`, and never
    /// begins with one.
    pub fn of(&self, alias: &Alias) -> String {
        self.0.replace(Self::HOLE, alias.as_str())
    }

    /// True if `text` is this one for some account.
    pub fn fits(&self, text: &str) -> bool {
        let holes = self.0.matches(Self::HOLE).count();
        let Some(first) = self.0.find(Self::HOLE) else {
            return text == self.0;
        };
        let rest = text.len().checked_sub(self.0.len() - holes * Self::HOLE.len());
        let alias = rest.and_then(|rest| text.get(first..first + rest / holes));
        alias.is_some_and(|alias| Alias::try_from(alias).is_ok_and(|alias| self.of(&alias) == text))
    }
}

/// A program that prints a short-lived token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCommand {
    /// Its name and arguments; never a shell's.
    pub argv: Vec<AliasText>,
    /// How long it may take.
    pub timeout: Duration,
    /// How long a token lasts that came without a word on it.
    pub lifetime: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_fits_if_it_is_the_one_of_some_account() {
        for (written, text, fits) in [
            ("SECRET", "SECRET", true),
            ("SECRET", "SECRETS", false),
            ("SECRET_{alias}", "SECRET_work-1", true),
            ("SECRET_{alias}", "SECRET_", false),
            ("SECRET_{alias}", "SECRET_WORK", false),
            ("SECRET_{alias}", "SECRE", false),
            ("{alias}_TOKEN", "work_TOKEN", true),
            ("{alias}", "PATH", false),
            ("{alias}_{alias}", "work_work", true),
            ("{alias}_{alias}", "work_home", false),
            ("{alias}_{alias}", "é_é", false),
        ] {
            assert_eq!(AliasText::new(written).fits(text), fits, "{written} {text}");
        }
    }
}
