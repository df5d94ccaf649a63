use super::{CliError, Exit};
use clap::Args;
use fake_upstream::{FakeUpstream as Fake, Script};
use serde_json::json;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct FakeUpstream {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Accounts, models and answers, as JSON or TOML
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
}

impl FakeUpstream {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<Exit, CliError> {
        let script = match &self.script {
            None => Script::new(),
            Some(file) => {
                let text =
                    std::fs::read_to_string(file).map_err(|error| CliError::io(file.display(), &error))?;
                Script::parse(&text).map_err(|bad| CliError::failed(format!("{}: {bad}", file.display())))?
            }
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let fake = Fake::start_on(self.listen, script).await?;
            writeln!(out, "{}", json!({"origin": fake.origin()}))?;
            out.flush()?;
            tokio::signal::ctrl_c().await?;
            fake.shutdown().await;
            Ok(Exit::Done)
        })
    }
}
