//! JSON with comments, changed in place: a scanner that knows where every value stands, and edits that touch nothing else.
//! A comma after the last member is understood. Values are taken as JSON.
use super::document::{Malformed, NotATable, place};
use serde_json::{Map, Value};
use std::ops::Range;

/// Nested deeper than this it is no configuration.
const DEEPEST: usize = 64;
/// How far a member stands in where nothing shows it.
const INDENT: &str = "  ";

/// A text that is one JSON object, or empty.
#[derive(Clone, Debug)]
pub(super) struct Jsonc {
    text: String,
    root: Option<Node>,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
struct Node {
    span: Range<usize>,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Object(Vec<Member>),
    Array(Vec<Node>),
    Scalar(Value),
}

#[derive(Clone, Debug)]
struct Member {
    key: String,
    /// Where the key begins.
    start: usize,
    value: Node,
}

impl Jsonc {
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        // A mark of the encoding is none of JSON's; it stays in the text, before all that is looked at.
        let mut scanner = Scanner { text, at: if text.starts_with('\u{feff}') { 3 } else { 0 } };
        scanner.blanks()?;
        let root = match scanner.peek() {
            None => None,
            Some(b'{') => Some(scanner.value(0)?),
            Some(_) => return Err(scanner.bad("an object was expected: {")),
        };
        scanner.blanks()?;
        match scanner.peek() {
            None => Ok(Self { text: text.to_owned(), root }),
            Some(_) => Err(scanner.bad("nothing was expected after the object")),
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.chars().all(|c| c.is_whitespace() || matches!(c, '{' | '}'))
    }

    pub(super) fn get(&self, key: &[String]) -> Option<Value> {
        self.node(key).map(Node::value)
    }

    fn node(&self, key: &[String]) -> Option<&Node> {
        key.iter().try_fold(self.root.as_ref()?, |at, part| at.member(part).map(|member| &member.value))
    }

    /// Sets the value at `key`; objects on the way are made.
    pub(super) fn set(&mut self, key: &[String], value: &Value) -> Result<(), NotATable> {
        let Some(root) = self.root.clone() else {
            let body = nested(key, value, 0);
            let text = format!("{}{body}\n", self.text);
            return self.becomes(text);
        };
        let (mut at, mut depth) = (&root, 0);
        for (place, part) in key.iter().enumerate() {
            let Kind::Object(members) = &at.kind else {
                let key = key.get(place.saturating_sub(1)).cloned().unwrap_or_default();
                return Err(NotATable { key });
            };
            let Some(member) = at.member(part) else {
                let rest = key.get(place + 1..).unwrap_or_default();
                let text = self.inserted(at, members, part, &|indent| nested(rest, value, indent));
                return self.becomes(text);
            };
            (at, depth) = (&member.value, depth + 1);
        }
        let indent = self.indent_of(at.span.start).chars().count();
        let mut text = self.text.clone();
        text.replace_range(at.span.clone(), &nested(&[], value, indent));
        debug_assert_eq!(depth, key.len());
        self.becomes(text)
    }

    /// Puts the text of what `key` names in `old` in place of what it names here.
    pub(super) fn restore(&mut self, key: &[String], old: &Self) {
        let (Some(now), Some(was)) = (self.node(key), old.node(key)) else {
            return;
        };
        let mut text = self.text.clone();
        text.replace_range(now.span.clone(), &old.text[was.span.clone()]);
        // One whole value stands where another did.
        let _ = self.becomes(text);
    }

    /// Removes the member at `key`, its line where it has one of its own, and its comma.
    pub(super) fn remove(&mut self, key: &[String]) {
        let Some((last, way)) = key.split_last() else {
            return;
        };
        let Some(root) = self.root.clone() else {
            return;
        };
        let mut at = &root;
        for part in way {
            match at.member(part) {
                Some(member) => at = &member.value,
                None => return,
            }
        }
        let (Kind::Object(members), Some(member)) = (&at.kind, at.member(last)) else {
            return;
        };
        let end = member.value.span.end;
        let comma = self.comma_after(end);
        let mut text = self.text.clone();
        let cut = self.whole_lines(member.start, comma.map_or(end, |comma| comma + 1));
        // The last of several leaves a comma behind that ends what is before it.
        let before = members.iter().rfind(|other| other.value.span.end <= member.start);
        let stray = before.filter(|_| comma.is_none()).and_then(|it| self.comma_after(it.value.span.end));
        text.replace_range(cut, "");
        if let Some(stray) = stray {
            text.remove(stray);
        }
        // What was well-formed without a member still is.
        let _ = self.becomes(text);
    }

