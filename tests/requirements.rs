//! docs/REQUIREMENTS.md is made of docs/requirements.toml and of the ids in the doc comments of tests: `/// SEL-6` above
//! a `#[test]`, `# SEL-6` above a function of a Python or shell test. `UPDATE=1 cargo test --test requirements`
//! writes it.
#[path = "architecture/files.rs"]
mod files;

use files::{files, root};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const PAGE: &str = "docs/REQUIREMENTS.md";

/// A promise.
struct Requirement {
    id: String,
    text: String,
    comes: Option<String>,
}

/// Promises of one kind.
struct Group {
    name: String,
    requirements: Vec<Requirement>,
}

/// A test that names a promise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Holder {
    file: String,
    name: String,
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how the developer asks for the page to be written")]
fn the_page_of_requirements_is_up_to_date() {
    let groups = groups();
    let page = page(&groups, &holders());
    let path = root().join(PAGE);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &page).expect("the page can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "{PAGE} is older than the tests; run: UPDATE=1 cargo test --test requirements");
}

#[test]
fn every_id_that_a_test_names_is_a_requirement() {
    let groups = groups();
    let known: Vec<&str> =
        groups.iter().flat_map(|group| &group.requirements).map(|r| r.id.as_str()).collect();
    let unique: BTreeSet<&str> = known.iter().copied().collect();
    assert_eq!(known.len(), unique.len(), "an id is twice in docs/requirements.toml");
    for (id, holders) in holders() {
        let (file, name) = (&holders[0].file, &holders[0].name);
        assert!(
            unique.contains(id.as_str()),
            "{file}: `{name}` names {id}, which docs/requirements.toml lacks"
        );
    }
}

fn groups() -> Vec<Group> {
    let text = std::fs::read_to_string(root().join("docs/requirements.toml")).expect("it is committed");
    let table: toml::Table = text.parse().expect("docs/requirements.toml is TOML");
    let text =
        |value: &toml::Value, key: &str| value.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    let list = |value: &toml::Value| value.as_array().cloned().unwrap_or_default();
    let requirement = |value: &toml::Value| Requirement {
        id: text(value, "id").expect("a requirement has an id"),
        text: text(value, "text").expect("a requirement has a text"),
        comes: text(value, "comes"),
    };
    let group = |value: &toml::Value| Group {
        name: text(value, "name").expect("a group has a name"),
        requirements: list(&value["requirements"]).iter().map(requirement).collect(),
    };
    list(&table["group"]).iter().map(group).collect()
}

/// Every id that a test names, with the tests.
fn holders() -> BTreeMap<String, Vec<Holder>> {
    let mut found: BTreeMap<String, Vec<Holder>> = BTreeMap::new();
    let mut note = |file: &str, tests: Vec<(String, Vec<String>)>| {
        for (name, ids) in tests {
            for id in ids {
                let file = file.to_owned();
                found.entry(id).or_default().push(Holder { file, name: name.clone() });
            }
        }
    };
    for dir in ["src", "tests"] {
        for (path, text) in files(dir, &["rs"]) {
            note(&path, rust(&text));
        }
    }
    for (path, text) in files("tests", &["py", "sh"]) {
        note(&path, script(&text));
    }
    found.values_mut().for_each(|holders| {
        holders.sort();
        holders.dedup();
    });
    found
}

/// Tests of a Rust file and the ids in their doc comments.
fn rust(text: &str) -> Vec<(String, Vec<String>)> {
    let (mut found, mut ids, mut is_test) = (Vec::new(), Vec::new(), false);
    for line in text.lines().map(str::trim) {
        if let Some(doc) = line.strip_prefix("///") {
            ids.extend(ids_in(doc));
        } else if line.starts_with("#[") {
            is_test |= line.contains("test]") || line.contains("::test(");
        } else {
            let name = line.split_once("fn ").map(|(_, rest)| name_of(rest));
            if let Some(name) = name.filter(|_| is_test && !ids.is_empty()) {
                found.push((name, std::mem::take(&mut ids)));
            }
            ids.clear();
            is_test = false;
        }
    }
    found
}

