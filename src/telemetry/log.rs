use super::line::Lines as JsonLines;
use super::{DecisionRecord, Outcome};
use crate::sys;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait for a slow reader; more are dropped and counted, so that a full pipe never holds a request up.
const QUEUE: usize = 4096;

/// Bytes from which on lines change hands instead of being copied.
const MANY: usize = 4096;

/// Bytes of memory that are kept for the next lines.
const KEPT: usize = 256 * 1024;

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// One sentence a line, for people.
    Text,
}

/// Where log lines go: a text that grows, in front of one thread that writes it out. Clones write to the same place.
#[derive(Clone)]
pub struct LogSink {
    format: LogFormat,
    waiting: Arc<Mutex<Lines>>,
    bell: SyncSender<Bell>,
    dropped: Arc<AtomicU64>,
    panics: Arc<AtomicU64>,
}

/// Whole lines, one after the other.
#[derive(Debug, Default)]
struct Lines {
    text: Vec<u8>,
    count: usize,
}

impl Lines {
    /// Forgets them, and keeps their memory for others.
    fn clear(&mut self) {
        self.count = 0;
        if self.text.capacity() > KEPT {
            self.text = Vec::new();
        }
        self.text.clear();
    }
}

enum Bell {
    /// All that came before is to be written first.
    Flush(SyncSender<()>),
    /// There is something to write.
    Ring,
}

impl LogSink {
    /// Starts the writing thread; it ends when the last clone is gone.
    pub fn start(format: LogFormat, out: impl Write + Send + 'static) -> io::Result<Self> {
        let (bell, rings) = sync_channel(1);
        let waiting = Arc::default();
        let taken = Arc::clone(&waiting);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            sys::let_others_first();
            write_all(&rings, &taken, out);
        })?;
        Ok(Self { format, waiting, bell, dropped: Arc::default(), panics: Arc::default() })
    }

    /// How lines are written.
    pub fn format(&self) -> LogFormat {
        self.format
    }

    /// Lines dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Panics since [`log_panics`].
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Returns once every line sent before has been written: the last act before the process ends.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.bell.send(Bell::Flush(done)).is_ok() {
            let _ = wait.recv();
        }
    }

    /// Queues whole lines; those that find no room are dropped, the last first. None are left.
    fn send(&self, lines: &mut Lines) {
        let mut waiting = lock(&self.waiting);
        let room = QUEUE - waiting.count;
        if waiting.count == 0 && lines.count <= room && lines.text.len() >= MANY {
            std::mem::swap(&mut *waiting, lines);
        } else {
            waiting.count += lines.count.min(room);
            let fits = lines.text.split_inclusive(|byte| *byte == b'\n').take(room);
            let fits: usize =
                if lines.count <= room { lines.text.len() } else { fits.map(<[u8]>::len).sum() };
            waiting.text.extend_from_slice(&lines.text[..fits]);
            self.dropped.fetch_add(lines.count.saturating_sub(room) as u64, Ordering::Relaxed);
        }
        drop(waiting);
        lines.clear();
        // A bell that is ringing already, or that nobody hears any more, needs no other.
        let _ = self.bell.try_send(Bell::Ring);
    }
}

fn lock(lines: &Mutex<Lines>) -> MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Decision records that are told together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    lines: Lines,
    json: JsonLines,
}

impl Batch {
    pub(super) fn add(&mut self, record: &DecisionRecord, format: LogFormat) {
        let Lines { text: lines, count } = &mut self.lines;
        match format {
            LogFormat::Json => self.json.write(record, lines),
            LogFormat::Text => lines.extend_from_slice(text(record).as_bytes()),
        }
        lines.push(b'\n');
        *count += 1;
    }

    /// What was added goes to `sink`.
    pub(super) fn send(&mut self, sink: &LogSink) {
        if self.lines.count > 0 {
            sink.send(&mut self.lines);
        }
    }
}

