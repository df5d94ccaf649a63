use super::catalogue as names;
use super::page::Page;
use std::fs;

/// Sets what the kernel says of this process. Where it says nothing (no /proc), the gauges are absent.
pub(super) fn set(page: &mut Page) {
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        page.set(names::PROCESS_FDS, &[], entries.count() as f64);
    }
    let size = rustix::param::page_size() as f64;
    if let Some(pages) = fs::read_to_string("/proc/self/statm").ok().and_then(|text| field(&text, 1)) {
        page.set(names::PROCESS_RSS, &[], pages * size);
    }
    if let Some(seconds) = fs::read_to_string("/proc/self/stat").ok().and_then(|text| cpu_seconds(&text)) {
        page.set(names::PROCESS_CPU, &[], seconds);
    }
}

/// User and system ticks are the 14th and 15th field (proc_pid_stat(5)); the second may hold blanks, hence the cut at
/// its closing parenthesis.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, after) = stat.rsplit_once(')')?;
    let ticks = field(after, 11)? + field(after, 12)?;
    Some(ticks / rustix::param::clock_ticks_per_second() as f64)
}

fn field(text: &str, at: usize) -> Option<f64> {
    text.split_whitespace().nth(at)?.parse().ok()
}
