//! `rota config edit`: a draft beside the file is edited and read; it takes the file's place only if it is right.
use crate::cli::confirm::confirm;
use crate::cli::{CliError, Exit, Setup};
use crate::config::{Config, ConfigError, Sources, template};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is started where neither `$VISUAL` nor `$EDITOR` says.
const EDITOR: &str = "vi";
/// What a draft's name ends in.
const DRAFT: &str = ".draft";
/// The file may hold keys.
const PRIVATE: u32 = 0o600;

pub(super) fn run(setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
    let file = setup.sources.config_file();
    // Where a link leads: the link itself stays.
    let real = fs::canonicalize(&file).unwrap_or_else(|_| file.clone());
    let before = match fs::read_to_string(&real) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(CliError::io(format!("{} cannot be read", file.display()), &error)),
    };
    let draft = begin(&real, before.clone().unwrap_or_else(template))?;
    loop {
        open_editor(setup, &draft)?;
        let Err(wrong) = check(&setup.sources, &draft) else {
            break;
        };
        eprintln!("{wrong}\n");
        let again = io::stdin().is_terminal()
            && confirm("The file is not right, so it is not taken. Edit it again?")?;
        if !again {
            let draft = draft.display();
            let message = format!("{} is as it was; what you wrote is in {draft}", file.display());
            return Err(CliError { exit: Exit::Config, message });
        }
    }
    let text = fs::read_to_string(&draft).map_err(|error| CliError::io(draft.display(), &error))?;
    if before.as_ref() == Some(&text) {
        fs::remove_file(&draft).map_err(|error| CliError::io(draft.display(), &error))?;
        writeln!(out, "{} is as it was", file.display())?;
        return Ok(Exit::Done);
    }
    fs::rename(&draft, &real).map_err(|error| {
        CliError::io(
            format!("{} cannot be replaced; what you wrote is in {}", file.display(), draft.display()),
            &error,
        )
    })?;
    writeln!(
        out,
        "{} is right, and taken. A rota that runs reads it at SIGHUP, or when it is started anew",
        file.display()
    )?;
    Ok(Exit::Done)
}

/// A draft beside the file, so that it can take its place at once. One that was left behind is gone on with.
fn begin(file: &Path, text: String) -> Result<PathBuf, CliError> {
    let mut name = file.as_os_str().to_owned();
    name.push(DRAFT);
    let draft = PathBuf::from(name);
    if let Some(dir) = draft.parent() {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|error| CliError::io(dir.display(), &error))?;
    }
    let mode = fs::metadata(file).map_or(PRIVATE, |about| about.permissions().mode() & 0o777);
    match OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&draft) {
        Ok(mut made) => {
            let written = made
                .write_all(text.as_bytes())
                .and_then(|()| made.set_permissions(Permissions::from_mode(mode)));
            written.map_err(|error| CliError::io(draft.display(), &error))?;
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            eprintln!("rota: going on with {}, which was left behind", draft.display());
        }
        Err(error) => return Err(CliError::io(draft.display(), &error)),
    }
    Ok(draft)
}

/// The program of `$VISUAL` or `$EDITOR`, split at spaces; no shell takes part.
fn open_editor(setup: &Setup, draft: &Path) -> Result<(), CliError> {
    let named = ["VISUAL", "EDITOR"].into_iter().find_map(|name| setup.sources.variable(name));
    let mut words = named.unwrap_or(EDITOR).split_whitespace();
    let program = words.next().unwrap_or(EDITOR);
    let ended = Command::new(program).args(words).arg(draft).status().map_err(|error| {
        CliError::io(format!("the editor `{program}` cannot be started; name another in $EDITOR"), &error)
    })?;
    match ended.success() {
        true => Ok(()),
        false => Err(CliError::failed(format!(
            "the editor `{program}` failed; what you wrote is in {}",
            draft.display()
        ))),
    }
}

fn check(sources: &Sources, draft: &Path) -> Result<(), ConfigError> {
    // Presets lie beside the file, and so beside the draft.
    let read = sources.clone().with(Some(draft.to_owned()), None);
    Config::load(&read).map(|_| ())
}
