//! What docs/ARCHITECTURE.md says and the compiler does not hold: which room may use which, what the pure core may not
//! touch, who may see a secret, and the budgets. Every message says what to do. The tables are at the top of each part.
#[path = "architecture/files.rs"]
mod files;
#[path = "architecture/source.rs"]
mod source;

use files::{files, root};
use source::{Source, word_in, words_in};
use std::collections::{BTreeMap, BTreeSet};

/// Each room of `src/` and the rooms it may use, as docs/ARCHITECTURE.md §3 shows them. `app` is the composition root:
/// rooms that take `&App` may name it; the rest has no cycles.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("clients", &[]),
    ("clock", &["model"]),
    ("engine", &["model"]),
    ("config", &["model"]),
    ("affinity", &["model"]),
    ("lease", &["engine", "model"]),
    ("runs", &["model"]),
    ("state", &["clock", "engine", "lease", "model"]),
    ("store", &["clock", "model", "state"]),
    ("http1", &[]),
    ("upstream", &["engine", "http1", "model"]),
    ("telemetry", &["engine", "model", "sys"]),
    ("auth", &["clock", "config", "engine", "model", "state", "store", "upstream"]),
    ("scheduler", &["affinity", "app", "engine", "limits", "model", "telemetry"]),
    ("antigravity", &["model"]),
    ("limits", &["auth", "clock", "engine", "model", "proxy", "state", "upstream"]),
    ("notify", &["app", "auth", "config", "engine", "model", "upstream"]),
    (
        "proxy",
        &[
            "affinity",
            "app",
            "auth",
            "clock",
            "engine",
            "http1",
            "lease",
            "model",
            "notify",
            "runs",
            "sys",
            "telemetry",
            "upstream",
        ],
    ),
    (
        "admin",
        &[
            "affinity",
            "antigravity",
            "app",
            "auth",
            "clients",
            "config",
            "engine",
            "lease",
            "limits",
            "model",
            "notify",
            "proxy",
            "runs",
            "state",
            "telemetry",
        ],
    ),
    (
        "app",
        &[
            "admin",
            "affinity",
            "auth",
            "clock",
            "config",
            "engine",
            "limits",
            "model",
            "notify",
            "proxy",
            "runs",
            "scheduler",
            "state",
            "store",
            "sys",
            "telemetry",
            "upstream",
        ],
    ),
    (
        "cli",
        &[
            "admin",
            "app",
            "auth",
            "clients",
            "clock",
            "config",
            "engine",
            "model",
            "runs",
            "store",
            "sys",
            "telemetry",
        ],
    ),
    ("main", &["cli", "config"]),
    ("sys", &[]),
    ("lib", &[]),
];
/// Takes part in no cycle, being the composition root.
const ROOT: &str = "app";

/// What may not stand in `model` and `engine` (I1), with what to do instead.
const IMPURE: &[(&str, &str)] = &[
    ("async", "the shell awaits; the core is asked"),
    ("await", "the shell awaits; the core is asked"),
    ("tokio", "I/O and tasks belong to the shell"),
    ("std::fs", "I/O belongs to the shell"),
    ("std::io", "I/O belongs to the shell"),
    ("std::env", "the environment enters through config"),
    ("std::process", "processes belong to the shell"),
    ("std::thread", "threads belong to the shell"),
    ("TcpStream", "I/O belongs to the shell"),
    ("TcpListener", "I/O belongs to the shell"),
    ("UdpSocket", "I/O belongs to the shell"),
    ("UnixStream", "I/O belongs to the shell"),
    ("tracing", "put it into the trail; the shell logs that"),
    ("metrics", "put it into the trail; the shell counts that"),
    ("println", "put it into the trail; the shell logs that"),
    ("eprintln", "put it into the trail; the shell logs that"),
    ("Mutex", "the state has one writer, in state.rs"),
    ("RwLock", "the state has one writer, in state.rs"),
    ("Condvar", "the state has one writer, in state.rs"),
    ("ArcSwap", "the state has one writer, in state.rs"),
    ("atomic", "the state has one writer, in state.rs"),
    ("Cell", "the state has one writer, in state.rs"),
    ("RefCell", "the state has one writer, in state.rs"),
    ("OnceLock", "the state has one writer, in state.rs"),
    ("thread_local", "the state has one writer, in state.rs"),
    ("rand", "chance is a hash of what is known"),
    ("RandomState", "chance is a hash of what is known"),
    ("HashMap", "its order differs from run to run; use BTreeMap"),
    ("HashSet", "its order differs from run to run; use BTreeSet"),
    ("Instant", "time is a parameter, `now: Time`"),
    ("SystemTime", "time is a parameter, `now: Time`"),
];

