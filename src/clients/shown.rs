//! The table as it is shown: by `GET /api/clients`, and as a page of the documentation.
use super::{BASE, Client, Told, clients};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// The address that the documentation uses.
const USUAL: &str = "http://127.0.0.1:7682";

/// `GET /api/clients`
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ClientsView {
    /// In the order of the table.
    pub clients: Vec<ClientView>,
}

/// One program, as it is set up.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ClientView {
    id: String,
    name: String,
    about: String,
    env: BTreeMap<String, String>,
    snippets: Vec<SnippetView>,
    notes: Vec<String>,
}

/// A text to copy.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct SnippetView {
    title: String,
    language: String,
    text: String,
    /// Where it belongs, `~` being the home directory; none where it is for a terminal or a program.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

impl ClientsView {
    /// With rota at `base`.
    ///
    /// # Errors
    /// The embedded table cannot be read.
    pub fn at(base: &str) -> Result<Self, toml::de::Error> {
        Ok(Self { clients: clients()?.iter().map(|client| ClientView::of(client, base)).collect() })
    }
}

impl ClientView {
    /// With rota at `base`.
    pub fn of(client: &Client, base: &str) -> Self {
        let mut snippets = Vec::new();
        if let Some(config) = &client.config
            && let Ok(text) = config.connected("", base)
        {
            let home = config.places(|name| (name == "HOME").then_some("~"));
            snippets.push(SnippetView {
                title: "Its configuration".to_owned(),
                language: config.format.as_str().to_owned(),
                text: text.trim().to_owned(),
                file: home.last().map(|path| path.display().to_string()),
            });
        }
        let env = client.env(Told { base, key: None });
        if !env.is_empty() {
            let lines: Vec<String> =
                env.iter().map(|(name, value)| format!("export {name}={value}")).collect();
            snippets.push(SnippetView {
                title: "In a shell".to_owned(),
                language: "sh".to_owned(),
                text: lines.join("\n"),
                file: None,
            });
        }
        snippets.extend(client.snippet.iter().map(|snippet| SnippetView {
            title: snippet.title.clone(),
            language: snippet.language.clone(),
            text: snippet.text.trim().replace(BASE, base),
            file: None,
        }));
        Self {
            id: client.id.clone(),
            name: client.name.clone(),
            about: client.about.clone(),
            env,
            snippets,
            notes: client.notes.iter().map(|note| note.replace(BASE, base)).collect(),
        }
    }

    /// What the command line calls it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What to know.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// For a terminal.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{}: {}", self.name, self.about)];
        for SnippetView { title, text, file, .. } in &self.snippets {
            let place = file.as_ref().map_or_else(String::new, |file| format!(", {file}"));
            lines.push(format!("\n{title}{place}:\n"));
            lines.extend(text.lines().map(|line| format!("  {line}")));
        }
        if !self.notes.is_empty() {
            lines.push(String::new());
            lines.extend(self.notes.iter().map(|note| format!("- {note}")));
        }
        lines
    }

    fn markdown(&self, out: &mut String) {
        out.push_str(&format!("\n## {}\n\n{}.\n", self.name, self.about.trim_end_matches('.')));
        for SnippetView { title, language, text, file } in &self.snippets {
            let place = file.as_ref().map_or_else(String::new, |file| format!(", `{file}`"));
            out.push_str(&format!("\n{title}{place}:\n\n```{language}\n{text}\n```\n"));
        }
        if !self.notes.is_empty() {
            out.push('\n');
            self.notes.iter().for_each(|note| out.push_str(&format!("- {note}\n")));
        }
    }
}

/// docs/CLIENTS.md.
///
/// # Errors
/// The embedded table cannot be read.
pub fn page() -> Result<String, toml::de::Error> {
    let mut out = String::from(
        "# Clients\n\nHow programs are pointed at rota. This page is made of `config/clients.toml`, and so are `rota \
         connect`, `rota env` and\n`rota run`: `rota connect NAME` shows what it would change in a program's own file, \
         asks, and keeps a copy;\n`rota connect NAME --undo` takes back what it set and nothing else. `rota run -- CMD` \
         changes no file.\n\nSome programs do not start without a key. They are given the word `rota`, which rota \
         removes. Where rota asks\nfor keys, `rota run` gives each program one of its own that ends with it; for the \
         others `rota keys add NAME` makes one, and `rota env --key NAME` for a shell.\n",
    );
    for client in ClientsView::at(USUAL)?.clients {
        client.markdown(&mut out);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A documentation page that is older than the table is worse than none.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "how the developer asks for it")]
    fn the_page_of_clients_is_the_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CLIENTS.md");
        let page = page().expect("the table");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &page).expect("the page");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(committed, page, "run: UPDATE=1 cargo test --lib clients::");
    }

    #[test]
    fn a_row_is_shown_with_rotas_own_address() {
        let views = ClientsView::at("http://127.0.0.1:1234").expect("the table").clients;
        let text = serde_json::to_string(&views).expect("JSON");
        assert!(!text.contains(BASE) && !text.contains("7682"), "{text}");
        for view in views {
            let useful = !view.snippets.is_empty() || view.about.contains("cannot");
            assert!(useful, "{} is of no help", view.id);
        }
    }
}
