//! What the last daemon of `rota run` decided: it ends with its commands, and its log (`run.log` of the state directory)
//! stays until the next one is started. Each decision is a line of JSON there, as the admin API tells it. A daemon that a
//! person or a service manager runs writes its log elsewhere.
use super::{CliError, Exit};
use crate::config::Config;
use serde_json::Value;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Its name below the state directory.
pub(super) const LOG: &str = "run.log";
/// How much of its end is read.
const TAIL: u64 = 4 * 1024 * 1024;
/// What a decision's line says of itself, besides the decision.
const TARGET: &str = "rota::decision";

/// Decisions of a daemon that has ended, newest first.
pub(super) struct Kept(Vec<Value>);

impl Kept {
    /// Those in the log. An empty log, or one that is no JSON (`log.format`), has none.
    ///
    /// # Errors
    /// There is none to be found: exit code 3, with what to do.
    pub(super) fn find(config: &Config) -> Result<Self, CliError> {
        let path = config.state_dir.join(LOG);
        let decisions = match tail(&path) {
            Ok(text) => decisions(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(CliError::io(path.display(), &error)),
        };
        if decisions.is_empty() {
            return Err(CliError {
                exit: Exit::NotRunning,
                message:
                    "rota is not running, and what it decided is in the log of where it ran; start it with \
                          `rota serve`, or run a program through it: rota run -- CMD"
                        .to_owned(),
            });
        }
        Ok(Self(decisions))
    }

    /// The latest, newest first.
    pub(super) fn latest(&self, most: usize) -> impl Iterator<Item = &Value> {
        self.0.iter().take(most)
    }

    /// The one whose id begins with `id`.
    pub(super) fn one(&self, id: &str) -> Result<&Value, CliError> {
        let is_it = |decision: &&Value| decision["requestId"].as_str().is_some_and(|it| it.starts_with(id));
        self.0.iter().find(is_it).ok_or_else(|| {
            CliError::failed(format!(
                "the last rota that `rota run` started knows no request {id:?}; `rota why -n 9` shows the latest"
            ))
        })
    }
}

/// The end of a file, from the beginning of a line on.
fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let whole = if from == 0 { &text } else { text.split_once('\n').map_or("", |(_, rest)| rest) };
    Ok(whole.to_owned())
}

fn decisions(log: &str) -> Vec<Value> {
    let told = log.lines().rev().filter_map(|line| {
        let mut line: Value = serde_json::from_str(line).ok()?;
        let fields =
            line.as_object_mut().filter(|fields| fields.get("target").is_some_and(|it| it == TARGET))?;
        fields.retain(|name, _| name != "level" && name != "target");
        Some(line)
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// OBS-1: a decision in the log is the decision of the API, the latest first; other lines and half a line are none.
    #[test]
    fn decisions_are_taken_out_of_a_log() {
        let log = "{\"level\":\"INFO\",\"target\":\"rota::app\",\"message\":\"listening\"}\n\
                   {\"level\":\"INFO\",\"target\":\"rota::decision\",\"requestId\":\"aa11\"}\n\
                   not JSON\n7\n\
                   {\"level\":\"INFO\",\"target\":\"rota::decision\",\"requestId\":\"bb22\"}\n\
                   {\"level\":\"INFO\",\"target\":\"rota::dec";
        let kept = Kept(decisions(log));
        assert_eq!(kept.0, [json!({"requestId": "bb22"}), json!({"requestId": "aa11"})]);
        assert_eq!(kept.latest(1).count(), 1);
        assert_eq!(kept.one("aa").expect("there"), &json!({"requestId": "aa11"}));
        assert!(kept.one("cc").is_err_and(|error| error.message.contains("rota why -n 9")));
    }

    #[test]
    fn a_long_log_is_read_from_the_beginning_of_a_line() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(LOG);
        let line = format!("{}\n", "x".repeat(1023));
        std::fs::write(&path, line.repeat(TAIL as usize / 1024 + 2)).expect("a file");
        let text = tail(&path).expect("read");
        assert!(text.starts_with('x') && text.len() as u64 == TAIL - 1024, "{}", text.len());
        assert!(tail(&dir.path().join("none")).is_err());
    }
}
