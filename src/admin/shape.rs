//! How the values look that requests hold, for the OpenAPI document: types that stand for a field's own where that is
//! a plain text or number, so that whoever reads the document is told what the handler asks for. Lengths are bytes, which
//! are characters at most.
use super::accounts::{LONGEST_NOTE, LONGEST_TAG, MOST_TAGS};
use crate::auth::import::Client;
use crate::model::{Preset, SessionKey};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// A text without control characters.
const PLAIN: &str = r"^[^\x00-\x1f\x7f-\x9f]*$";

macro_rules! shapes {
    ($($name:ident: $schema:expr, $doc:literal;)*) => {
        $(#[doc = $doc]
        pub(super) enum $name {}

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        })*
    };
}

shapes! {
    Label: json_schema!({"type": "string", "minLength": 1, "maxLength": LONGEST_TAG, "pattern": PLAIN}),
        "A tag, or the name of a quota group.";
    Labels: json_schema!({
        "type": "array",
        "maxItems": MOST_TAGS,
        "items": {"type": "string", "minLength": 1, "maxLength": LONGEST_TAG, "pattern": PLAIN},
    }), "An account's tags.";
    Note: json_schema!({"type": "string", "maxLength": LONGEST_NOTE}), "What a person writes beside something.";
    PresetName: json_schema!({"enum": Preset::ALL.map(Preset::as_str)}), "Thresholds by a name.";
    Program: json_schema!({"enum": Client::ALL.map(Client::as_str)}), "Whose logins can be taken over.";
    Session: json_schema!({"type": "string", "minLength": 1, "maxLength": SessionKey::LONGEST, "pattern": "^[!-~]*$"}),
        "What a client names its conversation by.";
    Share: json_schema!({"type": "number", "exclusiveMinimum": 0, "maximum": 1}), "A share under the weighted strategy.";
    Span: json_schema!({"type": "string", "pattern": "^[0-9]+[hd]$"}), "Hours or days.";
}
