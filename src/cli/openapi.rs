use super::{CliError, Exit};
use crate::admin;
use std::io::Write;

/// Prints the document of the admin API; no rota needs to run.
pub(super) fn run(out: &mut dyn Write) -> Result<Exit, CliError> {
    writeln!(out, "{:#}", admin::openapi())?;
    Ok(Exit::Done)
}
