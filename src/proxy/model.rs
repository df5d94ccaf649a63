//! Which model a request asks for, read from its path or from the beginning of its body. Pure, and content with not
//! knowing: a body that is no JSON object, or names its model too late, has none.
use crate::model::{Dialect, ModelName};
use std::cell::RefCell;
use std::io::BufRead;

/// A model named later than this in a body is not found.
pub(super) const LOOKED_AT: usize = 64 * 1024;

thread_local! {
    static LAST: RefCell<Option<ModelName>> = const { RefCell::new(None) };
}

/// What the beginning of a body tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// This model.
    Model(ModelName),
    /// Not yet: the object goes on.
    More,
    /// None, whatever follows.
    Nothing,
}

/// The model in a path such as `/models/NAME:method`, where the dialect has it there.
pub(super) fn in_path(dialect: Dialect, path: &str) -> Option<ModelName> {
    match dialect {
        Dialect::GenerateContent => {
            let (_, after) = path.split_once("/models/")?;
            let end = after.find([':', '/', '?']).unwrap_or(after.len());
            ModelName::try_from(after.get(..end)?).ok()
        }
        Dialect::Messages | Dialect::Responses => None,
    }
}

/// The member `model` of the JSON object that `body` begins.
pub(super) fn in_body(body: &[u8]) -> Told {
    let Ok(text) = (Scan { rest: body }).object() else {
        return Told::More;
    };
    let name = text.and_then(|text| std::str::from_utf8(text).ok()).filter(|name| !name.contains('\\'));
    name.and_then(known).map_or(Told::Nothing, Told::Model)
}

/// The name that was told last is not made again: a client's next request mostly asks for the same model.
fn known(name: &str) -> Option<ModelName> {
    LAST.with_borrow_mut(|last| match last {
        Some(last) if last.as_str() == name => Some(last.clone()),
        Some(_) | None => {
            let made = ModelName::try_from(name).ok()?;
            *last = Some(made.clone());
            Some(made)
        }
    })
}

/// True where `body` tells, or tells that nothing will.
pub(super) fn is_told(body: &[u8]) -> bool {
    (Scan { rest: body }).object().is_ok()
}

/// The bytes end before the answer is known.
struct End;

struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    /// The text of the member, where there is one.
    fn object(&mut self) -> Result<Option<&'a [u8]>, End> {
        if self.next()? != b'{' {
            return Ok(None);
        }
        loop {
            match self.next()? {
                b',' => {}
                b'"' => {
                    let name = self.string()?;
                    if self.next()? != b':' {
                        return Ok(None);
                    }
                    if name == b"model" {
                        return if self.next()? == b'"' { self.string().map(Some) } else { Ok(None) };
                    }
                    self.skip_value()?;
                }
                _ => return Ok(None),
            }
        }
    }

    /// Stands before the comma or the end that follows the value.
    fn skip_value(&mut self) -> Result<(), End> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.advance(1);
                    self.string()?;
                }
                b'{' | b'[' => {
                    self.advance(1);
                    depth += 1;
                }
                b'}' | b']' if depth > 0 => {
                    self.advance(1);
                    depth -= 1;
                }
                b',' | b'}' | b']' if depth == 0 => return Ok(()),
                _ => self.advance(1),
            }
        }
    }

    /// The raw text up to the closing quote, which is passed. A quote after an odd number of backslashes is text.
    fn string(&mut self) -> Result<&'a [u8], End> {
        let whole = self.rest;
        let mut length = 0;
        loop {
            // A slice never fails to be read.
            let more = self.rest.skip_until(b'"').unwrap_or(0);
            if more == 0 {
                return Err(End);
            }
            length += more;
            let text = whole.get(..length).and_then(|text| text.strip_suffix(b"\"")).ok_or(End)?;
            let slashes = text.iter().rev().take_while(|byte| **byte == b'\\').count();
            if slashes % 2 == 0 {
                return Ok(text);
            }
        }
    }

    fn peek(&mut self) -> Result<u8, End> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.first().copied().ok_or(End)
    }

    fn next(&mut self) -> Result<u8, End> {
        let byte = self.peek()?;
        self.advance(1);
        Ok(byte)
    }

    fn advance(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn the_model_is_the_member_of_the_outermost_object() {
        let cases = [
            (r#"{"model":"m-1.5"}"#, model("m-1.5")),
            ("  {\n \"model\" :\t\"org/m:free\" , ", model("org/m:free")),
            (
                r#"{"input":[{"model":"inner","x":["}",{"a":"\\\""}]}],"n":1.5e3,"model":"outer""#,
                model("outer"),
            ),
            (r#"{"input":"say \"model\":\"not me\" {","stream":true,"model":"m"}"#, model("m")),
            (r#"{"a":{},"b":[],"c":null,"model":"m"}"#, model("m")),
            (r#"{"model":"m"#, Told::More),
            (r#"{"input":"x"#, Told::More),
            (r#"{"input":"x\""#, Told::More),
            (r#"{"input":"x\"#, Told::More),
            ("", Told::More),
            ("  {", Told::More),
            (r#"{"input":"x"}"#, Told::Nothing),
            (r#"{"model":null}"#, Told::Nothing),
            (r#"{"model":""}"#, Told::Nothing),
            (r#"{"model":"a b"}"#, Told::Nothing),
            (r#"{"model":"\u0061"}"#, Told::Nothing),
            (r#"["model","m"]"#, Told::Nothing),
            ("--boundary\r\n", Told::Nothing),
            ("{model:1}", Told::Nothing),
        ];
        for (body, expected) in cases {
            assert_eq!(in_body(body.as_bytes()), expected, "{body}");
            assert_eq!(is_told(body.as_bytes()), expected != Told::More, "{body}");
        }
    }

    #[test]
    fn a_path_names_the_model_where_the_dialect_has_it_there() {
        let cases = [
            ("/v1beta/models/m-2.5:generateContent?alt=sse", Some("m-2.5")),
            ("/v1beta/models/m-2.5", Some("m-2.5")),
            ("/v1beta/models", None),
            ("/v1beta/models/", None),
        ];
        for (path, expected) in cases {
            let found = in_path(Dialect::GenerateContent, path);
            assert_eq!(found.as_ref().map(ModelName::as_str), expected, "{path}");
            assert_eq!(in_path(Dialect::Responses, path), None);
        }
    }

    proptest! {
        #[test]
        fn whatever_surrounds_it_the_model_is_what_a_json_parser_reads(before in value(), after in value()) {
            let text = format!("{{\"before\":{before},\"model\":\"m\",\"after\":{after}}}");
            prop_assert_eq!(in_body(text.as_bytes()), model("m"));
            let without = format!("{{\"before\":{before},\"after\":{after}}}");
            prop_assert_eq!(in_body(without.as_bytes()), Told::Nothing);
        }

        #[test]
        fn no_bytes_are_too_odd_to_be_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            in_body(&bytes);
        }

        #[test]
        fn what_is_told_early_stays_told(before in value(), cut in 0_usize..400) {
            let text = format!("{{\"before\":{before},\"model\":\"m\"}}");
            let early = in_body(text.as_bytes().get(..cut).unwrap_or(text.as_bytes()));
            prop_assert!(early == Told::More || early == model("m"));
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-z\"\\\\{}\\[\\],: é]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                inner.prop_map(|value| json!({"model": value})),
            ]
        })
    }

    fn model(name: &str) -> Told {
        Told::Model(ModelName::try_from(name).expect("a model name"))
    }
}
