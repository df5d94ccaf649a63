//! The parameters of a token request, and command lines: texts, and tables that say where the text is had.
use super::leaf::{Leaf, Text};
use crate::model::{AliasText, Param};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Parameters of a request, at most.
const MOST_PARAMS: usize = 64;
/// Words of a command line, at most.
const MOST_WORDS: usize = 64;
/// Bytes of one parameter or word, at most.
const LONGEST: usize = 4096;
/// Parameters that are part of a grant: rota writes them.
const OWN: [&str; 8] = [
    "client_id",
    "code",
    "code_verifier",
    "device_code",
    "grant_type",
    "redirect_uri",
    "refresh_token",
    "state",
];

/// Token parameters by name, in the order of the file.
#[derive(Clone, Debug)]
pub(super) struct Params(pub(super) Vec<(String, Param)>);

impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Params;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of parameters, such as { scope = \"api\" }")
            }
            fn visit_str<E: Error>(self, _: &str) -> Result<Params, E> {
                Err(E::custom("params is a table of parameters, such as { scope = \"api\" }"))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Params, A::Error> {
                let mut list = Vec::new();
                while let Some((Text(ParamName(name)), Source(param))) = table.next_entry()? {
                    list.push((name, param));
                }
                if list.len() > MOST_PARAMS {
                    return Err(A::Error::custom(format!("a request has at most {MOST_PARAMS} parameters")));
                }
                Ok(Params(list))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl JsonSchema for Params {
    fn schema_name() -> Cow<'static, str> {
        "Params".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": {"not": {"enum": OWN}},
            "maxProperties": MOST_PARAMS,
            "additionalProperties": generator.subschema_for::<Source>(),
        })
    }
}

struct ParamName(String);

impl Leaf for ParamName {
    const EXPECTED: &'static str = "the name of a parameter";
    const PATTERN: &'static str = "";
    fn read(text: &str) -> Result<Self, String> {
        match OWN.contains(&text) {
            true => Err(format!("rota itself sets {text}; leave it out")),
            false => Ok(Self(text.to_owned())),
        }
    }
}

/// Where one parameter's value comes from.
struct Source(Param);

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Source;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(SOURCES)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Source, E> {
                bounded(text).map_err(E::custom)?;
                Ok(Source(Param::Text(AliasText::new(text))))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Source, A::Error> {
                let param = match table.next_key::<String>()?.as_deref() {
                    Some("env") => {
                        let Text(VariableName(name)) = table.next_value()?;
                        Param::Env(name)
                    }
                    Some("exec") => {
                        let Argv(words) = table.next_value()?;
                        Param::Exec(words)
                    }
                    Some("file") => {
                        let Text(SecretPath(path)) = table.next_value()?;
                        Param::File(path)
                    }
                    Some(_) | None => return Err(A::Error::custom(format!("a parameter is {SOURCES}"))),
                };
                match table.next_entry::<String, IgnoredAny>()? {
                    Some(_) => Err(A::Error::custom(format!("a parameter is one of {SOURCES}"))),
                    None => Ok(Source(param)),
                }
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl JsonSchema for Source {
    fn schema_name() -> Cow<'static, str> {
        "Source".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = |key: &str, value: Schema| {
            json_schema!({
                "type": "object",
                "required": [key],
                "properties": {key: value},
                "additionalProperties": false,
            })
        };
        json_schema!({
            "description": SOURCES,
            "anyOf": [
                {"type": "string", "maxLength": LONGEST},
                one("env", Text::<VariableName>::json_schema(generator)),
                one("exec", generator.subschema_for::<Argv>()),
                one("file", Text::<SecretPath>::json_schema(generator)),
            ],
        })
    }
}

const SOURCES: &str =
    "a text, { env = \"NAME\" }, { file = \"/path\" } or { exec = [\"program\", \"argument\"] }";

/// A program and its arguments.
#[derive(Clone, Debug)]
pub(super) struct Argv(pub(super) Vec<AliasText>);

impl<'de> Deserialize<'de> for Argv {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        const FORM: &str =
            "a list of a program and its arguments, such as [\"/usr/bin/print-token\", \"{alias}\"]";
        impl<'de> Visitor<'de> for Reader {
            type Value = Argv;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(FORM)
            }
            // The text is not repeated: a command line may hold a secret.
            fn visit_str<E: Error>(self, _: &str) -> Result<Argv, E> {
                Err(E::custom(format!("exec is {FORM}; there is no shell that would split a text")))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Argv, A::Error> {
                let mut words = Vec::new();
                while let Some(Text(Word(word))) = list.next_element()? {
                    words.push(word);
                }
                let named = words.first().is_some_and(|program| !program.as_written().is_empty());
                if !named || words.len() > MOST_WORDS {
                    return Err(A::Error::custom(format!("exec is {FORM}, of 1 to {MOST_WORDS} words")));
                }
                Ok(Argv(words))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl JsonSchema for Argv {
    fn schema_name() -> Cow<'static, str> {
        "Argv".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A program and its arguments.",
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_WORDS,
            "items": Text::<Word>::json_schema(generator),
        })
    }
}

struct Word(AliasText);

impl Leaf for Word {
    const EXPECTED: &'static str = "a word of a command line";
    const PATTERN: &'static str = r"^[^\x00]*$";
    fn read(text: &str) -> Result<Self, String> {
        bounded(text)?;
        Ok(Self(AliasText::new(text)))
    }
}

struct VariableName(AliasText);

impl Leaf for VariableName {
    const EXPECTED: &'static str = "the name of an environment variable";
    const PATTERN: &'static str = "^[!-~]+$";
    fn read(text: &str) -> Result<Self, String> {
        let name = text.replace("{alias}", "x");
        let plain = |b: u8| b.is_ascii_graphic() && !b"={}$".contains(&b);
        if name.is_empty() || name.len() > LONGEST || !name.bytes().all(plain) {
            return Err(format!(
                "{text:?} is not the name of a variable such as \"CLIENT_SECRET\" or \"KEY_{{alias}}\""
            ));
        }
        Ok(Self(AliasText::new(text)))
    }
}

struct SecretPath(AliasText);

impl Leaf for SecretPath {
    const EXPECTED: &'static str = "the path of a file";
    const PATTERN: &'static str = "^/";
    fn read(text: &str) -> Result<Self, String> {
        bounded(text)?;
        if !text.starts_with('/') || text.replace("{alias}", "").contains(['{', '}']) {
            return Err(format!(
                "{text:?} is not a path from / on, such as \"/run/secrets/client\" or \"/etc/keys/{{alias}}\""
            ));
        }
        Ok(Self(AliasText::new(text)))
    }
}

fn bounded(text: &str) -> Result<(), String> {
    if text.len() > LONGEST || text.contains('\0') {
        return Err(format!("this has a zero byte or more than {LONGEST} bytes"));
    }
    Ok(())
}