/// Functions of a Python or shell file and the ids in the comment above them or in the docstring below.
fn script(text: &str) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let (mut ids, mut last) = (Vec::new(), None);
    for line in text.lines().map(str::trim) {
        let python = line.strip_prefix("async def ").or_else(|| line.strip_prefix("def "));
        let shell = line.split_once("()").filter(|(_, rest)| rest.trim_start().starts_with('{'));
        if let Some(comment) = line.strip_prefix('#') {
            ids.extend(ids_in(comment));
            last = None;
        } else if let Some(head) = python.or(shell.map(|(name, _)| name)) {
            last = Some(found.len());
            found.push((name_of(head), std::mem::take(&mut ids)));
        } else {
            let docstring = line.strip_prefix("\"\"\"");
            if let (Some(at), Some(text)) = (last, docstring) {
                found[at].1.extend(ids_in(text));
            }
            // A signature may have several lines before its docstring.
            last = last.filter(|_| docstring.is_none() && line.ends_with([',', ':', '(']));
            ids.retain(|_| line.starts_with('@'));
        }
    }
    found.retain(|(_, ids)| !ids.is_empty());
    found
}

fn name_of(rest: &str) -> String {
    rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// `SEL-6`, `I5`.
fn ids_in(text: &str) -> Vec<String> {
    const KINDS: [&str; 10] = ["STO", "SEL", "FLO", "REN", "LIM", "ROU", "FRC", "ADM", "OBS", "PRX"];
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let ids = words.filter(|word| match word.split_once('-') {
        Some((kind, number)) => KINDS.contains(&kind) && is_number(number),
        None => word.strip_prefix('I').is_some_and(is_number),
    });
    ids.map(str::to_owned).collect()
}

fn page(groups: &[Group], holders: &BTreeMap<String, Vec<Holder>>) -> String {
    let all: Vec<&Requirement> = groups.iter().flat_map(|group| &group.requirements).collect();
    let held = all.iter().filter(|requirement| holders.contains_key(&requirement.id)).count();
    let mut out = format!(
        "# Requirements\n\nWhat rota promises, and the tests that hold it to that. `UPDATE=1 cargo test --test requirements` \
         writes this page from [requirements.toml](requirements.toml) and from the ids in the tests' doc comments; a test compares.\n\n\
         {held} of {} promises are held by a test.\n",
        all.len()
    );
    for group in groups {
        write_group(&mut out, group, holders);
    }
    let without: Vec<_> = all.iter().filter(|requirement| !holders.contains_key(&requirement.id)).collect();
    if !without.is_empty() {
        out.push_str("\n## Without a test\n\n");
    }
    for Requirement { id, text, comes } in without {
        let comes = comes.iter().map(|issue| format!(" (comes with issue {issue})"));
        let _ = writeln!(out, "- {id}: {text}{}", comes.collect::<String>());
    }
    out
}

fn write_group(out: &mut String, group: &Group, holders: &BTreeMap<String, Vec<Holder>>) {
    let _ = write!(out, "\n## {}\n\n| id | promise | held by |\n|---|---|---|\n", group.name);
    for Requirement { id, text, comes } in &group.requirements {
        let mut by_file: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for holder in holders.get(id).into_iter().flatten() {
            by_file.entry(&holder.file).or_default().push(format!("`{}`", holder.name));
        }
        let tests = by_file.iter().map(|(file, names)| format!("[{file}](../{file}): {}", names.join(", ")));
        let whole = comes.iter().map(|issue| format!("whole with issue {issue}"));
        let cell: Vec<String> = tests.chain(whole).collect();
        let _ = writeln!(out, "| {id} | {text} | {} |", cell.join("<br>"));
    }
}

#[test]
fn ids_are_read_from_tests_only() {
    let text = "/// SEL-1: six of them, and I5.\n#[test]\nfn held() {}\n/// SEL-2\nfn not_a_test() {}\n\
                /// FLO-1 SEL-99x\n#[tokio::test(start_paused = true)]\nasync fn waits() {}\n#[test]\nfn bare() {}\n";
    let expected = [("held", vec!["SEL-1", "I5"]), ("waits", vec!["FLO-1"])];
    assert_eq!(rust(text), expected.map(owned));
    let text = "# PRX-1\ncurl_works() {\n}\n# PRX-2\n\ndef other(\n    a,\n):\n    \"\"\"OBS-3: no key.\"\"\"\n# ADM-1\nx = 1\n\
                def none():\n";
    let expected = [("curl_works", vec!["PRX-1"]), ("other", vec!["OBS-3"])];
    assert_eq!(script(text), expected.map(owned));
}

fn owned((name, ids): (&str, Vec<&str>)) -> (String, Vec<String>) {
    (name.to_owned(), ids.into_iter().map(str::to_owned).collect())
}
