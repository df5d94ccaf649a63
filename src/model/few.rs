use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::ops::Deref;

/// A list that mostly has one element: that one needs no memory of its own. What a request leaves behind (whom it was
/// sent to, what came of it) is such a list.
#[derive(Clone, Debug, Default)]
pub enum Few<T> {
    /// Nothing.
    #[default]
    None,
    /// One, in place.
    One([T; 1]),
    /// More, or what has become of more.
    Many(Vec<T>),
}

impl<T> Few<T> {
    /// Adds one behind the others.
    pub fn push(&mut self, new: T) {
        *self = match std::mem::take(self) {
            Self::None => Self::One([new]),
            Self::One([first]) => Self::Many(vec![first, new]),
            Self::Many(mut all) => {
                all.push(new);
                Self::Many(all)
            }
        };
    }

    /// Keeps those that `fit`.
    pub fn retain(&mut self, fit: impl Fn(&T) -> bool) {
        match self {
            Self::None => {}
            Self::One([one]) if fit(one) => {}
            Self::One(_) => *self = Self::None,
            Self::Many(all) => all.retain(fit),
        }
    }

    /// Each made into something else, in the same order.
    pub fn map<U>(self, each: impl Fn(T) -> U) -> Few<U> {
        match self {
            Self::None => Few::None,
            Self::One([one]) => Few::One([each(one)]),
            Self::Many(all) => Few::Many(all.into_iter().map(each).collect()),
        }
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(one) => one,
            Self::Many(all) => all,
        }
    }
}

/// Equal are lists of equal elements, wherever those lie.
impl<T: PartialEq> PartialEq for Few<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(all: I) -> Self {
        let mut few = Self::None;
        all.into_iter().for_each(|one| few.push(one));
        few
    }
}

impl<T: Serialize> Serialize for Few<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(to)
    }
}

impl<T: JsonSchema> JsonSchema for Few<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Vec::<T>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<T>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_the_list_of_what_was_pushed(all in prop::collection::vec(any::<u8>(), 0..5), limit in any::<u8>()) {
            let mut few: Few<u8> = all.iter().copied().collect();
            prop_assert_eq!(&*few, &*all);
            prop_assert_eq!(serde_json::to_string(&few).unwrap(), serde_json::to_string(&all).unwrap());
            let doubled: Vec<u16> = all.iter().map(|one| u16::from(*one) * 2).collect();
            prop_assert_eq!(&*few.clone().map(|one| u16::from(one) * 2), &*doubled);
            let kept: Vec<u8> = all.iter().copied().filter(|one| *one < limit).collect();
            few.retain(|one| *one < limit);
            prop_assert_eq!(&*few, &*kept);
            prop_assert_eq!(few, kept.into_iter().collect::<Few<u8>>());
        }
    }
}