    /// The text with a new member at the end of `object`.
    fn inserted(
        &self,
        object: &Node,
        members: &[Member],
        key: &str,
        value: &dyn Fn(usize) -> String,
    ) -> String {
        let mut text = self.text.clone();
        let name = Value::from(key).to_string();
        let inline = !self.text[object.span.clone()].contains('\n');
        match members.last() {
            Some(last) if inline => {
                let (at, comma) = self.behind(last);
                text.insert_str(at, &format!("{comma} {name}: {}", flat(&value(0))));
            }
            Some(last) => {
                let indent = self.indent_of(last.start);
                let (at, comma) = self.behind(last);
                let value = value(indent.chars().count());
                // Behind a comment that ends the line of the last member, if there is one.
                let line = self.text[at..].find('\n').map_or(self.text.len(), |end| at + end);
                let line = if self.text[at..line].trim_start().starts_with("//") { line } else { at };
                text.insert_str(line, &format!("\n{indent}{name}: {value}"));
                text.insert_str(at, comma);
            }
            None => {
                let outer = self.indent_of(object.span.start);
                let indent = format!("{outer}{INDENT}");
                let value = value(indent.chars().count());
                let end = if inline { format!("\n{outer}") } else { String::new() };
                text.insert_str(object.span.start + 1, &format!("\n{indent}{name}: {value}{end}"));
            }
        }
        text
    }

    /// Where something may follow a member, and the comma it takes.
    fn behind(&self, member: &Member) -> (usize, &'static str) {
        let end = member.value.span.end;
        match self.comma_after(end) {
            Some(comma) => (comma + 1, ""),
            None => (end, ","),
        }
    }

    fn comma_after(&self, at: usize) -> Option<usize> {
        let mut scanner = Scanner { text: &self.text, at };
        scanner.blanks().ok()?;
        (scanner.peek() == Some(b',')).then_some(scanner.at)
    }

    /// The blanks before `at` if nothing else is before it on its line, else those the line begins with.
    fn indent_of(&self, at: usize) -> String {
        let start = self.text[..at].rfind('\n').map_or(0, |end| end + 1);
        self.text[start..at].chars().take_while(|c| matches!(c, ' ' | '\t')).collect()
    }

    /// `start..end`, and all of its lines if nothing else is on them.
    fn whole_lines(&self, start: usize, end: usize) -> Range<usize> {
        let line = self.text[..start].rfind('\n').map_or(0, |end| end + 1);
        let next = self.text[end..].find('\n').map(|at| end + at + 1);
        let clear = |range: Range<usize>| self.text[range].trim().is_empty();
        match next {
            Some(next) if clear(line..start) && clear(end..next) => line..next,
            Some(_) | None => {
                let blanks = self.text[end..].len() - self.text[end..].trim_start_matches(' ').len();
                start..end + blanks
            }
        }
    }

    fn becomes(&mut self, text: String) -> Result<(), NotATable> {
        if let Ok(parsed) = Self::parse(&text) {
            *self = parsed;
        }
        Ok(())
    }
}

impl Node {
    fn member(&self, key: &str) -> Option<&Member> {
        match &self.kind {
            // As programs read it, the last of two counts.
            Kind::Object(members) => members.iter().rfind(|member| member.key == key),
            Kind::Array(_) | Kind::Scalar(_) => None,
        }
    }

