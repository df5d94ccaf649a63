//! CLIProxyAPI's directory: one login a file, whose `type` says of which provider.
use super::fields::{Fields, NAMES, Names, document, found, login, off};
use super::{Client, File, Found, ImportError, Reading};
use crate::model::Time;

const CODEX: Names = Names { expires: "expired", ..NAMES };
const CLAUDE: Names = Names { account: "organization_uuid", user: "account_uuid", ..CODEX };

pub(super) fn read(file: &File<'_>, now: Time) -> Result<Reading, ImportError> {
    let document = document(file.bytes)?;
    let top = Fields::top(&document)?;
    let kind = top.text("type")?.ok_or_else(|| top.wrong("type", "is missing; is it the right file?"))?;
    let (provider, names) = match kind.as_str() {
        "claude" => ("anthropic", CLAUDE),
        other => (other, CODEX),
    };
    let is_off = top.flag("disabled")? == Some(true);
    Ok(Reading::of(Found {
        off: is_off.then(|| off(Client::CliProxyApi.title(), None)),
        ..found(provider, login(&top, &names, now)?)
    }))
}
