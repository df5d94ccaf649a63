//! A load in a process of its own, as the runner sees it: it connects, says that it is ready, and does its work each time
//! it is told to, over the same connections.
use crate::load::Report;
use crate::proxies::{Binaries, Kind, Place};
use crate::run::RunError;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A load that is connected. Dropping it ends it.
#[derive(Debug)]
pub struct Load {
    name: &'static str,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Load {
    /// Starts it and waits until each of its connections has been answered once.
    pub fn start(
        binaries: &Binaries,
        place: Place,
        to: SocketAddr,
        arguments: &[String],
        kind: Kind,
    ) -> Result<Self, RunError> {
        let mut command = Command::new("taskset");
        command.args(["-c", place.cores]).arg(&binaries.bench).args([
            "load",
            "--wait",
            "--to",
            &to.to_string(),
        ]);
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(RunError::Load(kind.name(), "it has no pipes".to_owned()));
        };
        let mut load = Self { name: kind.name(), child, input, output: BufReader::new(output) };
        let line = load.line()?;
        if line == "ready" { Ok(load) } else { Err(RunError::Load(kind.name(), line)) }
    }

    /// Lets it do its work once. What it measured.
    pub fn once(&mut self) -> Result<Report, RunError> {
        self.input.write_all(b"\n")?;
        let line = self.line()?;
        let report: Report =
            serde_json::from_str(&line).map_err(|_| RunError::Load(self.name, line.clone()))?;
        if report.failed > 0 {
            let failed = format!("{} requests were not answered 200", report.failed);
            return Err(RunError::Load(self.name, failed));
        }
        Ok(report)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
