/// How much this process has grown.
pub(crate) struct Memory {
    start: usize,
    most: usize,
}

impl Memory {
    pub(crate) fn now() -> Self {
        let start = resident();
        Self { start, most: start }
    }

    /// Looks again.
    pub(crate) fn look(&mut self) {
        self.most = self.most.max(resident());
    }

    /// The most it was above the start, in bytes.
    pub(crate) fn growth(&self) -> usize {
        self.most - self.start
    }
}

/// Resident bytes, by proc(5).
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("proc(5)");
    let pages: usize = statm.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("pages");
    pages * rustix::param::page_size()
}
