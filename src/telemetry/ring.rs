use super::DecisionRecord;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// The latest decisions, newest last; older ones fall out.
#[derive(Debug)]
pub struct Ring {
    most: usize,
    records: Mutex<VecDeque<Arc<DecisionRecord>>>,
}

impl Ring {
    /// Keeps `most`; 0 keeps none.
    pub fn new(most: usize) -> Self {
        Self { most, records: Mutex::default() }
    }

    /// Adds one.
    pub fn push(&self, record: Arc<DecisionRecord>) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.push_back(record);
        if records.len() > self.most {
            records.pop_front();
        }
    }

    /// The latest `most`, newest first.
    pub fn latest(&self, most: usize) -> Vec<Arc<DecisionRecord>> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().rev().take(most).cloned().collect()
    }

    /// The one whose id begins with `id`, newest first; an id may be shortened as far as it stays clear to its reader.
    pub fn find(&self, id: &str) -> Option<Arc<DecisionRecord>> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().rev().find(|record| record.request_id.digits().starts_with(id.as_bytes())).cloned()
    }
}
