//! Codex CLI's `auth.json`: a ChatGPT login, or an API key. It is written in place, so it may be read half written.
use super::fields::{Fields, NAMES, document, found, key, login};
use super::{ImportError, Reading};
use crate::model::Time;

pub(super) fn read(bytes: &[u8], now: Time) -> Result<Reading, ImportError> {
    let document = document(bytes)?;
    let top = Fields::top(&document)?;
    let mode = top.text("auth_mode")?;
    let tokens = top.object("tokens")?;
    match (mode.as_deref(), tokens) {
        (Some("apikey"), _) | (None, None) if top.has("OPENAI_API_KEY") => {
            Ok(Reading::of(found("openai", key(&top, "OPENAI_API_KEY", now)?)))
        }
        (None | Some("chatgpt" | "chatgptAuthTokens"), Some(tokens)) => {
            let mut credential = login(&tokens, &NAMES, now)?;
            credential.issued = top.time("last_refresh")?.unwrap_or(now).min(now);
            Ok(Reading::of(found("codex", credential)))
        }
        (Some("personalAccessToken"), _) => Err(ImportError::Nothing(
            "holds a personal access token; add it with `rota accounts add NAME --provider codex --kind bearer`",
        )),
        (Some(_), _) => Err(ImportError::Nothing(
            "holds no ChatGPT login and no API key (`auth_mode` says what it has); sign in with `rota login`",
        )),
        (None, None) => Err(ImportError::Nothing(
            "holds no login: Codex CLI is signed out, or keeps it in the system's keyring; sign in with `rota login`",
        )),
    }
}
