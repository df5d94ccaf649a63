//! Parses the arguments, runs the command, turns its end into an exit code.
use mimalloc::MiMalloc;
use rota::cli::{self, Cli};
use rota::config::Sources;
use std::io::{self, StdoutLock, Write};
use std::process::ExitCode;

/// Memory that a request gives back is the next one's without a system call, and threads do not share what is small.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Standard output, whose reader may have seen enough (`rota ls | head -1`): then nothing has failed. A command that goes on
/// by itself learns of it when it flushes.
struct Output(StdoutLock<'static>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn main() -> ExitCode {
    let cli = Cli::of_process();
    match cli::run(cli, Sources::from_process(), &mut Output(io::stdout().lock())) {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit.code())
        }
    }
}
