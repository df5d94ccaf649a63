//! The settings as texts: `config/rota.toml` (all of them at their defaults), the file written for a user (the same,
//! every line commented out), and the table in `docs/CONFIGURATION.md`.
use super::env::{OTHERS, SHORT};
use super::setting::Shape;
use super::table::{ALL, SECTIONS};

/// Comments are wrapped at this width.
const WIDTH: usize = 100;

/// What the file is.
pub(super) const HEAD: &str = "The configuration of rota: every setting, at its default. It is read from ~/.config/rota/rota.toml \
                    (`rota config path`). What is not set here is decided by the settings that the store keeps, and then \
                    by the default; an environment variable goes before this file. `rota config explain KEY` tells where \
                    a value comes from, `rota config check` whether all is right.";

/// By which editors find the schema.
const SCHEMA: &str = "#:schema rota.schema.json";
const BESIDE: &str = "`rota schema > rota.schema.json` beside this file lets an editor check it as you type.";

const TAIL: &str = "# A provider's address can be changed, for a gateway or a test. http:// is for loopback only.
#[providers.NAME]
#origin = \"https://gateway.example\"
#base = \"/v1\"
#token_url = \"https://auth.example/oauth/token\"

# A path without a provider's prefix can be given to a provider. The longest prefix that fits is taken; `header` makes
# it count only for requests that have the header, `unless` only while that other provider has no account.
#[[route]]
#prefix = \"/v1\"
#provider = \"NAME\"
#header = \"x-my-header\"
#unless = \"OTHER\"
";

/// `config/rota.toml`.
pub fn reference() -> String {
    file("")
}

/// The file written for a user: nothing in it is set, so that kept settings decide until they say otherwise (ADM-5).
pub fn template() -> String {
    file("#")
}

fn file(mark: &str) -> String {
    let mut out = format!("{SCHEMA}\n{}", comment(HEAD));
    out.push_str(&comment(BESIDE));
    for (section, about) in SECTIONS {
        out.push('\n');
        out.push_str(&comment(about));
        if !section.is_empty() {
            out.push_str(&format!("{mark}[{section}]\n"));
        }
        for about in ALL.iter().map(|setting| setting.about()) {
            if about.section() == section {
                out.push('\n');
                out.push_str(&comment(about.doc));
                out.push_str(&format!("{mark}{} = {}\n", about.name(), about.default));
            }
        }
    }
    out.push('\n');
    out.push_str(TAIL);
    out
}

fn comment(text: &str) -> String {
    let mut out = String::new();
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    out + &line + "\n"
}

/// The settings and their variables as a table in Markdown, for `docs/CONFIGURATION.md`.
pub fn table_of_settings() -> String {
    let mut out = String::from("| setting | default | environment | what it does |\n|---|---|---|---|\n");
    for about in ALL.iter().map(|setting| setting.about()) {
        let mut variables = vec![format!("`{}`", about.variable())];
        if about.shape == Shape::Secrets {
            variables.push(format!("`{}_FILE`", about.variable()));
        }
        if let Some((short, _)) = SHORT.iter().find(|(_, key)| *key == about.key) {
            variables.insert(0, format!("`{short}`"));
        }
        out.push_str(&format!(
            "| `{}` | `{}` | {} | {} |\n",
            about.key,
            about.default,
            variables.join(", "),
            about.doc.replace('|', "\\|")
        ));
    }
    for (name, doc) in OTHERS {
        out.push_str(&format!("| | | `{name}` | {doc} |\n"));
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::path::Path;

    /// ADM-5
    #[test]
    fn the_reference_is_written_down_as_it_is() {
        assert_eq!(committed("config/rota.toml", |_| reference()), reference(), "{HOW}");
    }

    #[test]
    fn the_documentation_lists_every_setting() {
        let (start, end) = ("<!-- settings -->\n", "<!-- end of settings -->");
        let renew = |text: &str| {
            let (before, rest) = text.split_once(start).unwrap();
            let (_, after) = rest.split_once(end).unwrap();
            format!("{before}{start}{}{end}{after}", table_of_settings())
        };
        let text = committed("docs/CONFIGURATION.md", renew);
        assert_eq!(text, renew(&text), "{HOW}");
    }

    /// ADM-5
    #[test]
    fn the_file_written_for_a_user_sets_nothing() {
        let table: toml::Table = toml::from_str(&template()).unwrap();
        assert_eq!(table, toml::Table::new());
        let lines = |text: &str| text.lines().count();
        assert_eq!(lines(&template()), lines(&reference()));
    }

    pub(in crate::config) const HOW: &str = "the code is newer; run: UPDATE=1 cargo test --lib config::";

    /// A file of the repository; with `UPDATE` it is renewed first.
    #[expect(clippy::disallowed_methods, reason = "how the developer asks for it")]
    pub(in crate::config) fn committed(file: &str, renew: impl Fn(&str) -> String) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if std::env::var_os("UPDATE").is_none() {
            return text;
        }
        std::fs::write(path, renew(&text)).unwrap();
        renew(&text)
    }
}
