//! Every `console` block of README and docs/ is run: each line that begins with `$ ` in a shell, with the output that the
//! page shows, where `[..]` stands for anything on a line and `...` for any lines. A comment right above a block says in
//! which home it is run (`<!-- in: STAGE -->`), or why it is not (`<!-- not run: REASON -->`).
use super::place::{Daemon, Fake, Place};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The addresses that the pages use.
const PROXY: &str = "127.0.0.1:7682";
const ADMIN: &str = "127.0.0.1:7683";

struct Block {
    /// File and line.
    place: String,
    /// `in: STAGE`, `not run: REASON`, or nothing.
    mark: String,
    steps: Vec<Step>,
}

struct Step {
    command: String,
    output: Vec<String>,
}

/// A home as a block needs it.
struct Stage {
    place: Place,
    daemon: Option<Daemon>,
    _fake: Fake,
}

impl Stage {
    fn set(name: &str) -> Self {
        let fake = Fake::keys(&["a", "b"]);
        let mut place = Place::before(&fake);
        place.set("PATH", format!("{}:/usr/bin:/bin", place.path("bin").display()));
        fs::create_dir(place.path("bin")).expect("a directory");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rota"), place.path("bin/rota")).expect("a link");
        let mut daemon = None;
        match name {
            "" => {}
            "connect" => place.set("ROTA_LISTEN", PROXY),
            "work" => place.add("work", "openai", "sk-a"),
            "two accounts" | "run" | "served" => {
                place.add("work", "openai", "sk-a");
                place.add("home", "openai", "sk-b");
            }
            "codex login" | "codex imported" => {
                let fixture =
                    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import/codex/chatgpt.json");
                let text = fs::read_to_string(fixture).expect("a fixture");
                place.file("home/.codex/auth.json", 0o600, &text);
                if name == "codex imported" {
                    assert_eq!(place.rota(&["import", "codex", "--as", "work"]).code, Some(0));
                }
            }
            other => panic!("there is no stage {other:?}"),
        }
        place.file("home/home.key", 0o600, "sk-b");
        place.file("home/.config/rota/none", 0o600, "");
        for program in ["codex", "claude"] {
            place.file(&format!("bin/{program}"), 0o700, "#!/bin/sh\nexit 0\n");
        }
        if name == "served" {
            let started = place.serve();
            let reply = started.ask("/openai/v1/responses");
            started.wrote(reply.header("x-rota-request-id").expect("an id"));
            daemon = Some(started);
        }
        Self { place, daemon, _fake: fake }
    }

    /// Its output, as the page would show it.
    fn run(&self, command: &str) -> (Option<i32>, String) {
        let own = |name: &'static str, at: &dyn Fn(&Daemon) -> String| (name, self.daemon.as_ref().map(at));
        let ports = [own(PROXY, &|it| it.proxy().to_string()), own(ADMIN, &|it| it.admin().to_string())];
        let mut shell =
            self.place.shell(&ports.iter().fold(command.to_owned(), |text, (usual, own)| match own {
                Some(own) => text.replace(usual, own),
                None => text,
            }));
        let done = shell.stdin(Stdio::null()).output().expect("a shell");
        let mut text = String::from_utf8_lossy(&done.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&done.stderr));
        for (usual, own) in &ports {
            if let Some(own) = own {
                text = text.replace(own, usual);
            }
        }
        let home = self.place.path("home").display().to_string();
        (done.status.code(), text.replace(&home, "/home/me"))
    }
}

#[test]
fn every_console_block_of_the_pages_says_what_happens() {
    let mut run = 0;
    for block in pages().iter().flat_map(|page| blocks(page)) {
        let Block { place, mark, steps } = block;
        assert!(!steps.is_empty(), "{place}: no line begins with `$ `");
        if let Some(reason) = mark.strip_prefix("not run: ") {
            assert!(reason.len() > 10, "{place}: why is it not run?");
            continue;
        }
        let stage = Stage::set(mark.strip_prefix("in: ").unwrap_or(&mark));
        for Step { command, output } in steps {
            let (code, said) = stage.run(&command);
            assert_eq!(code, Some(0), "{place}: {command}\n{said}");
            let lines: Vec<&str> = said.lines().collect();
            let wanted: Vec<&str> = output.iter().map(String::as_str).collect();
            let fits = wanted.is_empty() || fit(&wanted, &lines);
            assert!(fits, "{place}: {command}\nthe page says\n{}\nand it said\n{said}", output.join("\n"));
        }
        run += 1;
    }
    assert!(run > 5, "there is something to run: {run}");
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).expect("docs").map(|entry| entry.expect("an entry").path());
    let mut pages: Vec<PathBuf> =
        docs.filter(|path| path.extension().is_some_and(|kind| kind == "md")).collect();
    pages.extend(["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root.join(name)));
    pages.sort();
    pages
}

fn blocks(page: &Path) -> Vec<Block> {
    let text = fs::read_to_string(page).expect("a page");
    let mut blocks: Vec<Block> = Vec::new();
    let (mut inside, mut mark) = (false, String::new());
    for (number, line) in text.lines().enumerate() {
        match (inside, line) {
            (false, "```console") => {
                let place = format!("{}:{}", page.display(), number + 1);
                blocks.push(Block { place, mark: std::mem::take(&mut mark), steps: Vec::new() });
                inside = true;
            }
            (false, "") => {}
            (false, line) => {
                let comment = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
                mark = comment.unwrap_or_default().to_owned();
            }
            (true, "```") => inside = false,
            (true, line) => {
                let steps = &mut blocks.last_mut().expect("a block").steps;
                match (line.strip_prefix("$ "), steps.last_mut()) {
                    (Some(command), _) => {
                        steps.push(Step { command: command.to_owned(), output: Vec::new() })
                    }
                    (None, Some(step)) => step.output.push(line.to_owned()),
                    (None, None) => panic!("{}:{}: output before a command", page.display(), number + 1),
                }
            }
        }
    }
    blocks
}

/// True where `lines` are as `wanted` says.
fn fit(wanted: &[&str], lines: &[&str]) -> bool {
    match wanted.split_first() {
        None => lines.is_empty(),
        Some((&"...", rest)) => (0..=lines.len()).any(|skip| fit(rest, &lines[skip..])),
        Some((first, rest)) => {
            lines.split_first().is_some_and(|(line, more)| like(first, line) && fit(rest, more))
        }
    }
}

fn like(wanted: &str, line: &str) -> bool {
    match wanted.split_once("[..]") {
        None => wanted.trim_end() == line.trim_end(),
        Some((before, rest)) => line.strip_prefix(before).is_some_and(|line| {
            let mut ends = line.char_indices().map(|(at, _)| at).chain([line.len()]);
            ends.any(|at| like(rest, &line[at..]))
        }),
    }
}

#[test]
fn what_a_page_says_is_compared_line_by_line() {
    for (wanted, lines, fits) in [
        (&["a"][..], &["a"][..], true),
        (&["a"], &["b"], false),
        (&["a[..]c"], &["abc"], true),
        (&["a[..]"], &["a"], true),
        (&["a[..]c"], &["abd"], false),
        (&["a", "...", "d"], &["a", "b", "c", "d"], true),
        (&["a", "..."], &["a"], true),
        (&["..."], &[], true),
        (&["a", "...", "d"], &["a", "b"], false),
        (&["a"], &["a", "b"], false),
    ] {
        assert_eq!(fit(wanted, lines), fits, "{wanted:?} {lines:?}");
    }
}
