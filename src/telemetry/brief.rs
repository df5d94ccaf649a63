use serde::{Serialize, Serializer};
use std::fmt;
use std::ops::Deref;

/// A text that is short mostly: up to [`Brief::ROOM`] bytes of it lie in place and need no memory of their own.
#[derive(Clone)]
pub struct Brief(Kept);

#[derive(Clone)]
enum Kept {
    Here { length: u8, bytes: [u8; Brief::ROOM] },
    Apart(Box<str>),
}

impl Brief {
    /// Bytes that lie in place: every path that a preset names fits.
    pub const ROOM: usize = 38;

    /// Its bytes: UTF-8.
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Kept::Here { length, bytes } => &bytes[..usize::from(*length)],
            Kept::Apart(text) => text.as_bytes(),
        }
    }
}

impl From<&str> for Brief {
    fn from(text: &str) -> Self {
        let mut bytes = [0; Self::ROOM];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(text.as_bytes());
                Self(Kept::Here { length, bytes })
            }
            _ => Self(Kept::Apart(text.into())),
        }
    }
}

impl Deref for Brief {
    type Target = str;

    fn deref(&self) -> &str {
        // It was a text when it came.
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }
}

impl PartialEq for Brief {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Brief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl Serialize for Brief {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_the_text_it_was_made_of(text in "\\PC{0,60}") {
            let brief = Brief::from(&*text);
            prop_assert_eq!(&*brief, &*text);
            prop_assert_eq!(serde_json::to_string(&brief).unwrap(), serde_json::to_string(&text).unwrap());
            prop_assert_eq!(brief, Brief::from(&*text));
        }
    }
}