    fn value(&self) -> Value {
        match &self.kind {
            Kind::Object(members) => {
                let members = members.iter().map(|member| (member.key.clone(), member.value.value()));
                Value::Object(members.collect::<Map<_, _>>())
            }
            Kind::Array(items) => items.iter().map(Self::value).collect(),
            Kind::Scalar(value) => value.clone(),
        }
    }
}

/// `value` below the objects that `key` names, on lines of its own, the first of them `indent` blanks in.
fn nested(key: &[String], value: &Value, indent: usize) -> String {
    match key.split_first() {
        None => {
            let text = serde_json::to_string_pretty(value).unwrap_or_default();
            text.replace('\n', &format!("\n{}", " ".repeat(indent)))
        }
        Some((first, rest)) => {
            let (outer, inner) = (" ".repeat(indent), " ".repeat(indent + INDENT.len()));
            let body = nested(rest, value, indent + INDENT.len());
            format!("{{\n{inner}{}: {body}\n{outer}}}", Value::from(first.as_str()))
        }
    }
}

/// The same on one line.
fn flat(text: &str) -> String {
    serde_json::from_str::<Value>(text).map_or_else(|_| text.to_owned(), |value| value.to_string())
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn bad(&self, what: &str) -> Malformed {
        let (line, column) = place(self.text, self.at);
        Malformed { line, column, what: what.to_owned() }
    }

    /// Blanks and comments.
    fn blanks(&mut self) -> Result<(), Malformed> {
        loop {
            let rest = &self.text[self.at..];
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("//") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if trimmed.starts_with("/*") {
                let end = trimmed.find("*/").ok_or_else(|| self.bad("a comment has no end"))?;
                self.at += end + 2;
            } else {
                return Ok(());
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, Malformed> {
        if depth > DEEPEST {
            return Err(self.bad("it is nested too deeply"));
        }
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(_) => Kind::Scalar(self.scalar()?),
            None => return Err(self.bad("a value was expected")),
        };
        Ok(Node { span: start..self.at, kind })
    }

    fn object(&mut self, depth: usize) -> Result<Kind, Malformed> {
        let mut members = Vec::new();
        self.at += 1;
        loop {
            self.blanks()?;
            if self.peek() == Some(b'}') {
                self.at += 1;
                return Ok(Kind::Object(members));
            }
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.bad("a name in quotes was expected, or }"));
            }
            let Value::String(key) = self.scalar()? else {
                return Err(self.bad("a name in quotes was expected"));
            };
            self.blanks()?;
            self.expect(b':', "a colon was expected")?;
            self.blanks()?;
            members.push(Member { key, start, value: self.value(depth + 1)? });
            self.next(b'}', "a comma was expected, or }")?;
        }
    }

    fn array(&mut self, depth: usize) -> Result<Kind, Malformed> {
        let mut items = Vec::new();
        self.at += 1;
        loop {
            self.blanks()?;
            if self.peek() == Some(b']') {
                self.at += 1;
                return Ok(Kind::Array(items));
            }
            items.push(self.value(depth + 1)?);
            self.next(b']', "a comma was expected, or ]")?;
        }
    }

    /// A comma, or the end that comes next.
    fn next(&mut self, end: u8, what: &str) -> Result<(), Malformed> {
        self.blanks()?;
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(())
            }
            Some(byte) if byte == end => Ok(()),
            Some(_) | None => Err(self.bad(what)),
        }
    }

    fn expect(&mut self, byte: u8, what: &str) -> Result<(), Malformed> {
        if self.peek() != Some(byte) {
            return Err(self.bad(what));
        }
        self.at += 1;
        Ok(())
    }

    /// A string, a number, true, false or null, by the JSON parser's own rules.
    fn scalar(&mut self) -> Result<Value, Malformed> {
        let rest = &self.text[self.at..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => {
                self.at += values.byte_offset();
                Ok(value)
            }
            Some(Err(_)) | None => Err(self.bad("a value was expected")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn key(path: &str) -> Vec<String> {
        path.split('.').map(str::to_owned).collect()
    }

    fn set(text: &str, path: &str, value: Value) -> String {
        let mut document = Jsonc::parse(text).expect("JSON");
        document.set(&key(path), &value).expect("objects on the way");
        document.text().to_owned()
    }

    fn removed(text: &str, path: &str) -> String {
        let mut document = Jsonc::parse(text).expect("JSON");
        document.remove(&key(path));
        document.text().to_owned()
    }

    #[test]
    fn a_value_is_set_and_nothing_else_is_touched() {
        for (text, path, expected) in [
            ("", "a.b", "{\n  \"a\": {\n    \"b\": \"x\"\n  }\n}\n"),
            ("{}", "a", "{\n  \"a\": \"x\"\n}"),
            ("{ // why\n}\n", "a", "{\n  \"a\": \"x\" // why\n}\n"),
            ("{\"z\":1}", "a", "{\"z\":1, \"a\": \"x\"}"),
            ("{\"z\":1}", "a.b", "{\"z\":1, \"a\": {\"b\":\"x\"}}"),
            ("{\n\t\"z\": 1 // one\n}\n", "a", "{\n\t\"z\": 1, // one\n\t\"a\": \"x\"\n}\n"),
            ("{\n  \"z\": 1, // one\n}\n", "a", "{\n  \"z\": 1, // one\n  \"a\": \"x\"\n}\n"),
            ("{\n  \"a\": /* old */ \"y\", // keep\n}\n", "a", "{\n  \"a\": /* old */ \"x\", // keep\n}\n"),
            ("\u{feff}{\"a\":{\"b\":{}}}", "a.b", "\u{feff}{\"a\":{\"b\":\"x\"}}"),
        ] {
            let after = set(text, path, json!("x"));
            assert_eq!(after, expected, "{text:?} {path}");
            let parsed = Jsonc::parse(&after).expect("still JSON");
            assert_eq!(parsed.get(&key(path)), Some(json!("x")));
        }
    }

    #[test]
    fn a_member_goes_with_its_line_and_its_comma() {
        for (text, path, expected) in [
            ("{\"a\":1}", "a", "{}"),
            ("{\"a\":1, \"b\":2}", "a", "{\"b\":2}"),
            ("{\"a\":1, \"b\":2}", "b", "{\"a\":1 }"),
            ("{\n  \"a\": 1,\n  \"b\": 2\n}\n", "b", "{\n  \"a\": 1\n}\n"),
            ("{\n  \"a\": 1, // one\n  \"b\": 2\n}\n", "b", "{\n  \"a\": 1 // one\n}\n"),
            ("{\n  \"a\": 1,\n  // two\n  \"b\": 2,\n}\n", "b", "{\n  \"a\": 1,\n  // two\n}\n"),
            ("{\n  \"a\": {\n    \"x\": 1\n  },\n  \"b\": 2\n}\n", "a", "{\n  \"b\": 2\n}\n"),
            ("{\"a\":{\"b\":1}}", "a.c", "{\"a\":{\"b\":1}}"),
        ] {
            assert_eq!(removed(text, path), expected, "{text:?} {path}");
        }
    }

    #[test]
    fn a_text_in_the_way_is_left_alone() {
        let mut document = Jsonc::parse("{\"env\": \"x\"}").expect("JSON");
        let refused = document.set(&key("env.A"), &json!("y"));
        assert_eq!(refused, Err(NotATable { key: "env".to_owned() }));
        assert_eq!(document.text(), "{\"env\": \"x\"}");
    }

    #[test]
    fn what_is_no_object_is_refused_with_its_place() {
        for (text, line, column) in [
            ("[1]", 1, 1),
            ("{\"a\": }", 1, 7),
            ("{\n\"a\": 1\n\"b\": 2}", 3, 1),
            ("{\"a\": 1} x", 1, 10),
            ("{ /* a", 1, 3),
            ("{'a': 1}", 1, 2),
            ("{\"a\": \"x", 1, 7),
        ] {
            let bad = Jsonc::parse(text).expect_err(text);
            assert_eq!((bad.line, bad.column), (line, column), "{text:?}: {bad}");
        }
        assert!(Jsonc::parse(&"{\"a\":".repeat(100_000)).is_err());
    }

    /// Any JSON value of small size.
    fn any_object() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            "[a-z\"\\\\/ é]{0,6}".prop_map(Value::from),
            any::<i32>().prop_map(Value::from)
        ];
        let tree = leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-d]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        proptest::collection::btree_map("[a-d]", tree, 0..5)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn setting_and_removing_means_what_it_does_to_the_value(
            object in any_object(),
            pretty in any::<bool>(),
            path in proptest::collection::vec("[a-d]", 1..4),
        ) {
            let text = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) };
            let text = text.expect("JSON");
            let mut document = Jsonc::parse(&text).expect("JSON");
            prop_assert_eq!(document.get(&[]), Some(object.clone()));
            let before = document.get(&path);
            if document.set(&path, &json!("set")).is_ok() {
                let after: Value = serde_json::from_str(document.text()).expect("still JSON");
                prop_assert_eq!(after.pointer(&format!("/{}", path.join("/"))), Some(&json!("set")));
                match before {
                    Some(value) => document.set(&path, &value).expect("it was there"),
                    None => document.remove(&path),
                }
                let again: Value = serde_json::from_str(document.text()).expect("still JSON");
                prop_assert_eq!(without_empty(again), without_empty(object));
            } else {
                prop_assert_eq!(document.text(), text);
            }
        }
    }

    /// Objects that setting made on its way stay, empty.
    fn without_empty(value: Value) -> Value {
        match value {
            Value::Object(members) => {
                let kept = members.into_iter().map(|(key, value)| (key, without_empty(value)));
                Value::Object(kept.filter(|(_, value)| *value != json!({})).collect())
            }
            Value::Array(_) | Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => value,
        }
    }
}
