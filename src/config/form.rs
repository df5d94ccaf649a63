use serde_json::{Value, json};

/// What a reader takes, as far as a schema can say it. A reader tells it with what it refuses, so that the two cannot
/// drift apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    /// A text of any form.
    #[default]
    Any,
    /// One of these texts.
    Choice(Vec<&'static str>),
    /// One of these forms.
    Either(Vec<Form>),
    /// `true` or `false`.
    Flag,
    /// A list of so many.
    List { entry: Box<Form>, least: usize, most: usize },
    /// A whole number in this range.
    Number { least: u64, most: u64 },
    /// A text like this regular expression.
    Text(&'static str),
}

impl Form {
    /// As JSON Schema.
    pub(super) fn schema(&self) -> Value {
        match self {
            Self::Any => json!({"type": "string"}),
            Self::Choice(names) => json!({"enum": names}),
            Self::Either(forms) => json!({"anyOf": forms.iter().map(Self::schema).collect::<Vec<_>>()}),
            Self::Flag => json!({"type": "boolean"}),
            Self::List { entry, least, most } => {
                json!({"type": "array", "minItems": least, "maxItems": most, "items": entry.schema()})
            }
            Self::Number { least, most } => json!({"type": "integer", "minimum": least, "maximum": most}),
            Self::Text(pattern) => json!({"type": "string", "pattern": pattern}),
        }
    }
}
