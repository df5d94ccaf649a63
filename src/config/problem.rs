//! What is wrong with a configuration, for people: what happened, where, and what to do. Text of a file is shown only
//! where it cannot be a secret.
use super::value::Bad;
use serde::Serialize;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A configuration that cannot be used: everything that is wrong with it. Its `Display` is all of it, ready to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// The exit code of a process that ends because of it: `EX_CONFIG` of sysexits.h.
    pub const EXIT_CODE: u8 = 78;

    /// `problems` are not empty.
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// All that is wrong, at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// The stable code: the strictest among its problems.
    pub fn code(&self) -> Code {
        let strict = |problem: &Problem| problem.code == Code::NonLoopbackBind;
        if self.problems.iter().any(strict) { Code::NonLoopbackBind } else { Code::InvalidConfig }
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self::new(vec![problem])
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Stable codes, for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// A value, a key or a file that cannot be used.
    InvalidConfig,
    /// An address that other machines could reach.
    NonLoopbackBind,
}

impl Code {
    /// The wire string.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidConfig => "INVALID_CONFIG",
            Self::NonLoopbackBind => "NON_LOOPBACK_BIND",
        }
    }
}

/// Whether rota starts in spite of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It does not.
    Error,
    /// It does, and says so.
    Warning,
}

/// One thing that is wrong. Its `Display` is a paragraph without a newline at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// For machines.
    pub code: Code,
    /// Whether rota starts in spite of it.
    pub severity: Severity,
    /// The setting, or the file or variable where no setting is meant.
    pub key: String,
    /// What is wrong, with the value seen unless it is secret.
    pub what: String,
    /// Where it was written.
    pub place: Place,
    /// What is allowed, or what to do; whole sentences, one a line.
    pub help: Vec<String>,
}

impl Problem {
    pub(super) fn error(key: &str, bad: Bad, place: Place) -> Self {
        let mut help = Vec::new();
        if !bad.allowed.is_empty() {
            help.push(bad.allowed);
        }
        if let Some(near) = bad.near {
            help.push(format!("did you mean {near}?"));
        }
        Self { code: bad.code, severity: Severity::Error, key: key.to_owned(), what: bad.what, place, help }
    }

    pub(super) fn warning(key: &str, bad: Bad, place: Place) -> Self {
        Self { severity: Severity::Warning, ..Self::error(key, bad, place) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}: {}", self.key, self.what)?;
        if self.code != Code::InvalidConfig {
            write!(f, " ({})", self.code.as_str())?;
        }
        write!(f, "{}", self.place)?;
        for line in &self.help {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// In a file as a whole.
    File(PathBuf),
    /// In a line of a file.
    Line(Excerpt),
    /// Nowhere: what is missing was not written.
    Nowhere,
    /// In an option of the command line.
    Option(String),
    /// Among the settings that the store keeps.
    Saved,
    /// In an environment variable.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "\n  in {}", path.display()),
            Self::Line(excerpt) => write!(f, "\n{excerpt}"),
            Self::Nowhere => Ok(()),
            Self::Option(name) => write!(f, "\n  in the option {name}"),
            Self::Saved => f.write_str("\n  in the settings that the store keeps"),
            Self::Variable(name) => write!(f, "\n  in the environment variable {name}"),
        }
    }
}

/// How much of a file's text an error may show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// The line as it is.
    Line,
    /// No text at all: it may be a secret.
    Nothing,
    /// The place itself; quoted texts around it are left out.
    Spot,
}

/// A line of a file with the place that is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Excerpt {
    /// The file.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The line and the marks under it, if it may be shown.
    #[serde(skip)]
    shown: Option<(String, String)>,
}

impl Excerpt {
    /// The first line of `span` in `text`, the content of `file`.
    pub(super) fn new(file: &Path, text: &str, span: &Range<usize>, show: Show) -> Self {
        let start = floor(text, span.start);
        let from = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let to = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let end = floor(text, span.end).clamp(start, to);
        let (before, spot, after) = (&text[from..start], &text[start..end], &text[end..to]);
        let shown = match show {
            Show::Line => Some((before.to_owned(), after.to_owned())),
            Show::Nothing => None,
            Show::Spot => Some((without_texts(before), without_texts(after))),
        };
        Self {
            file: file.to_owned(),
            line: text[..start].matches('\n').count() + 1,
            column: before.chars().count() + 1,
            shown: shown.map(|(before, after)| {
                let marks = "^".repeat(spot.trim_end().chars().count().max(1));
                let marks = format!("{}{marks}", " ".repeat(before.chars().count()));
                let line = format!("{before}{spot}{after}").replace('\t', " ");
                (line.trim_end().to_owned(), marks)
            }),
        }
    }
}

fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// `line` with every quoted text replaced by `…`, and without a comment.
fn without_texts(line: &str) -> String {
    let mut out = String::new();
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if open == c => {
                out.push(c);
                quote = None;
            }
            (Some(_), _) => {}
            (None, '"' | '\'') => {
                out.push(c);
                out.push('…');
                quote = Some(c);
            }
            (None, '#') => return out,
            (None, c) => out.push(c),
        }
    }
    out
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, line) = (self.file.display(), self.line);
        write!(f, "  in {file}, line {line}, column {}", self.column)?;
        let Some((text, marks)) = &self.shown else {
            return Ok(());
        };
        let gutter = " ".repeat(line.to_string().len());
        write!(f, "\n{gutter} |\n{line} | {text}\n{gutter} | {marks}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(text: &str, span: Range<usize>, show: Show) -> String {
        Excerpt::new(Path::new("/etc/rota.toml"), text, &span, show).to_string()
    }

    #[test]
    fn a_place_is_shown_with_its_line_and_marks_under_it() {
        let text = "listen = \"127.0.0.1:1\"\n[rotation]\nstrategy = \"weighted\" # mine\n";
        let at = text.find("\"weighted\"").unwrap();
        assert_eq!(
            excerpt(text, at..at + 10, Show::Spot),
            "  in /etc/rota.toml, line 3, column 12\n  |\n3 | strategy = \"weighted\"\n  |            ^^^^^^^^^^"
        );
    }

    #[test]
    fn texts_around_the_place_are_left_out() {
        let text = "log = { a = \"sekret\", b = 1, c = 'sekret' } # sekret";
        let at = text.find("b = 1").unwrap();
        assert_eq!(
            excerpt(text, at..at + 1, Show::Spot),
            "  in /etc/rota.toml, line 1, column 23\n  |\n1 | log = { a = \"…\", b = 1, c = '…' }\n  |                  ^"
        );
        assert_eq!(excerpt(text, at..at + 1, Show::Nothing), "  in /etc/rota.toml, line 1, column 23");
    }

    #[test]
    fn a_span_outside_the_text_or_inside_a_character_is_no_panic() {
        for text in ["", "é", "é\n", "\n\n"] {
            for start in 0..5 {
                for end in 0..5 {
                    excerpt(text, start..end, Show::Line);
                }
            }
        }
    }
}
