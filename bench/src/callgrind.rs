//! Reads what `valgrind --tool=callgrind` writes: instructions by function and by source file, calls by function. The
//! format is that of the valgrind manual, "Callgrind Format Specification".
use std::collections::BTreeMap;

/// Functions by which memory is taken. Their own calls to each other do not come by these names.
const ALLOCATING: &[&str] = &[
    "aligned_alloc",
    "calloc",
    "malloc",
    "memalign",
    "mi_malloc_aligned",
    "mi_realloc_aligned",
    "mi_zalloc_aligned",
    "posix_memalign",
    "realloc",
];

/// One run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// Instructions of the first thread, which is the one that serves.
    pub total: f64,
    /// Memory that it takes, in calls.
    pub allocations: f64,
    /// Instructions of each of the other threads, in the order in which they began.
    pub beside: Vec<f64>,
    /// Instructions of each function itself, by the crate its source lies in.
    pub crates: BTreeMap<String, f64>,
    /// Instructions of each function and all it called, by its name. What calls itself counts its own part only.
    pub inclusive: BTreeMap<String, f64>,
}

/// A file that is none of callgrind's, or that was cut off.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of callgrind's output cannot be read: `{text}`")]
pub struct Unreadable {
    line: usize,
    text: String,
}

impl Profile {
    /// Reads one output file.
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        let mut reader = Reader::default();
        for (number, line) in text.lines().enumerate() {
            let unreadable = || Unreadable { line: number + 1, text: line.chars().take(80).collect() };
            reader.line(line).ok_or_else(unreadable)?;
        }
        Ok(reader.profile)
    }

    /// Reads one output file a thread, in the order in which the threads began.
    pub fn of_threads(texts: &[String]) -> Result<Self, Unreadable> {
        let mut whole = Self::default();
        for (number, text) in texts.iter().enumerate() {
            let thread = Self::read(text)?;
            if number == 0 {
                (whole.total, whole.allocations) = (thread.total, thread.allocations);
            } else {
                whole.beside.push(thread.total);
            }
            add(&mut whole.crates, thread.crates);
            add(&mut whole.inclusive, thread.inclusive);
        }
        Ok(whole)
    }

    /// What `longer` has more than this, for each of `times`.
    pub fn per(&self, longer: &Self, times: f64) -> Self {
        Self {
            total: (longer.total - self.total) / times,
            allocations: (longer.allocations - self.allocations) / times,
            beside: longer
                .beside
                .iter()
                .enumerate()
                .map(|(thread, cost)| (cost - self.beside.get(thread).unwrap_or(&0.0)) / times)
                .collect(),
            crates: difference(&self.crates, &longer.crates, times),
            inclusive: difference(&self.inclusive, &longer.inclusive, times),
        }
    }

    /// Instructions of all functions whose name holds one of `parts`, with all they called. None of them may call another
    /// of them, or it counts twice.
    pub fn of(&self, parts: &[&str]) -> f64 {
        let named = |name: &str| parts.iter().any(|part| name.contains(part));
        self.inclusive.iter().filter(|(name, _)| named(name)).map(|(_, cost)| cost).sum()
    }
}

/// Where the instructions go, the dearest first: by crate, then by function with all it called.
pub fn told(profile: &Profile) -> String {
    let list = |costs: &BTreeMap<String, f64>, most: usize| {
        let mut sorted: Vec<_> = costs.iter().collect();
        sorted.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        let all = profile.total + profile.beside.iter().sum::<f64>();
        let lines = sorted.into_iter().take(most);
        lines
            .map(|(name, cost)| format!("{cost:>10.0} {:>5.1} %  {name}\n", cost / all * 100.0))
            .collect::<String>()
    };
    let threads: Vec<String> = profile.beside.iter().map(|cost| format!("{cost:.0}")).collect();
    format!(
        "other threads {}\nby crate, itself\n{}by function, with all it called\n{}",
        threads.join(" "),
        list(&profile.crates, 30),
        list(&profile.inclusive, 120)
    )
}

fn add(to: &mut BTreeMap<String, f64>, costs: BTreeMap<String, f64>) {
    for (name, cost) in costs {
        *to.entry(name).or_default() += cost;
    }
}

fn difference(
    shorter: &BTreeMap<String, f64>,
    longer: &BTreeMap<String, f64>,
    times: f64,
) -> BTreeMap<String, f64> {
    let before = |name: &String| shorter.get(name).copied().unwrap_or(0.0);
    longer.iter().map(|(name, cost)| (name.clone(), (cost - before(name)) / times)).collect()
}

#[derive(Default)]
struct Reader {
    profile: Profile,
    functions: BTreeMap<u64, String>,
    files: BTreeMap<u64, String>,
    function: String,
    file: String,
    callee: String,
    /// The next line of costs is a call's.
    called: bool,
}

