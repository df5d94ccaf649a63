//! The program itself: how it is pointed at rota, and how it is started.
use crate::cli::{CliError, Exit};
use crate::clients::{Client, Told, exempting};
use crate::config::Sources;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use tokio::process::{Child, Command};

/// Starts it, told of rota. Input, output, the terminal and the environment are those that this process was given,
/// but for what points it at rota and what is secret to rota.
pub(super) fn start(
    client: &Client,
    command: &[OsString],
    told: Told<'_>,
    sources: &Sources,
) -> Result<Child, CliError> {
    let arguments = client.run_arguments(told);
    let env = client.run_env(told);
    if arguments.is_empty() && env.is_empty() {
        let why = client.no_env.as_deref().unwrap_or("it reads neither variables nor options");
        return Err(CliError::failed(format!("{} cannot be pointed at rota: {why}", client.name)));
    }
    let words = with_arguments(client, command, arguments)?;
    let Some((program, rest)) = words.split_first() else {
        return Err(CliError::failed("there is no command"));
    };
    let mut command = Command::new(program);
    command.args(rest).envs(sources.variables_of_others()).envs(exempting(&sources.env)).envs(env);
    for name in client.run_unset() {
        command.env_remove(name);
    }
    command.spawn().map_err(|error| {
        let exit = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
        let message = format!("{} cannot be started: {error}", program.to_string_lossy());
        CliError { exit: Exit::Program(exit), message }
    })
}

/// The options go right behind the program's own name, which something like `npx` may stand before.
fn with_arguments(
    client: &Client,
    command: &[OsString],
    arguments: Vec<String>,
) -> Result<Vec<OsString>, CliError> {
    let mut words = command.to_vec();
    if arguments.is_empty() {
        return Ok(words);
    }
    let name = |word: &OsString| Path::new(word).file_name().map(OsStr::to_os_string);
    let is_it = |word: &OsString| name(word).is_some_and(|name| client.runs(&name.to_string_lossy()));
    let at = words.iter().position(is_it).ok_or_else(|| {
        CliError::failed(format!(
            "the command does not name {}, so its options cannot be put behind it; `rota connect {}` sets it up instead",
            client.programs.join(" or "),
            client.id
        ))
    })?;
    words.splice(at + 1..at + 1, arguments.into_iter().map(OsString::from));
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::clients;

    fn with_options(command: &[&str]) -> Result<Vec<String>, CliError> {
        let all = clients().expect("the table");
        let client = all
            .iter()
            .find(|client| !client.run_arguments(Told { base: "http://x", key: None }).is_empty())
            .expect("one");
        let name = client.programs.first().expect("a program");
        let command: Vec<OsString> = command.iter().map(|word| word.replace("NAME", name).into()).collect();
        let words = with_arguments(client, &command, vec!["-o".to_owned()])?;
        Ok(words.iter().map(|word| word.to_string_lossy().replace(name, "NAME")).collect())
    }

    #[test]
    fn options_go_behind_the_programs_own_name() {
        assert_eq!(with_options(&["NAME", "x"]).expect("words"), ["NAME", "-o", "x"]);
        assert_eq!(with_options(&["/bin/NAME"]).expect("words"), ["/bin/NAME", "-o"]);
        assert_eq!(with_options(&["npx", "NAME", "x"]).expect("words"), ["npx", "NAME", "-o", "x"]);
        let error = with_options(&["sh", "-c", "x"]).expect_err("no name");
        assert!(error.message.contains("rota connect"), "{error}");
    }
}
