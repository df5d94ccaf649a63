//! What a person types or pastes while something else goes on.
use std::io::{BufRead, BufReader, Read};
use tokio::sync::mpsc;

/// The longest line taken; what is longer is cut there.
const LONGEST: u64 = 64 * 1024;

/// Lines of standard input, read by a thread that nobody waits for: a read that blocks cannot be called back.
pub(super) struct Lines(mpsc::Receiver<String>);

impl Lines {
    /// Begins to read.
    pub(super) fn of_stdin() -> Self {
        let (send, receive) = mpsc::channel(1);
        std::thread::spawn(move || {
            let mut from = BufReader::new(std::io::stdin());
            let mut line = String::new();
            while from.by_ref().take(LONGEST).read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                if send.blocking_send(std::mem::take(&mut line)).is_err() {
                    return;
                }
            }
        });
        Self(receive)
    }

    /// The next line that is not blank, without the blanks around it; none at the end.
    pub(super) async fn next(&mut self) -> Option<String> {
        loop {
            let line = self.0.recv().await?;
            let line = line.trim();
            if !line.is_empty() {
                return Some(line.to_owned());
            }
        }
    }
}
