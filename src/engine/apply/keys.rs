use super::{Durability, Rejection};
use crate::model::{ClientKey, KeyName, Snapshot};
use std::sync::Arc;

pub(super) fn added(next: &mut Snapshot, key: ClientKey) -> Result<Durability, Rejection> {
    if next.keys.iter().any(|there| there.name == key.name) {
        return Err(Rejection::KeyNameTaken(key.name));
    }
    if next.keys.len() >= Snapshot::KEYS {
        return Err(Rejection::TooManyKeys);
    }
    next.keys = next.keys.iter().cloned().chain([Arc::new(key)]).collect();
    Ok(Durability::Required)
}

pub(super) fn removed(next: &mut Snapshot, name: &KeyName) -> Result<Durability, Rejection> {
    if next.keys.iter().all(|there| there.name != *name) {
        return Err(Rejection::UnknownKey(name.clone()));
    }
    next.keys = next.keys.iter().filter(|there| there.name != *name).cloned().collect();
    Ok(Durability::Required)
}
