//! Gemini CLI's `oauth_creds.json`: a Google login.
use super::fields::{Fields, NAMES, Names, document, found, login};
use super::{ImportError, Reading};
use crate::model::Time;

const OWN: Names = Names { expires: "expiry_date", ..NAMES };

pub(super) fn read(bytes: &[u8], now: Time) -> Result<Reading, ImportError> {
    let document = document(bytes)?;
    let credential = login(&Fields::top(&document)?, &OWN, now)?;
    Ok(Reading::of(found("gemini", credential)))
}
