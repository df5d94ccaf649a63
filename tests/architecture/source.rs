//! Rust source as the checks see it: without comments, without the text of strings, without tests. It is a reader of
//! tokens, not a parser; what it gets wrong must be rare and must fail loudly.
/// The lines, from 1, where `word` stands by itself: no letter, digit or `_` touches it.
pub(crate) fn word_in(text: &str, word: &str) -> Vec<usize> {
    find(text, word, |c| c.is_alphanumeric() || c == '_')
}

/// The same for prose and wire strings, where `_` and digits part words.
pub(crate) fn words_in(text: &str, word: &str) -> Vec<usize> {
    find(text, word, char::is_alphabetic)
}

fn find(text: &str, word: &str, touches: fn(char) -> bool) -> Vec<usize> {
    let mut lines = Vec::new();
    for (at, _) in text.match_indices(word) {
        let before = text[..at].chars().next_back().is_some_and(touches);
        let after = text[at + word.len()..].chars().next().is_some_and(touches);
        let (first, last) = (word.chars().next(), word.chars().next_back());
        if !(before && first.is_some_and(touches) || after && last.is_some_and(touches)) {
            lines.push(text[..at].matches('\n').count() + 1);
        }
    }
    lines
}

/// One file.
pub(crate) struct Source {
    /// From the root: `src/engine/select.rs`.
    pub(crate) path: String,
    /// Without comments and tests.
    pub(crate) code: String,
    /// Without the text of strings too.
    pub(crate) bare: String,
    /// Lines with their comments, without tests.
    pub(crate) lines: usize,
    /// Files, and beginnings of paths, of the test modules declared here: `#[cfg(test)] mod tests;`.
    pub(crate) test_files: Vec<String>,
}

/// One `fn`.
pub(crate) struct Function {
    pub(crate) name: String,
    /// Where it begins, from 1.
    pub(crate) line: usize,
    /// Lines that are not blank.
    pub(crate) lines: usize,
    parameters: String,
}

impl Function {
    pub(crate) fn takes_bool(&self) -> bool {
        let plain: String = self.parameters.split_whitespace().collect();
        plain.split(',').any(|parameter| parameter.ends_with(":bool"))
    }
}

impl Source {
    pub(crate) fn new((path, text): (String, String)) -> Self {
        let (mut code, mut bare) = blank(&text);
        let tests = test_items(&bare);
        let in_tests = tests.iter().map(|(start, end)| text[*start..*end].lines().count());
        let lines = text.lines().count() - in_tests.sum::<usize>();
        let test_files = tests
            .iter()
            .filter_map(|(start, end)| declared(&bare[*start..*end]))
            .flat_map(|name| module_files(&path, name))
            .collect();
        for (start, end) in tests {
            erase(&mut code, start, end);
            erase(&mut bare, start, end);
        }
        Self { path, code, bare, lines, test_files }
    }

    /// The first part of the path below `src/`.
    pub(crate) fn room(&self) -> &str {
        let below = self.path.trim_start_matches("src/");
        below.split('/').next().unwrap_or(below).trim_end_matches(".rs")
    }

    /// The rooms that this file names: `crate::x`, `use crate::{x, y}`, in `main.rs` also `rota::x`.
    pub(crate) fn uses(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for krate in ["crate::", "rota::"] {
            for (at, _) in self.bare.match_indices(krate) {
                let touched = self.bare[..at].chars().next_back();
                if touched.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':')) {
                    continue;
                }
                let line = self.bare[..at].matches('\n').count() + 1;
                let rest = &self.bare[at + krate.len()..];
                found.extend(heads(rest).into_iter().map(|head| (line, head)));
            }
        }
        found
    }

    /// Every `fn` with a body, tests left out.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        for (at, _) in self.bare.match_indices("fn ") {
            let touched = self.bare[..at].chars().next_back();
            let rest = &self.bare[at + 3..];
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if name.is_empty() || touched.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let Some(open) = body(rest) else { continue };
            let end = open + closing(&rest[open..]);
            found.push(Function {
                line: self.bare[..at].matches('\n').count() + 1,
                lines: rest[..end].lines().filter(|line| !line.trim().is_empty()).count(),
                parameters: parameters(&rest[..open]).to_owned(),
                name,
            });
        }
        found
    }
}

/// The `x` of `mod x;`.
fn declared(item: &str) -> Option<&str> {
    let item = item.trim_end().strip_suffix(';')?;
    Some(item.rsplit_once("mod ")?.1.trim())
}

/// Where the module `name` of the file `path` may be.
fn module_files(path: &str, name: &str) -> [String; 2] {
    let (dir, file) = path.rsplit_once('/').unwrap_or(("", path));
    let dir = match file.trim_end_matches(".rs") {
        "mod" | "lib" | "main" => dir.to_owned(),
        stem => format!("{dir}/{stem}"),
    };
    [format!("{dir}/{name}.rs"), format!("{dir}/{name}/")]
}

/// Where the `{` of a function's body is; none for a declaration.
fn body(rest: &str) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, c) in rest.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' if depth == 0 => return Some(at),
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// What stands between the first `(` and its `)`.
fn parameters(head: &str) -> &str {
    let Some(open) = head.find('(') else { return "" };
    let mut depth = 0;
    for (at, c) in head[open..].char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &head[open + 1..open + at];
        }
    }
    ""
}