/// Readings of a clock (I2).
const CLOCKS: &[&str] =
    &["Instant::now", "SystemTime::now", "Timestamp::now", "Zoned::now", "Utc::now", "Local::now"];

/// The places that may see a secret's text (I10): a path's beginning, and how many files below it may.
const EXPOSED: &[(&str, usize)] = &[("src/upstream/inject.rs", 1), ("src/store/schema", 1), ("src/auth/", 1)];

/// Names of providers besides those of `config/providers/*.toml` (I11).
const BRANDS: &[&str] = &["chatgpt", "claude", "openai", "anthropic", "codex", "gemini", "openrouter"];
/// Where a provider may be named: the list of presets, readers named after the client whose file they read, and the
/// reader of documents from a time that knew one provider only.
const NAMING: &[&str] = &["src/config/presets", "src/auth/import", "src/store/migrate"];

/// Functions whose parameters a trait of another crate decides.
const FOREIGN: &[&str] = &["visit_bool", "serialize_bool"];

const MOST_FILE_LINES: usize = 500;
const MOST_FUNCTION_LINES: usize = 70;
const MOST_DEPENDENCIES: usize = 38;
/// Names under which anything could hide.
const VAGUE: &[&str] = &["utils", "util", "common", "helpers", "helper", "manager", "misc"];
/// Marks of something unfinished; in two pieces, so that this file does not hold them.
const UNFINISHED: &[(&str, &str)] =
    &[("TO", "DO"), ("FIX", "ME"), ("#[ign", "ore"), ("to", "do!"), ("unimple", "mented!")];

/// I1
#[test]
fn model_and_engine_are_pure() {
    let mut found = Vec::new();
    for source in program() {
        if !["model", "engine"].contains(&source.room()) {
            continue;
        }
        for (word, instead) in IMPURE {
            for line in word_in(&source.bare, word) {
                found.push(format!("{}:{line}: `{word}`: {instead}", source.path));
            }
        }
    }
    none(&found, "model and engine decide; they do nothing else (I1)");
}

/// I2
#[test]
fn only_the_clock_reads_a_clock() {
    let mut found = Vec::new();
    for source in program().iter().filter(|source| source.room() != "clock") {
        for reading in CLOCKS {
            for line in word_in(&source.bare, reading) {
                found.push(format!("{}:{line}: `{reading}`", source.path));
            }
        }
    }
    none(&found, "take `now: Time` as a parameter, or ask the Clock (I2)");
}

/// I3, as far as the source shows it: one file holds the cell of the snapshot and calls `apply`, and clippy refuses a
/// lock that is held across an await.
#[test]
fn only_the_state_replaces_a_snapshot() {
    let mut found = Vec::new();
    for source in program().iter().filter(|source| source.room() != "state") {
        for line in word_in(&source.bare, "ArcSwap<Snapshot>") {
            found.push(format!("{}:{line}: a second cell for the snapshot", source.path));
        }
        if source.room() != "engine" {
            found.extend(
                word_in(&source.bare, "apply")
                    .into_iter()
                    .filter(|line| source.bare.lines().nth(line - 1).is_some_and(imports))
                    .map(|line| format!("{}:{line}: imports `apply`", source.path)),
            );
        }
    }
    none(&found, "ask SharedState::apply or commit: it is the one writer (I3)");
    let manifest: toml::Table = read("Cargo.toml").parse().expect("Cargo.toml is TOML");
    let lint = &manifest["workspace"]["lints"]["clippy"]["await_holding_lock"];
    assert_eq!(lint.as_str(), Some("deny"), "clippy holds the rest of I3");
}

