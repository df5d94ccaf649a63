//! `rota connect`: points a program at rota in that program's own file. What would change is shown first, a copy is kept,
//! and `--undo` takes back what was set and nothing else.
mod file;

use super::address::{Address, Keyed};
use super::confirm::confirm;
use super::render::shown_path;
use super::{CliError, Exit, Setup};
use crate::clients::{Client, ClientView, ClientsView, ConfigFile, EditError, Line, Undone, clients, diff};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};
use file::ForeignFile;
use serde_json::json;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(super) struct Connect {
    /// Which program; without one, all are shown
    #[arg(value_parser = names(), hide_possible_values = true)]
    client: Option<String>,
    /// Write it without asking
    #[arg(long, conflicts_with = "undo")]
    write: bool,
    /// Take back what rota has set, and nothing else
    #[arg(long)]
    undo: bool,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// What the command line may call a program.
pub(super) fn names() -> PossibleValuesParser {
    let all = clients().unwrap_or_default().into_iter();
    let names = all.map(|client| PossibleValue::new(client.id).aliases(client.aliases).help(client.name));
    PossibleValuesParser::new(names.collect::<Vec<_>>())
}

/// The row that `name` means.
pub(super) fn find(name: &str) -> Result<Client, CliError> {
    let found = table()?.into_iter().find(|client| client.is(name));
    found.ok_or_else(|| {
        CliError::failed(format!("{name:?} is not a program that rota knows; see `rota connect`"))
    })
}

pub(super) fn table() -> Result<Vec<Client>, CliError> {
    clients().map_err(|bad| CliError::failed(format!("the table of clients cannot be read: {bad}")))
}

/// What is done to a file.
struct Change {
    file: ForeignFile,
    /// What becomes of it; none where it goes.
    text: Option<String>,
    /// Keys that were changed since rota set them.
    kept: Vec<String>,
    copy: Copy,
}

/// What becomes of the copy of the file as it was before rota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copy {
    /// There is none, and none is made.
    None,
    /// One is made of the file. Another that is there is put aside.
    Made,
    /// The one that is there stays.
    Stays,
    /// The one that is there belongs to a file that is gone, and is put aside.
    Aside,
    /// The file is what the copy says, byte for byte, so that it can go.
    Goes,
}

impl Connect {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let Address { base, keyed, .. } = Address::find(setup)?;
        let Some(name) = &self.client else {
            return list(setup, &base, out);
        };
        let client = find(name)?;
        let view = ClientView::of(&client, &base);
        let Some(config) = &client.config else {
            return self.without_file(setup, &client, &view, out);
        };
        let path = place(setup, &client, config)?;
        let change = match self.undo {
            true => undo(config, &path, &base)?,
            false => connect(config, &path, &base)?,
        };
        let done = self.go_ahead(setup, &change, out)?;
        if done {
            change.apply()?;
        }
        if setup.json {
            let mut told = self.told(&client, &change);
            told["written"] = done.into();
            writeln!(out, "{told}")?;
            return Ok(Exit::Done);
        }
        if done {
            self.after(setup, &view, &change, out)?;
        }
        if keyed == Keyed::Yes && !self.undo {
            setup.hint(
                "! rota asks every client for a key, and this gives it none: have one made (rota keys add NAME) and tell \
                 it, or use `rota run`",
            );
        }
        for key in &change.kept {
            writeln!(out, "! {key} was changed since rota set it, and is left as it is")?;
        }
        Ok(Exit::Done)
    }

    /// Shows what would change, and finds out whether it may be done.
    fn go_ahead(&self, setup: &Setup, change: &Change, out: &mut dyn Write) -> Result<bool, CliError> {
        let path = shown_path(setup, &change.file.path);
        if change.is_nothing() {
            if !setup.json {
                let words = if self.undo { "has nothing of rota's" } else { "points at rota already" };
                writeln!(out, "{path} {words}; nothing to do")?;
            }
            return Ok(false);
        }
        if !setup.json {
            writeln!(out, "{}", self.heading(setup, change))?;
            for line in change.lines() {
                writeln!(out, "  {}", line.trim_end())?;
            }
        }
        if self.dry_run {
            if !setup.json {
                writeln!(out, "Nothing written.")?;
            }
            return Ok(false);
        }
        if self.write || self.undo {
            return Ok(true);
        }
        if setup.json || !std::io::stdin().is_terminal() {
            eprintln!(
                "rota: nothing written, for there is no terminal to ask on; give --write if you mean it"
            );
            return Ok(false);
        }
        out.flush()?;
        confirm("Write it?")
    }

    fn heading(&self, setup: &Setup, change: &Change) -> String {
        let path = shown_path(setup, &change.file.path);
        let would = if self.dry_run || !(self.write || self.undo) { "Would change" } else { "Changing" };
        let copy = change.file.backup();
        let copy = copy.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match (&change.text, change.file.exists(), change.copy) {
            (None, ..) => format!("{path} was made by rota and goes:"),
            (Some(_), false, _) => format!("{would} {path} (it is new):"),
            (Some(_), true, Copy::Made) => format!("{would} {path} (a copy is kept as {copy}):"),
            (Some(_), true, Copy::Stays) => {
                format!("{would} {path} (as it was before rota, it stays as {copy}):")
            }
            (Some(_), true, Copy::Aside | Copy::Goes | Copy::None) => format!("{would} {path}:"),
        }
    }

    fn after(
        &self,
        setup: &Setup,
        view: &ClientView,
        change: &Change,
        out: &mut dyn Write,
    ) -> Result<(), CliError> {
        let path = shown_path(setup, &change.file.path);
        match (self.undo, &change.text, change.copy) {
            (false, ..) => {}
            (true, None, _) => writeln!(out, "✔ {path} is gone, as it was before rota")?,
            (true, _, Copy::Goes) => writeln!(out, "✔ {path} is as it was before rota")?,
            (true, _, Copy::Stays) => {
                let copy = change.file.backup();
                writeln!(out, "✔ {path} has nothing of rota's any more; what else was changed since stays")?;
                writeln!(out, "  as it was before rota, it is kept as {}", shown_path(setup, &copy))?;
            }
            (true, _, Copy::Aside | Copy::Made | Copy::None) => {
                writeln!(out, "✔ {path} has nothing of rota's any more")?;
            }
        }
        if self.undo {
            return Ok(());
        }
        writeln!(out, "✔ done. Undo with: rota connect {} --undo", view.id())?;
        for note in view.notes() {
            writeln!(out, "  {note}")?;
        }
        Ok(())
    }

    fn told(&self, client: &Client, change: &Change) -> serde_json::Value {
        let backup = change.file.backup();
        json!({
            "client": client.id,
            "file": change.file.path,
            "undo": self.undo,
            "changes": change.lines(),
            "backup": backup.exists().then_some(backup),
            "kept": change.kept,
        })
    }

    /// A program that no file points at rota.
    fn without_file(
        &self,
        setup: &Setup,
        client: &Client,
        view: &ClientView,
        out: &mut dyn Write,
    ) -> Result<Exit, CliError> {
        if self.write || self.undo {
            let id = &client.id;
            return Err(CliError::failed(format!(
                "{} has no file that rota could change; `rota connect {id}` shows what to do instead",
                client.name
            )));
        }
        if setup.json {
            writeln!(out, "{}", json!(view))?;
            return Ok(Exit::Done);
        }
        for line in view.lines() {
            writeln!(out, "{line}")?;
        }
        Ok(Exit::Done)
    }
}

