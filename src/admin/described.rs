//! What an endpoint takes and answers, read off its handler's own signature, so that the OpenAPI document cannot say
//! anything else than the code does. Each extractor and each kind of answer says here what it is; a handler with one that
//! does not say so is no endpoint, because it does not compile.
use super::extract::{Asked, Asker, Given, GivenOr, Named};
use super::reply::{Accepted, Created, ErrorView, NoContent};
use super::{ApiError, Door};
use crate::app::App;
use axum::extract::State;
use axum::{Extension, Json};
use http::HeaderMap;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What becomes one operation of the document.
pub(super) struct Signature<'a> {
    given: &'a mut SchemaGenerator,
    shown: &'a mut SchemaGenerator,
    /// The JSON body it reads.
    pub(super) body: Option<TakenBody>,
    /// The schema of its query, an object with one property a parameter.
    pub(super) query: Option<Schema>,
    /// What it answers with, by status; `default` is every error.
    pub(super) replies: BTreeMap<&'static str, Content>,
}

/// A JSON body.
pub(super) struct TakenBody {
    /// What it must be.
    pub(super) schema: Schema,
    /// Whether a request without one is refused.
    pub(super) required: bool,
}

/// What an answer's body is.
pub(super) enum Content {
    /// JSON of this schema.
    Json(Schema),
    /// There is none.
    Nothing,
    /// A stream of events, each of this schema, as this media type.
    Events(&'static str, Schema),
    /// Text of this media type.
    Text(&'static str),
}

impl<'a> Signature<'a> {
    /// Nothing is known of it yet. Schemas that it names are kept in `given` for what is read, in `shown` for answers.
    pub(super) fn new(given: &'a mut SchemaGenerator, shown: &'a mut SchemaGenerator) -> Self {
        Self { given, shown, body: None, query: None, replies: BTreeMap::new() }
    }

    /// It answers `status` with `T`.
    pub(super) fn answers<T: JsonSchema>(&mut self, status: &'static str) {
        let schema = self.shown.subschema_for::<T>();
        self.replies.insert(status, Content::Json(schema));
    }

    /// It answers `status` with text.
    pub(super) fn answers_text(&mut self, status: &'static str, media: &'static str) {
        self.replies.insert(status, Content::Text(media));
    }

    /// It answers `status` with a stream of `T`.
    pub(super) fn answers_events<T: JsonSchema>(&mut self, status: &'static str, media: &'static str) {
        let schema = self.shown.subschema_for::<T>();
        self.replies.insert(status, Content::Events(media, schema));
    }

    /// It answers `status` with nothing but its head.
    pub(super) fn answers_nothing(&mut self, status: &'static str) {
        self.replies.insert(status, Content::Nothing);
    }

    fn reads<T: JsonSchema>(&mut self) -> Schema {
        self.given.subschema_for::<T>()
    }
}

/// A handler whose signature can be told. `Parts` are its parameters.
pub(super) trait Described<Parts> {
    /// Tells it.
    fn describe(signature: &mut Signature<'_>);
}

/// A parameter of a handler.
pub(super) trait Part {
    /// What a request holds because of it.
    fn describe(signature: &mut Signature<'_>);
}

/// What a handler answers.
pub(super) trait Reply {
    /// Which statuses there are, and what is in each.
    fn describe(signature: &mut Signature<'_>);
}

macro_rules! described {
    ($($part:ident)*) => {
        impl<H, Answer, $($part,)*> Described<($($part,)*)> for H
        where
            H: Fn($($part),*) -> Answer,
            Answer: Future,
            Answer::Output: Reply,
            $($part: Part,)*
        {
            fn describe(signature: &mut Signature<'_>) {
                $($part::describe(signature);)*
                <Answer::Output as Reply>::describe(signature);
            }
        }
    };
}

described!();
described!(A);
described!(A B);
described!(A B C);
described!(A B C D);

impl Part for State<Arc<App>> {
    fn describe(_: &mut Signature<'_>) {}
}

/// Who asks is no part of what is asked.
impl Part for Asker {
    fn describe(_: &mut Signature<'_>) {}
}

/// What the listener knows.
impl Part for Extension<Door> {
    fn describe(_: &mut Signature<'_>) {}
}

/// A header that is looked at is not asked for.
impl Part for HeaderMap {
    fn describe(_: &mut Signature<'_>) {}
}

/// The parameters of a path are named by the path itself.
impl Part for Named {
    fn describe(_: &mut Signature<'_>) {}
}

impl<T: JsonSchema> Part for Given<T> {
    fn describe(signature: &mut Signature<'_>) {
        let schema = signature.reads::<T>();
        signature.body = Some(TakenBody { schema, required: true });
    }
}

impl<T: JsonSchema> Part for GivenOr<T> {
    fn describe(signature: &mut Signature<'_>) {
        let schema = signature.reads::<T>();
        signature.body = Some(TakenBody { schema, required: false });
    }
}

impl<T: JsonSchema> Part for Asked<T> {
    fn describe(signature: &mut Signature<'_>) {
        signature.query = Some(T::json_schema(signature.given));
    }
}

impl<T: JsonSchema> Reply for Json<T> {
    fn describe(signature: &mut Signature<'_>) {
        signature.answers::<T>("200");
    }
}

impl<T: JsonSchema> Reply for Created<T> {
    fn describe(signature: &mut Signature<'_>) {
        signature.answers::<T>("201");
    }
}

impl<T: JsonSchema> Reply for Accepted<T> {
    fn describe(signature: &mut Signature<'_>) {
        signature.answers::<T>("202");
    }
}

impl Reply for NoContent {
    fn describe(signature: &mut Signature<'_>) {
        signature.answers_nothing("204");
    }
}

impl Reply for ApiError {
    fn describe(signature: &mut Signature<'_>) {
        signature.answers::<ErrorView>("default");
    }
}

impl<T: Reply, E: Reply> Reply for Result<T, E> {
    fn describe(signature: &mut Signature<'_>) {
        T::describe(signature);
        E::describe(signature);
    }
}