/// The length of `text`, which begins with `{`, up to and with the `}` that closes it.
fn closing(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

/// The first names of a path, or of each path of a group.
fn heads(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        let text = text.trim_start();
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    if !rest.starts_with('{') {
        return vec![name(rest)];
    }
    let group = &rest[1..closing(rest).saturating_sub(1)];
    let (mut depth, mut from, mut found) = (0_i32, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(name(&group[from..at]));
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push(name(&group[from..]));
    found.retain(|name| !name.is_empty());
    found
}

/// The places of items under `#[cfg(test)]`, the attribute included.
fn test_items(bare: &str) -> Vec<(usize, usize)> {
    const MARK: &str = "#[cfg(test)]";
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (at, _) in bare.match_indices(MARK) {
        if found.last().is_some_and(|(_, end)| at < *end) {
            continue;
        }
        let rest = &bare[at + MARK.len()..];
        let mut depth = 0_i32;
        let mut length = rest.len();
        for (to, c) in rest.char_indices() {
            match c {
                '(' | '[' => depth += 1,
                ')' | ']' => depth -= 1,
                ';' if depth == 0 => length = to + 1,
                '{' if depth == 0 => length = to + closing(&rest[to..]),
                _ => continue,
            }
            if length < rest.len() || (c == '{' && depth == 0) {
                break;
            }
        }
        found.push((at, at + MARK.len() + length));
    }
    found
}

/// Overwrites with blanks of the same length; lines stay where they are.
fn erase(text: &mut String, start: usize, end: usize) {
    let blanks: String = text[start..end].bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }).collect();
    text.replace_range(start..end, &blanks);
}

/// `text` without comments, and the same without the text of strings and characters; both of the same length.
fn blank(text: &str) -> (String, String) {
    let (mut code, mut bare) = (text.to_owned(), text.to_owned());
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let (length, is_comment) = token(rest);
        if length == 0 {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        }
        if is_comment {
            erase(&mut code, at, at + length);
            erase(&mut bare, at, at + length);
        } else {
            erase(&mut bare, at, at + length);
        }
        at += length;
    }
    (code, bare)
}

/// The length of the comment, string or character at the beginning of `rest`, and whether it is a comment; 0 if there
/// is none.
fn token(rest: &str) -> (usize, bool) {
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), true);
    }
    if rest.starts_with("/*") {
        return (block(rest), true);
    }
    let raw = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'));
    if let Some(length) = raw.and_then(raw_string) {
        return (rest.len() - raw.map_or(0, str::len) + length, false);
    }
    if rest.starts_with('"') {
        return (quoted(rest), false);
    }
    (character(rest), false)
}

fn block(rest: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// After the `r`: `#"..."#`.
fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest.bytes().take_while(|b| *b == b'#').count();
    let inner = rest[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inner.find(&end)? + end.len();
    Some(hashes + 1 + length)
}

fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `'x'`, `'\n'`, `'\u{1f600}'`; a lifetime is none.
fn character(rest: &str) -> usize {
    let Some(inner) = rest.strip_prefix('\'') else {
        return 0;
    };
    let mut chars = inner.char_indices();
    match chars.next() {
        Some((_, '\\')) => inner[2..].find('\'').map_or(0, |end| end + 4),
        Some((_, _)) => match chars.next() {
            Some((at, '\'')) => at + 2,
            Some(_) | None => 0,
        },
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new(("src/room/file.rs".to_owned(), text.to_owned()))
    }

    #[test]
    fn comments_texts_and_tests_are_left_out() {
        let text = "//! async\nfn a() { /* tokio /* in */ */ call(\"tokio \\\" \", 'x', '\\'', r#\"rand \"\"#); }\n\
                    #[cfg(test)]\nmod tests {\n    use tokio;\n}\nfn b<'a>(x: &'a str) {} // tokio\n";
        let source = source(text);
        assert_eq!(source.bare.len(), text.len());
        for word in ["async", "tokio", "rand"] {
            assert_eq!(word_in(&source.bare, word), [0; 0], "{}", source.bare);
        }
        assert_eq!(word_in(&source.code, "rand"), [2]);
        assert_eq!(source.lines, 3);
        let names: Vec<String> = source.functions().into_iter().map(|f| f.name).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn files_of_tests_are_known() {
        let text =
            "mod a;\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\n#[path = \"x\"]\npub(crate) mod fixtures;\n";
        assert_eq!(
            source(text).test_files,
            [
                "src/room/file/tests.rs",
                "src/room/file/tests/",
                "src/room/file/fixtures.rs",
                "src/room/file/fixtures/"
            ]
        );
        assert_eq!(module_files("src/room/mod.rs", "x"), ["src/room/x.rs", "src/room/x/"]);
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(word_in("brand rand\nrand_x x.rand()", "rand"), [1, 2]);
        assert_eq!(word_in("std::fs::x std::fsx", "std::fs"), [1]);
        assert_eq!(words_in("my_codex2 codexes", "codex"), [1]);
    }

    #[test]
    fn rooms_are_found_in_paths_and_groups() {
        let text = "use crate::model::{Time, self};\nuse crate::{clock::Clock, engine::{a, b}, state};\n\
                    fn a() { crate::store::open(); other_crate::proxy(); x::crate::admin() }\n";
        let used: Vec<String> = source(text).uses().into_iter().map(|(_, room)| room).collect();
        assert_eq!(used, ["model", "clock", "engine", "state", "store"]);
    }

    #[test]
    fn functions_have_a_length_and_parameters() {
        let text = "trait T { fn declared(&self, x: [u8; 4]); }\nfn two(a: u8,\n  on: bool) -> impl Fn(u8) -> bool\n{\n\n  a\n}\n\
                    fn none(f: fn(bool), b: Option<bool>) -> bool { true }\n";
        let functions = source(text).functions();
        let seen: Vec<_> =
            functions.iter().map(|f| (f.name.as_str(), f.line, f.lines, f.takes_bool())).collect();
        assert_eq!(seen, [("two", 2, 5, true), ("none", 8, 1, false)]);
    }
}