impl Reader {
    fn line(&mut self, line: &str) -> Option<()> {
        if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            return self.costs(line);
        }
        let Some((key, value)) = line.split_once('=') else {
            if let Some(total) = line.strip_prefix("totals: ") {
                self.profile.total = total.trim().parse().ok()?;
            }
            return Some(());
        };
        match key {
            "calls" => {
                let calls: f64 = value.split(' ').next()?.parse().ok()?;
                if ALLOCATING.contains(&self.callee.as_str()) && !self.function.starts_with("mi_") {
                    self.profile.allocations += calls;
                }
                self.called = true;
            }
            "cfi" | "cfl" => drop(named(&mut self.files, value)?),
            "cfn" => self.callee = named(&mut self.functions, value)?,
            "fe" | "fi" | "fl" => self.file = named(&mut self.files, value)?,
            "fn" => self.function = named(&mut self.functions, value)?,
            _ => {}
        }
        Some(())
    }

    fn costs(&mut self, line: &str) -> Option<()> {
        let cost: f64 = line.split(' ').nth(1).map_or(Some(0.0), |cost| cost.parse().ok())?;
        let called = std::mem::take(&mut self.called);
        if !called {
            *self.profile.crates.entry(crate_of(&self.file, &self.function)).or_default() += cost;
        }
        if !called || self.callee != self.function {
            *self.profile.inclusive.entry(self.function.clone()).or_default() += cost;
        }
        Some(())
    }
}

/// `(7) name` gives a number its name, `(7)` uses it; without a number it is the name itself.
fn named(names: &mut BTreeMap<u64, String>, value: &str) -> Option<String> {
    let Some((number, name)) = value.strip_prefix('(').and_then(|rest| rest.split_once(')')) else {
        return Some(value.to_owned());
    };
    let number = number.parse().ok()?;
    if !name.is_empty() {
        names.insert(number, name.trim_start().to_owned());
    }
    names.get(&number).cloned()
}

/// The crate and, of rota, the room whose source this is. Where the file is not known, what the function's name says.
fn crate_of(file: &str, function: &str) -> String {
    if let Some((_, path)) = file.split_once("/registry/src/") {
        let package = path.split('/').nth(1).unwrap_or(path);
        return package.rsplit_once('-').map_or(package, |(name, _)| name).to_owned();
    }
    if file.contains("/library/") {
        return "std".to_owned();
    }
    if let Some(path) = file.strip_prefix("src/").or_else(|| Some(file.rsplit_once("/src/")?.1))
        && file.ends_with(".rs")
    {
        return format!("rota::{}", path.split(['/', '.']).next().unwrap_or(path));
    }
    let start = function.trim_start_matches(['<', '&', '(', '_']);
    let mut words = start.split("::");
    match (words.next(), words.next()) {
        (Some("rota"), Some(room)) => format!("rota::{room}"),
        (Some("alloc" | "core" | "std"), Some(_)) => "std".to_owned(),
        (Some(first), Some(_)) => first.to_owned(),
        _ => "C and the loader".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "# callgrind format\nevents: Ir\nsummary: 1000\n\nob=(1) /bin/rota\nfl=(1) src/proxy/handler.rs\n\
        fn=(1) rota::proxy::handle\n10 100\nfi=(2) /root/.cargo/registry/src/index-1/hyper-1.12.0/src/a.rs\n+3 20\n\
        fe=(1)\ncfn=(2) malloc\ncalls=3 0\n* 300\ncfi=(3) /rustc/abc/library/alloc/src/vec.rs\ncfn=(3) <alloc::vec::Vec<T> as core::clone::Clone>::clone\n\
        calls=1 0\n-2 50\n\nfl=(3)\nfn=(3)\n1 40\ncfn=(2)\ncalls=2 0\n1 10\n\nfl=(4) ???\nfn=(2)\n0 310\ncfn=(2)\ncalls=5 0\n0 70\n\ntotals: 470\n";

    #[test]
    fn costs_belong_to_the_function_and_to_the_crate_of_the_line() {
        let profile = Profile::read(OUTPUT).expect("a profile");
        let crates = [("C and the loader", 310.0), ("hyper", 20.0), ("rota::proxy", 100.0), ("std", 40.0)];
        assert_eq!(profile.crates, named(&crates));
        let inclusive = [
            ("<alloc::vec::Vec<T> as core::clone::Clone>::clone", 50.0),
            ("malloc", 310.0),
            ("rota::proxy::handle", 470.0),
        ];
        assert_eq!(profile.inclusive, named(&inclusive));
        assert_eq!((profile.total, profile.allocations), (470.0, 10.0));
        assert_eq!(profile.of(&["proxy::handle", "clone"]), 520.0);
    }

    #[test]
    fn the_first_thread_serves_and_the_others_are_told_apart() {
        let of = |total| format!("fn=(1) a::b\n1 {total}\ntotals: {total}\n");
        let profile = Profile::of_threads(&[of(100), of(7), of(2)]).expect("a profile");
        let crates = named(&[("a", 109.0)]);
        let inclusive = named(&[("a::b", 109.0)]);
        assert_eq!(
            profile,
            Profile { total: 100.0, allocations: 0.0, beside: vec![7.0, 2.0], crates, inclusive }
        );
    }

    #[test]
    fn two_runs_tell_what_one_more_costs() {
        let run =
            |total, room| Profile { total, crates: named(&[("rota::proxy", room)]), ..Profile::default() };
        let each = run(1000.0, 600.0).per(&run(5000.0, 2600.0), 100.0);
        assert_eq!(each, run(40.0, 20.0));
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_line() {
        let error = Profile::read("events: Ir\nfn=(9)\n").expect_err("an unknown number");
        assert_eq!(error.to_string(), "line 2 of callgrind's output cannot be read: `fn=(9)`");
    }

    fn named(costs: &[(&str, f64)]) -> BTreeMap<String, f64> {
        costs.iter().map(|(name, cost)| ((*name).to_owned(), *cost)).collect()
    }
}