fn text(record: &DecisionRecord) -> String {
    let who = record.selected_alias.as_ref().map_or("nobody", |alias| alias.as_str());
    let status = record.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
    let ended = match record.outcome {
        Outcome::Abandoned => "abandoned by the client, on",
        Outcome::Passed => "passed on from",
        Outcome::Refused => "refused, last tried",
        Outcome::Served => "served by",
    };
    let attempts: Vec<String> = record
        .attempts
        .iter()
        .map(|attempt| {
            format!("{} {}", attempt.alias, attempt.reason.map_or("ok", crate::model::Reason::as_str))
        })
        .collect();
    format!(
        "{} {} {} {ended} {who}, {status}, {:.0} ms [{}]",
        record.request_id,
        record.method,
        one_line(&record.path),
        record.duration_ms,
        attempts.join("; "),
    )
}

/// A path may hold anything that is not a control character by the time it gets here, but a log line is one line
/// whatever happens.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn write_all(bell: &Receiver<Bell>, waiting: &Mutex<Lines>, mut out: impl Write) {
    let mut lines = Lines::default();
    let mut write = || {
        std::mem::swap(&mut *lock(waiting), &mut lines);
        // Whom it could be told to is who does not take it.
        let _ = out.write_all(&lines.text);
        let _ = out.flush();
        lines.clear();
    };
    while let Ok(rung) = bell.recv() {
        write();
        if let Bell::Flush(done) = rung {
            let _ = done.send(());
        }
    }
    write();
}

/// One event of the subscriber: gathered, then queued as one line.
pub struct LogLine {
    sink: LogSink,
    line: Vec<u8>,
}

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.sink.send(&mut Lines { text: std::mem::take(&mut self.line), count: 1 });
        }
    }
}

impl<'a> MakeWriter<'a> for LogSink {
    type Writer = LogLine;
    fn make_writer(&'a self) -> LogLine {
        LogLine { sink: self.clone(), line: Vec::new() }
    }
}

/// Sends this process's own events to `sink`, those that `filter` lets through: a level, or `target=level` pairs
/// separated by commas. The first call holds; a program has one subscriber.
pub fn subscribe(sink: &LogSink, filter: &str) {
    use tracing_subscriber::prelude::*;
    let targets =
        filter.parse::<Targets>().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    let events = tracing_subscriber::fmt::layer().with_writer(sink.clone()).with_ansi(false);
    let registry = tracing_subscriber::registry().with(targets);
    let _ = match sink.format {
        LogFormat::Json => registry.with(events.json().flatten_event(true)).try_init(),
        LogFormat::Text => registry.with(events.compact()).try_init(),
    };
}

/// Counts panics, and tells where each one was as a log event. What it says stays untold: a panic's message may quote
/// whatever text was at hand, also a secret.
pub fn log_panics(sink: &LogSink) {
    let panics = sink.panics.clone();
    std::panic::set_hook(Box::new(move |panic| {
        panics.fetch_add(1, Ordering::Relaxed);
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        tracing::error!(place, thread = thread.name(), "a panic: one task has failed, rota goes on");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::prelude::*;

    /// OBS-3, PL4
    #[test]
    fn a_panic_is_counted_and_its_place_told_but_not_its_words() {
        let written = Written::default();
        let sink = LogSink::start(LogFormat::Text, written.clone()).expect("a thread");
        let before = std::panic::take_hook();
        log_panics(&sink);
        let told = tracing_subscriber::registry()
            .with(tracing_subscriber::fmt::layer().with_writer(sink.clone()).with_ansi(false));
        let panicking = std::thread::spawn(move || {
            tracing::subscriber::with_default(told, || panic!("sk-canary-{}", 7));
        });
        assert!(panicking.join().is_err());
        std::panic::set_hook(before);
        sink.flush();
        let text = String::from_utf8(written.0.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let text = text.expect("text");
        assert!(sink.panics() >= 1);
        assert!(text.contains(file!()) && !text.contains("canary"), "{text}");
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
