//! Parses the arguments, runs the command, turns its end into an exit code.
use clap::Parser;
use rota::cli::{self, Cli};
use rota::config::Sources;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli::run(cli, Sources::from_process(), &mut std::io::stdout().lock()) {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit as u8)
        }
    }
}
