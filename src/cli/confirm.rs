use super::CliError;
use std::io::{IsTerminal, Write};

/// Asks a yes-or-no question on a terminal. Without one, a destructive command needs `--yes`.
pub(super) fn confirm(question: &str) -> Result<bool, CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::failed(format!(
            "{question} There is no terminal to ask on; give --yes if you mean it"
        )));
    }
    eprint!("{question} [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
