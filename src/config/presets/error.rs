//! Why a preset cannot be used, with the place in its file.
use std::fmt;
use std::ops::Range;

/// Columns of a line that are shown, at most.
const WIDEST: usize = 160;

/// A preset that cannot be used. Its `Display` names the file, the line and what is allowed, and shows the line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PresetError {
    file: String,
    place: Option<Place>,
    message: String,
}

impl PresetError {
    pub(super) fn new(file: &str, place: Option<Place>, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), place, message: message.into() }
    }

    /// The file's name, as it was given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line in the file, counted from 1; none where something is missing from it altogether.
    pub fn line(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.line)
    }
}

impl fmt::Display for PresetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(place) = &self.place else {
            return write!(f, "{}: {}", self.file, self.message);
        };
        let (line, column) = (place.line, place.column);
        write!(f, "{}:{line}:{column}: {}", self.file, self.message)?;
        if place.text.is_empty() {
            return Ok(());
        }
        let gutter = " ".repeat(line.to_string().len());
        let indent = " ".repeat(column.saturating_sub(1));
        let caret = "^".repeat(place.width.max(1));
        write!(f, "\n{gutter} |\n{line} | {}\n{gutter} | {indent}{caret}", place.text)
    }
}

/// Something wrong in a text that is being read, before the file's name is known.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) span: Option<Range<usize>>,
    pub(super) message: String,
}

impl Wrong {
    pub(super) fn at(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span: Some(span), message: message.into() }
    }

    pub(super) fn within(self, file: &str, text: &str) -> PresetError {
        let place = self.span.map(|span| Place::of(text, &span));
        PresetError::new(file, place, self.message)
    }
}

impl From<toml::de::Error> for Wrong {
    fn from(error: toml::de::Error) -> Self {
        Self { span: error.span(), message: error.message().replace('\n', ", ") }
    }
}

/// Where in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    line: usize,
    column: usize,
    width: usize,
    /// The line; empty where it may hold a secret.
    text: String,
}

impl Place {
    pub(super) fn of(text: &str, span: &Range<usize>) -> Self {
        let start = floor(text, span.start);
        let end = floor(text, span.end).max(start);
        let before = &text[..start];
        let begin = before.rfind('\n').map_or(0, |at| at + 1);
        let line = text[begin..].lines().next().unwrap_or_default();
        let marked = text[start..end].lines().next().unwrap_or_default();
        let shown: String = line.chars().take(WIDEST).collect();
        Self {
            line: before.matches('\n').count() + 1,
            column: text[begin..start].chars().count() + 1,
            width: marked.chars().count(),
            text: if may_hold_secret(line) { String::new() } else { shown },
        }
    }
}

fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Words that stand beside a client secret, a key or another token among the token parameters, or in a URL.
const TELLTALE: [&str; 8] = ["@", "_token", "assertion", "basic ", "exec", "params", "password", "secret"];

/// What may hold a secret is not for a terminal or a log.
fn may_hold_secret(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    TELLTALE.iter().any(|word| line.contains(word))
}
