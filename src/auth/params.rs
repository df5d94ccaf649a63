//! The values of a token request's parameters, read anew for each request.
use super::program::Programs;
use crate::config::read_private;
use crate::model::{Alias, AliasText, Param};
use std::path::Path;
use std::time::Duration;

/// How long a program may take to print a parameter, and a file to be read.
const PATIENCE: Duration = Duration::from_secs(10);

/// The values for one account. The error is a sentence that names the parameter and holds no value.
pub(super) async fn resolve(
    params: &[(String, Param)],
    alias: &Alias,
    programs: &Programs,
) -> Result<Vec<(String, String)>, String> {
    let mut values = Vec::with_capacity(params.len());
    for (name, param) in params {
        let value = match param {
            Param::Env(variable) => variable_of(&variable.of(alias), programs),
            Param::Exec(argv) => printed(argv, alias, programs).await,
            Param::File(path) => file(path.of(alias)).await,
            Param::Text(text) => Ok(text.of(alias)),
        };
        values
            .push((name.clone(), value.map_err(|why| format!("the parameter {name} cannot be had: {why}"))?));
    }
    Ok(values)
}

fn variable_of(name: &str, programs: &Programs) -> Result<String, String> {
    let value = programs.variables().get(name);
    value
        .map(str::to_owned)
        .ok_or_else(|| format!("the environment variable {name} was not set when rota started"))
}

async fn printed(argv: &[AliasText], alias: &Alias, programs: &Programs) -> Result<String, String> {
    let words: Vec<String> = argv.iter().map(|word| word.of(alias)).collect();
    let text = programs.print(&words, PATIENCE).await?;
    Ok(text.as_str().to_owned())
}

/// A network file system may take its time.
async fn file(path: String) -> Result<String, String> {
    let read = tokio::task::spawn_blocking(move || {
        let about = std::fs::metadata(&path).map_err(|error| format!("{path}: {error}"))?;
        if !about.is_file() {
            return Err(format!("{path} is no file"));
        }
        let text = read_private(Path::new(&path)).map_err(|error| format!("{path}: {error}"))?;
        match text.trim() {
            "" => Err(format!("{path} is empty")),
            text => Ok(text.to_owned()),
        }
    });
    let read = tokio::time::timeout(PATIENCE, read).await;
    let read = read.map_err(|_| format!("it could not be read within {} s", PATIENCE.as_secs()))?;
    read.map_err(|_| "a thread failed".to_owned())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, Variables};
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn every_kind_of_parameter_is_read_for_the_account_and_anew_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("work");
        let params = [
            param("text", Param::Text(AliasText::new("for {alias}"))),
            param("env", Param::Env(AliasText::new("KEY_{alias}"))),
            param("file", Param::File(AliasText::new(dir.path().join("{alias}").display().to_string()))),
            param("exec", Param::Exec(words(&["printf", "%s\n", "printed for {alias}"]))),
        ];
        for content in ["first", "second"] {
            write(&file, format!("{content}\n")).unwrap();
            set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
            let values = resolve(&params, &alias(), &programs()).await.unwrap();
            let expected =
                [("text", "for work"), ("env", "v"), ("file", content), ("exec", "printed for work")];
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(values, expected);
        }
    }

    /// OBS-3
    #[tokio::test]
    async fn a_parameter_that_cannot_be_had_is_named_without_a_value() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, mode: u32, text: &str| {
            let path = dir.path().join(name);
            write(&path, text).unwrap();
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            Param::File(AliasText::new(path.display().to_string()))
        };
        let table = [
            (
                Param::Env(AliasText::new("NONE")),
                "the environment variable NONE was not set when rota started",
            ),
            (make("open", 0o644, "canary"), "chmod 600"),
            (make("empty", 0o600, " \n"), "is empty"),
            (Param::File(AliasText::new("/dev/null")), "is no file"),
            (Param::File(AliasText::new("/nowhere/x")), "/nowhere/x: No such file"),
            (Param::Exec(words(&["sh", "-c", "echo canary; exit 4"])), "ended with status 4"),
        ];
        for (source, said) in table {
            let why = resolve(&[param("client_secret", source)], &alias(), &programs()).await.unwrap_err();
            assert!(why.starts_with("the parameter client_secret cannot be had: "), "{why}");
            assert!(why.contains(said) && !why.contains("canary"), "{why}");
        }
    }

    fn param(name: &str, param: Param) -> (String, Param) {
        (name.to_owned(), param)
    }

    fn words(list: &[&str]) -> Vec<AliasText> {
        list.iter().map(|word| AliasText::new(*word)).collect()
    }

    fn alias() -> Alias {
        "work".parse().unwrap()
    }

    fn programs() -> Programs {
        let env = [("PATH", "/usr/bin:/bin"), ("KEY_work", "v")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Programs::new(Variables::of(&Sources { env: env.into(), ..Sources::default() }))
    }
}
