//! Records <-> model. The shapes are STO-2 and STO-3, in camelCase, times in milliseconds since 1970. Separate from the
//! model, so that either can change without the other; fields that this program does not know survive a rewrite.
pub(super) mod audit;
pub(super) mod credential;
pub(super) mod fields;
pub(super) mod keys;
pub(super) mod rotation;
pub(super) mod runtime;
pub(super) mod state;