fn imports(line: &str) -> bool {
    line.trim_start().starts_with("use ") || line.contains("engine::apply(")
}

/// ADM-1
#[test]
fn every_endpoint_is_in_the_table() {
    const ROUTER: &str = "src/admin/mod.rs";
    let mut found = Vec::new();
    for source in program() {
        for (at, line) in source.code.lines().enumerate() {
            let routes = [".route(", ".route_service(", ".nest(", ".nest_service(", ".fallback_service("];
            // The router takes paths from the table, and the page's files, which are no part of the API.
            let known = [".route(path, ", "get(ui::"].iter().any(|known| line.contains(known));
            if routes.iter().any(|route| line.contains(route)) && !(known && source.path == ROUTER) {
                found.push(format!("{}:{}: {}", source.path, at + 1, line.trim()));
            }
        }
    }
    none(
        &found,
        "an endpoint is one line in src/admin/endpoint.rs: the router and openapi.json are made of it",
    );
    let router = read(ROUTER);
    assert_eq!(router.matches(".route(").count(), 5, "three kinds of access and two of the page's files");
}

/// I10
#[test]
fn a_secret_is_seen_in_three_places() {
    let mut found = Vec::new();
    let mut seen: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for source in program() {
        let lines = word_in(&source.bare, "expose");
        let place = EXPOSED.iter().find(|(place, _)| source.path.starts_with(place));
        match place {
            _ if lines.is_empty() || source.path == "src/model/secret.rs" => {}
            Some((place, _)) => {
                seen.entry(*place).or_default().insert(source.path.clone());
            }
            None => found.push(format!("{}:{}: `expose`", source.path, lines[0])),
        }
    }
    for (place, files) in seen {
        let most = EXPOSED.iter().find(|(known, _)| *known == place).map_or(0, |(_, most)| *most);
        if files.len() > most {
            found.push(format!("{place}: {files:?}, where {most} may"));
        }
    }
    none(
        &found,
        "only injection, the token endpoint and the credential record see a secret's text; compare secrets as they are (I10)",
    );
}

/// I10
#[test]
fn a_secret_cannot_be_printed_or_written() {
    let program = program();
    let secret = program.iter().find(|source| source.path == "src/model/secret.rs");
    let secret = secret.expect("src/model/secret.rs holds the type Secret; tell this test if it moved");
    for word in ["Display", "Serialize", "Deref", "AsRef", "Borrow", "ToString"] {
        assert_eq!(word_in(&secret.bare, word), [0; 0], "a Secret has no {word} (I10)");
    }
    assert!(secret.code.contains("[REDACTED]"), "a Secret's Debug says [REDACTED] (I10)");
}

