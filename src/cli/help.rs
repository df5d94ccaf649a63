//! `rota --help`: the commands in the order of a newcomer's questions.
use clap::Command;

/// What is asked, and the commands that answer it. Every command that is not hidden stands in one of them.
const GROUPS: &[(&str, &[&str])] = &[
    ("See it, start it", &["demo", "serve", "service"]),
    ("Add an account", &["login", "import", "accounts"]),
    ("Use it", &["run", "env", "connect"]),
    ("Is all well?", &["status", "top", "doctor", "bug-report"]),
    ("Who is in rotation?", &["enable", "disable", "rename", "weight", "remove", "force", "probe"]),
    ("Why that account?", &["why", "logs", "sessions", "audit"]),
    ("Change how it works", &["settings", "config", "keys", "dashboard", "store"]),
    ("For machines", &["healthcheck", "schema", "openapi", "completions"]),
];

/// The same commands, listed by groups.
pub(super) fn grouped(command: Command) -> Command {
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n{}\nOptions:\n{{options}}{{after-help}}",
        listed(&command)
    );
    command.help_template(template)
}

fn listed(command: &Command) -> String {
    let visible = |name: &&&str| command.find_subcommand(name).is_some_and(|it| !it.is_hide_set());
    let wide = command.get_subcommands().map(|it| it.get_name().len()).max().unwrap_or(0);
    let mut text = String::new();
    for (question, names) in GROUPS {
        let mut names = names.iter().filter(visible).peekable();
        if names.peek().is_none() {
            continue;
        }
        text.push_str(&format!("\n{question}\n"));
        for name in names {
            let about =
                command.find_subcommand(name).and_then(Command::get_about).cloned().unwrap_or_default();
            text.push_str(&format!("  {name:<wide$}  {about}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::Cli;
    use super::*;
    use clap::CommandFactory;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// Wide enough for a page, and the same wherever it is made.
    const WIDTH: usize = 100;
    /// The heading of what every command takes, which the page shows once.
    const EVERYWHERE: &str = "\nOptions of every command:";

    #[test]
    fn every_command_answers_one_question() {
        let command = Cli::command();
        let mut listed = BTreeSet::new();
        for (_, names) in GROUPS {
            for name in *names {
                assert!(listed.insert((*name).to_owned()), "{name} stands in two groups");
            }
        }
        for there in command.get_subcommands().filter(|there| !there.is_hide_set()) {
            assert!(listed.contains(there.get_name()), "{} stands in no group", there.get_name());
            assert!(there.get_about().is_some(), "{} has no help", there.get_name());
        }
    }

    /// docs/CLI.md is what `--help` says.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "how the developer asks for it")]
    fn the_page_of_the_command_line_is_its_help() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CLI.md");
        let page = page();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &page).expect("the page");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(committed, page, "run: UPDATE=1 cargo test --lib cli::help");
    }

    fn page() -> String {
        let mut command = grouped(Cli::command()).term_width(WIDTH);
        command.build();
        let mut out = String::from(
            "# The command line\n\nThis page is what `rota --help` and the help of each command say. Every command that shows \
             something takes `--json`,\nwhich prints the admin API's answer as it is.\n\n",
        );
        shown(&mut command.clone(), &mut out);
        for (_, names) in GROUPS {
            for name in *names {
                if let Some(found) = command.find_subcommand(name) {
                    walk(found.clone().term_width(WIDTH), "rota", &mut out);
                }
            }
        }
        out
    }

    fn walk(mut command: Command, above: &str, out: &mut String) {
        let name = format!("{above} {}", command.get_name());
        out.push_str(&format!("\n## {name}\n\n"));
        shown(&mut command, out);
        let below: Vec<Command> = command.get_subcommands().cloned().collect();
        for command in below.into_iter().filter(|it| !it.is_hide_set() && it.get_name() != "help") {
            walk(command.term_width(WIDTH), &name, out);
        }
    }

    fn shown(command: &mut Command, out: &mut String) {
        let help = command.render_help().to_string();
        let text = help.split(EVERYWHERE).next().unwrap_or_default();
        let text: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
        out.push_str(&format!("```text\n{}\n```\n", text.join("\n")));
    }
}
