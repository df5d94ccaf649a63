//! Claude Code's `.credentials.json`: the login of a subscription. Tokens are opaque, and nothing tells whose they are.
use super::fields::{Fields, NAMES, Names, document, found, login};
use super::{ImportError, Reading};
use crate::model::Time;

const OWN: Names = Names {
    access: "accessToken",
    refresh: "refreshToken",
    expires: "expiresAt",
    plan: "subscriptionType",
    ..NAMES
};

pub(super) fn read(bytes: &[u8], now: Time) -> Result<Reading, ImportError> {
    let document = document(bytes)?;
    let Some(oauth) = Fields::top(&document)?.object("claudeAiOauth")? else {
        return Err(ImportError::Nothing(
            "holds no login of a subscription (`claudeAiOauth`): Claude Code is signed out, or uses an API key; \
             sign in with `rota login`",
        ));
    };
    Ok(Reading::of(found("anthropic", login(&oauth, &OWN, now)?)))
}
