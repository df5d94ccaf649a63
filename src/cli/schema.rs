use super::{CliError, Exit};
use crate::config::{config_schema, preset_schema};
use clap::{Args, ValueEnum};
use std::io::Write;

#[derive(Args)]
pub(super) struct Schema {
    /// Of rota.toml, or of a provider's preset
    #[arg(value_enum, default_value_t)]
    of: Of,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Of {
    #[default]
    Config,
    Preset,
}

impl Schema {
    /// Prints it; no rota needs to run.
    pub(super) fn run(self, out: &mut dyn Write) -> Result<Exit, CliError> {
        let schema = match self.of {
            Of::Config => config_schema(),
            Of::Preset => preset_schema(),
        };
        writeln!(out, "{schema:#}")?;
        Ok(Exit::Done)
    }
}
