//! What the kernel knows of a process and its descendants: processor time in nanoseconds, memory.
use std::fs;
use std::path::PathBuf;

/// A process and all that it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree(pub u32);

impl Tree {
    /// Processor time of every thread, user and system, in nanoseconds (`/proc/PID/task/TID/schedstat`). Threads that have
    /// ended are not in it: the programs measured here keep theirs.
    pub fn cpu(self) -> u64 {
        let tasks = self.processes().into_iter().flat_map(|process| {
            let tasks = fs::read_dir(file(process, "task")).into_iter().flatten().flatten();
            tasks.map(|task| task.path().join("schedstat"))
        });
        tasks.filter_map(|file| on_processor(&fs::read_to_string(file).ok()?)).sum()
    }

    /// Memory that is theirs, in KiB: what is shared counts in parts (`/proc/PID/smaps_rollup`).
    pub fn memory(self) -> u64 {
        let processes = self.processes().into_iter();
        processes.filter_map(|process| pss(&fs::read_to_string(file(process, "smaps_rollup")).ok()?)).sum()
    }

    fn processes(self) -> Vec<u32> {
        let mut all: Vec<(u32, u32)> = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let parent = number.and_then(|process| parent(&fs::read_to_string(file(process, "stat")).ok()?));
            all.extend(number.zip(parent));
        }
        let mut tree = vec![self.0];
        let mut looked = 0;
        while let Some(known) = tree.get(looked).copied() {
            looked += 1;
            tree.extend(all.iter().filter(|(_, parent)| *parent == known).map(|(process, _)| *process));
        }
        tree
    }
}

fn file(process: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{process}/{name}"))
}

/// The parent's number in `/proc/PID/stat`: the second field behind the name, which may hold anything.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn on_processor(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

fn pss(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read_by_field() {
        assert_eq!(parent("812 (a ) b) S 33 812 812 0 -1"), Some(33));
        assert_eq!(on_processor("244872158 153699777 96\n"), Some(244_872_158));
        let rollup =
            "5644-7ffe ---p 00000000 00:00 0 [rollup]\nRss:  4124 kB\nPss:   838 kB\nPss_Dirty: 630 kB\n";
        assert_eq!(pss(rollup), Some(838));
        assert_eq!((parent("812"), on_processor(""), pss("Pss_Dirty: 630 kB")), (None, None, None));
    }

    #[test]
    fn a_process_uses_time_and_memory() {
        let this = Tree(std::process::id());
        let before = this.cpu();
        let mut sum = 0_u64;
        while this.cpu() <= before {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(this.memory() > 100, "{} KiB", this.memory());
    }
}
