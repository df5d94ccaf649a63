//! What a client shows for a key, and whose it is. Every key is compared in full whatever comes, so that time tells
//! nothing; the keys that people made for their clients are known by what they come to only.
use super::error::Turned;
use crate::app::App;
use crate::model::{ClientKey, KeyDigest, Secret};
use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName};
use std::sync::Arc;

/// The header that carries a client key, and nothing else.
const ROTA_KEY: HeaderName = HeaderName::from_static("x-rota-key");
/// Where clients put an API key of their own; a client key may sit there too, and is removed with it.
const KEY_SLOTS: [HeaderName; 3] = [
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// Keys of which a request must name one.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    /// Those of the configuration, which open everything.
    pub plain: &'a [Secret],
    /// Those that people made for their clients.
    pub named: &'a [Arc<ClientKey>],
    /// That of the command whose path the request is on, which opens everything there while the command runs.
    pub run: Option<KeyDigest>,
    /// Whether one is asked for where there are none.
    pub asked: Asked,
}

/// When a key is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Always: where there is none nobody comes in.
    Always,
    /// Once there is one.
    OnceThereIsOne,
}

/// True where a request must name a key now.
fn asked(app: &App) -> bool {
    let config = app.config.load();
    config.require_client_key || !config.client_keys.is_empty() || !app.state.peek().keys.is_empty()
}

/// By what a connection was let in that lasts longer than its first request. It is asked again whether that still holds.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// By no key: none was asked for.
    Free,
    /// By a key that a person made for the client.
    Named(Arc<ClientKey>),
    /// By one of the configuration's.
    Plain(Secret),
    /// By the path of a command, which closes it at its end.
    Run,
}

impl Entry {
    /// Of a request that passed the gate with these headers, and named `client`'s key.
    pub(super) fn of(app: &App, client: Option<&Arc<ClientKey>>, headers: &HeaderMap) -> Self {
        if let Some(client) = client {
            return Self::Named(Arc::clone(client));
        }
        let config = app.config.load();
        let plain = shown(headers).map(Secret::new).find(|shown| is_among(shown, &config.client_keys));
        match plain {
            Some(key) => Self::Plain(key),
            None if asked(app) => Self::Run,
            None => Self::Free,
        }
    }

    /// True while such a request would be let in: its key is one, and none is asked for where none was.
    pub(super) fn holds(&self, app: &App) -> bool {
        match self {
            Self::Free => !asked(app),
            Self::Named(client) => app.state.peek().keys.iter().any(|key| key.digest == client.digest),
            Self::Plain(key) => is_among(key, &app.config.load().client_keys),
            Self::Run => true,
        }
    }

    /// Whose key it was, where it was a client's own.
    pub(super) fn client(&self) -> Option<Arc<ClientKey>> {
        match self {
            Self::Named(client) => Some(Arc::clone(client)),
            Self::Free | Self::Plain(_) | Self::Run => None,
        }
    }
}

/// Compares all of them, whatever comes.
fn is_among(key: &Secret, keys: &[Secret]) -> bool {
    keys.iter().fold(false, |is, known| is | (known == key))
}

impl Keys<'_> {
    /// No key is asked for.
    pub const NONE: Keys<'static> = Keys { plain: &[], named: &[], run: None, asked: Asked::OnceThereIsOne };
}

impl<'a> Keys<'a> {
    /// The client that `headers` name by its key; none where no key is asked for, or it is one of the
    /// configuration's or a command's.
    ///
    /// # Errors
    /// A key is asked for, and none that is known was sent.
    pub(super) fn client(&self, headers: &HeaderMap) -> Result<Option<&'a Arc<ClientKey>>, Turned> {
        if self.plain.is_empty() && self.named.is_empty() && self.asked == Asked::OnceThereIsOne {
            return Ok(None);
        }
        let (mut plain, mut client) = (false, None);
        for shown in shown(headers) {
            plain |= is_among(&Secret::new(shown), self.plain);
            if self.named.is_empty() && self.run.is_none() {
                continue;
            }
            let digest = digest_of(shown);
            plain |= self.run == Some(digest);
            for key in self.named {
                if key.digest == digest {
                    client = Some(key);
                }
            }
        }
        match (plain, client) {
            (true, _) => Ok(None),
            (false, Some(client)) => Ok(Some(client)),
            (false, None) => Err(Turned::ClientKey),
        }
    }
}

/// What a key comes to.
pub fn digest_of(key: &str) -> KeyDigest {
    let mut bytes = [0; 32];
    // SHA-256 has 32 bytes.
    bytes.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
    KeyDigest::new(bytes)
}

/// Everything that may be a key.
fn shown(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let named = [ROTA_KEY].into_iter().chain(KEY_SLOTS);
    let named = named.filter_map(|name| headers.get(name)?.to_str().ok());
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    });
    named.chain(bearer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{KeyName, KeyScope, Time};

    /// PRX-3
    #[test]
    fn a_client_is_known_by_its_key_wherever_its_dialect_puts_it() {
        let (work, home) = (key("work", "rota-work"), key("home", "rota-home"));
        let named = [work.clone(), home.clone()];
        let plain = [Secret::new("of-the-file")];
        let keys = Keys { plain: &plain, named: &named, run: None, asked: Asked::OnceThereIsOne };
        for (name, value, client) in [
            ("x-rota-key", "rota-home", Ok(Some(&home))),
            ("x-api-key", "rota-work", Ok(Some(&work))),
            ("api-key", "rota-work", Ok(Some(&work))),
            ("x-goog-api-key", "rota-work", Ok(Some(&work))),
            ("authorization", "Bearer rota-home", Ok(Some(&home))),
            ("authorization", "bearer of-the-file", Ok(None)),
            ("authorization", "Basic rota-home", Err(Turned::ClientKey)),
            ("x-api-key", "rota-wor", Err(Turned::ClientKey)),
            ("x-api-key", "", Err(Turned::ClientKey)),
            ("cookie", "rota-work", Err(Turned::ClientKey)),
        ] {
            assert_eq!(keys.client(&headers(name, value)), client, "{name}: {value}");
        }
    }

    /// PRX-3
    #[test]
    fn a_key_is_asked_for_once_there_is_one_or_always_where_that_is_wished() {
        let none = headers("x-api-key", "anything");
        assert_eq!(Keys::NONE.client(&none), Ok(None));
        let run = Keys { run: Some(digest_of("anything")), asked: Asked::Always, ..Keys::NONE };
        assert_eq!(run.client(&none), Ok(None));
        assert_eq!(run.client(&headers("x-api-key", "something")), Err(Turned::ClientKey));
        let always = Keys { asked: Asked::Always, ..Keys::NONE };
        assert_eq!(always.client(&none), Err(Turned::ClientKey));
    }

    fn key(name: &str, key: &str) -> Arc<ClientKey> {
        let name = KeyName::try_from(name).expect("a name");
        let (digest, scope) = (digest_of(key), KeyScope::default());
        Arc::new(ClientKey { name, digest, scope, made: Time::default() })
    }

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), http::HeaderValue::from_static(value))])
    }
}