impl Change {
    fn apply(&self) -> Result<(), CliError> {
        let file = &self.file;
        match self.copy {
            Copy::Made => {
                file.put_copy_aside()?;
                file.keep_copy()?;
            }
            Copy::Aside => file.put_copy_aside()?,
            Copy::Goes | Copy::None | Copy::Stays => {}
        }
        match &self.text {
            Some(text) => file.replace(text)?,
            None => file.remove()?,
        }
        match self.copy {
            Copy::Goes => file.drop_copy(),
            Copy::Aside | Copy::Made | Copy::None | Copy::Stays => Ok(()),
        }
    }

    fn is_nothing(&self) -> bool {
        match &self.text {
            Some(text) => text == self.file.text(),
            None => !self.file.exists(),
        }
    }

    fn lines(&self) -> Vec<String> {
        let lines = diff(self.file.text(), self.text.as_deref().unwrap_or_default());
        let line = |line: &Line| match line {
            Line::Added(line) => format!("+ {line}"),
            Line::Removed(line) => format!("- {line}"),
        };
        lines.iter().map(line).collect()
    }
}

fn list(setup: &Setup, base: &str, out: &mut dyn Write) -> Result<Exit, CliError> {
    if setup.json {
        let view = ClientsView::at(base)
            .map_err(|bad| CliError::failed(format!("the table of clients cannot be read: {bad}")))?;
        writeln!(out, "{}", json!(view))?;
        return Ok(Exit::Done);
    }
    let wide = table()?.iter().map(|client| client.id.len()).max().unwrap_or(0);
    for client in table()?.iter().filter(|client| !client.is_any()) {
        writeln!(out, "  {:<wide$}  {}", client.id, client.about)?;
    }
    writeln!(out, "\nrota connect NAME shows what to do. rota runs at {base}, or will.")?;
    Ok(Exit::Done)
}

/// The file to change.
pub(super) fn place(setup: &Setup, client: &Client, config: &ConfigFile) -> Result<PathBuf, CliError> {
    let places = config.places(|name| setup.sources.variable(name));
    let found = places.iter().find(|place| place.exists()).or(places.last());
    let place = found.ok_or_else(|| {
        CliError::failed(format!(
            "where {} keeps its configuration is not known, as HOME is not set",
            client.name
        ))
    })?;
    std::path::absolute(place).map_err(|error| CliError::io(place.display(), &error))
}

fn connect(config: &ConfigFile, path: &Path, base: &str) -> Result<Change, CliError> {
    let file = ForeignFile::read(path)?;
    let text = config.connected(file.text(), base).map_err(|error| refused(path, &error))?;
    // One that points at rota already is not as it was before.
    let fresh = !config.is_connected(file.text()).unwrap_or(false);
    let copy = match (file.exists(), fresh, file.backup().exists()) {
        (true, true, _) => Copy::Made,
        (true, false, true) => Copy::Stays,
        (true, false, false) | (false, _, false) => Copy::None,
        (false, _, true) => Copy::Aside,
    };
    Ok(Change { file, text: Some(text), kept: Vec::new(), copy })
}

fn undo(config: &ConfigFile, path: &Path, base: &str) -> Result<Change, CliError> {
    let file = ForeignFile::read(path)?;
    if !file.exists() {
        return Ok(Change { file, text: None, kept: Vec::new(), copy: Copy::None });
    }
    let before = ForeignFile::read(&file.backup())?;
    let before = before.exists().then(|| before.text());
    let Undone { text, kept } =
        config.undone(file.text(), before, base).map_err(|error| refused(path, &error))?;
    let copy = match before {
        Some(before) if text.as_deref() == Some(before) => Copy::Goes,
        Some(_) => Copy::Stays,
        None => Copy::None,
    };
    Ok(Change { file, text, kept, copy })
}

fn refused(path: &Path, error: &EditError) -> CliError {
    CliError::failed(format!(
        "{} cannot be changed: {error}\n  nothing was changed; put that right, or set it by hand",
        path.display()
    ))
}
