//! A stream of events of the admin API (`text/event-stream`), read as it comes.
use super::CliError;
use super::api::{Answer, Daemon, succeed, whole};
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::task::JoinHandle;

/// No event is longer.
const LONGEST: usize = 1024 * 1024;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    /// Its kind.
    pub(super) name: String,
    /// Its data; null where that is not JSON.
    pub(super) data: Value,
}

/// A stream under way. Dropped, the connection is closed.
pub(super) struct Live {
    body: Incoming,
    driver: JoinHandle<()>,
    text: Vec<u8>,
}

/// Why there is no stream.
pub(super) enum NotLive {
    /// The API refused it.
    Refused(Answer),
    /// It could not be asked.
    Unasked(CliError),
}

impl From<CliError> for NotLive {
    fn from(error: CliError) -> Self {
        Self::Unasked(error)
    }
}

impl From<NotLive> for CliError {
    fn from(why: NotLive) -> Self {
        match why {
            NotLive::Unasked(error) => error,
            NotLive::Refused(answer) => match succeed(answer) {
                Ok(_) => Self::failed("the daemon answered with an error"),
                Err(error) => error,
            },
        }
    }
}

impl Live {
    /// Asks for it.
    pub(super) async fn open(
        daemon: &Daemon,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Self, NotLive> {
        let (reply, driver) = daemon.begin(method, path, body).await?;
        if reply.status().is_success() {
            return Ok(Self { body: reply.into_body(), driver, text: Vec::new() });
        }
        let refused = whole(reply).await.map_err(|error| CliError::io("the answer was lost", &error));
        driver.abort();
        Err(NotLive::Refused(refused?))
    }

    /// The next event; none once the stream has ended, however it did.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = take(&mut self.text) {
                match event {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let data = self.body.frame().await?.ok()?.into_data().unwrap_or_default();
            if self.text.len() + data.len() > LONGEST {
                return None;
            }
            self.text.extend_from_slice(&data);
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Takes the first block off `text`, if one is complete; one that is only a comment is no event.
fn take(text: &mut Vec<u8>) -> Option<Option<Event>> {
    let end = text.windows(2).position(|pair| pair == b"\n\n")?;
    let block: Vec<u8> = text.drain(..end + 2).collect();
    let block = String::from_utf8_lossy(&block).into_owned();
    let field = |name: &str| {
        let values = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        values.map(|value| value.strip_prefix(' ').unwrap_or(value)).collect::<Vec<_>>()
    };
    let data = field("data");
    if data.is_empty() {
        return Some(None);
    }
    let name = field("event").last().map_or_else(|| "message".to_owned(), |name| (*name).to_owned());
    Some(Some(Event { name, data: serde_json::from_str(&data.join("\n")).unwrap_or(Value::Null) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_are_read_whole_and_comments_are_passed_over() {
        let mut text =
            b":\n\nevent: run\ndata: {\"state\":\ndata: \"ready\"}\n\ndata:1\n\nevent: half".to_vec();
        assert_eq!(take(&mut text), Some(None));
        let run = Event { name: "run".to_owned(), data: json!({"state": "ready"}) };
        assert_eq!(take(&mut text), Some(Some(run)));
        assert_eq!(take(&mut text), Some(Some(Event { name: "message".to_owned(), data: json!(1) })));
        assert_eq!(take(&mut text), None);
        assert_eq!(text, b"event: half");
    }
}