/// Unsafe code has one place, and the lint that holds this is on.
#[test]
fn unsafe_code_has_one_place() {
    let mut found = Vec::new();
    for source in program().iter().filter(|source| source.path != "src/sys.rs") {
        for word in ["unsafe", "unsafe_code"] {
            found.extend(
                word_in(&source.bare, word).iter().map(|line| format!("{}:{line}: `{word}`", source.path)),
            );
        }
    }
    none(&found, "what only unsafe code can do is in src/sys.rs, with the reason why it is sound");
    let manifest: toml::Table = read("Cargo.toml").parse().expect("Cargo.toml is TOML");
    assert_eq!(manifest["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("deny"));
}

/// I11
#[test]
fn no_provider_is_named_in_the_program() {
    let presets = files("config/providers", &["toml"]);
    let ids = presets.iter().filter_map(|(path, _)| {
        let name = path.rsplit('/').next()?.strip_suffix(".toml")?;
        (path.matches('/').count() == 2 && !name.starts_with('_')).then(|| name.to_owned())
    });
    let names: BTreeSet<String> = BRANDS.iter().map(|brand| (*brand).to_owned()).chain(ids).collect();
    let mut found = Vec::new();
    for source in program() {
        if NAMING.iter().any(|place| source.path.starts_with(place)) {
            continue;
        }
        let code = source.code.to_ascii_lowercase();
        for name in &names {
            for line in words_in(&code, name) {
                found.push(format!("{}:{line}: {name}", source.path));
            }
        }
    }
    none(&found, "what is special about a provider belongs into its preset, config/providers/*.toml (I11)");
}

#[test]
fn rooms_use_only_the_rooms_they_may() {
    let mut found = Vec::new();
    for source in program() {
        let room = source.room();
        let Some((_, may)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            found.push(format!(
                "{}: the room `{room}` is new; add it to ROOMS and to docs/ARCHITECTURE.md §3",
                source.path
            ));
            continue;
        };
        for (line, used) in source.uses() {
            let known = ROOMS.iter().any(|(name, _)| *name == used);
            if known && used != room && !may.contains(&used.as_str()) {
                found.push(format!("{}:{line}: `{room}` may not use `{used}`", source.path));
            }
        }
    }
    none(
        &found,
        "move the code to the room that may, pass the value in, or change ROOMS and docs/ARCHITECTURE.md §3 with a reason",
    );
}

#[test]
fn the_map_shows_the_rooms_there_are_and_what_they_may_use() {
    let there: BTreeSet<String> = program().iter().map(|source| source.room().to_owned()).collect();
    let known: BTreeSet<String> = ROOMS.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(there, known, "ROOMS is the list of rooms below src/");
    let map = read("docs/ARCHITECTURE.md");
    let rows: Vec<Vec<&str>> = map.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
    let mut found = Vec::new();
    for (room, may) in ROOMS.iter().filter(|(room, _)| *room != "lib") {
        let (name, uses) = (format!("`{room}`"), may.join(" "));
        let row = rows.iter().find(|row| row.len() == 5 && row[1].starts_with(&name));
        match row.map(|row| row[3]) {
            Some(shown) if shown == uses => {}
            Some(shown) => found.push(format!("`{room}`: the map says `{shown}`, ROOMS says `{uses}`")),
            None => found.push(format!("`{room}` has no row in the map")),
        }
    }
    none(&found, "docs/ARCHITECTURE.md §3 and ROOMS tell the same; change both, with a reason");
}

/// The map names tests, each by its whole name.
#[test]
fn the_tests_that_the_map_names_exist() {
    let map = read("docs/ARCHITECTURE.md");
    let named: BTreeSet<&str> = map
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.matches('_').count() > 3 && !word.contains(char::is_whitespace))
        .collect();
    assert!(named.len() > 10, "every invariant names a test that holds it");
    let sources: Vec<String> =
        ["src", "tests"].into_iter().flat_map(|dir| files(dir, &["rs"])).map(|(_, text)| text).collect();
    let exists = |name: &str| sources.iter().any(|text| text.contains(&format!("fn {name}(")));
    let found: Vec<String> = named.into_iter().filter(|name| !exists(name)).map(str::to_owned).collect();
    none(&found, "docs/ARCHITECTURE.md names tests that are not there");
}

#[test]
fn the_rooms_have_no_cycles() {
    let mut left: BTreeMap<&str, BTreeSet<&str>> = ROOMS
        .iter()
        .map(|(room, may)| (*room, may.iter().copied().filter(|used| *used != ROOT).collect()))
        .collect();
    left.remove(ROOT);
    while let Some(room) = left.iter().find(|(_, may)| may.is_empty()).map(|(room, _)| *room) {
        left.remove(room);
        for may in left.values_mut() {
            may.remove(room);
        }
    }
    assert!(left.is_empty(), "these rooms use each other in a circle: {left:?}");
}

#[test]
fn files_stay_short() {
    let mut found = Vec::new();
    for source in rust() {
        if source.lines > MOST_FILE_LINES {
            found.push(format!("{}: {} lines", source.path, source.lines));
        }
    }
    none(&found, "a file has at most 500 lines without its tests; split it by what it is about");
}

#[test]
fn functions_stay_short() {
    let mut found = Vec::new();
    for source in rust() {
        for function in source.functions() {
            if function.lines > MOST_FUNCTION_LINES {
                let (name, line, lines) = (&function.name, function.line, function.lines);
                found.push(format!("{}:{line}: `{name}` has {lines} lines", source.path));
            }
        }
    }
    none(&found, "a function has at most 70 lines; give a part of it a name");
}

#[test]
fn no_function_takes_a_bool() {
    let mut found = Vec::new();
    for source in program() {
        for function in source.functions() {
            if function.takes_bool() && !FOREIGN.contains(&function.name.as_str()) {
                found.push(format!("{}:{}: `{}`", source.path, function.line, function.name));
            }
        }
    }
    none(&found, "a bare true says nothing where it is passed; use an enum, or two functions");
}

#[test]
fn files_are_named_by_what_is_in_them() {
    let mut found = Vec::new();
    for source in rust() {
        let names = source.path.trim_end_matches(".rs").split('/');
        for name in names.filter(|name| VAGUE.contains(name)) {
            found.push(format!("{}: `{name}`", source.path));
        }
    }
    none(&found, "name a file after the thing it holds");
}

#[test]
fn direct_dependencies_stay_few() {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("Cargo.toml is TOML");
    // A package of this workspace is rota's own.
    let named = manifest["dependencies"].as_table().into_iter().flatten();
    let count = named.filter(|(_, about)| about.get("path").is_none()).count();
    assert!(
        (1..=MOST_DEPENDENCIES).contains(&count),
        "{count} direct dependencies; {MOST_DEPENDENCIES} are the budget: write the few lines, or take one out"
    );
}

#[test]
fn every_direct_dependency_has_its_reason() {
    let page = read("docs/DECISIONS.md");
    let rows = page.lines().filter(|line| line.starts_with('|'));
    let reasons: BTreeSet<&str> = rows
        .filter_map(|line| line.split('|').nth(1))
        .flat_map(|cell| cell.split(','))
        .map(str::trim)
        .collect();
    let mut found = Vec::new();
    for manifest in ["Cargo.toml", "fake-upstream/Cargo.toml"] {
        let table: toml::Table = read(manifest).parse().expect("a manifest is TOML");
        let named = table["dependencies"].as_table().into_iter().flat_map(toml::Table::keys);
        let without = named.filter(|name| !reasons.contains(name.as_str()));
        found.extend(without.map(|name| format!("{manifest}: {name}")));
    }
    none(&found, "a dependency has its line in docs/DECISIONS.md");
}

#[test]
fn nothing_is_left_unfinished() {
    let mut found = Vec::new();
    for dir in ["src", "tests", "fake-upstream", "bench", "packaging"] {
        for (path, text) in files(dir, &["rs", "py", "sh"]) {
            for (one, two) in UNFINISHED {
                for line in words_in(&text, &format!("{one}{two}")) {
                    found.push(format!("{path}:{line}: {one}{two}"));
                }
            }
        }
    }
    none(&found, "finish it, leave it out, or open an issue");
}

/// What ships: `src/` without tests.
fn program() -> Vec<Source> {
    let all: Vec<Source> = files("src", &["rs"]).into_iter().map(Source::new).collect();
    let tests: BTreeSet<String> = all.iter().flat_map(|source| source.test_files.clone()).collect();
    let is_test = |path: &str| tests.iter().any(|test| path.starts_with(test.as_str()));
    all.into_iter().filter(|source| !is_test(&source.path)).collect()
}

/// All Rust that ships, the fake upstream too.
fn rust() -> Vec<Source> {
    let fake = files("fake-upstream/src", &["rs"]).into_iter().map(Source::new);
    program().into_iter().chain(fake).collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_default()
}

fn none(found: &[String], what_to_do: &str) {
    assert!(found.is_empty(), "{what_to_do}:\n  {}", found.join("\n  "));
}
