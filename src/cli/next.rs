//! What a newcomer does next, once there is an account.
use super::connect::table;
use std::io::{self, Write};

/// What a second account is for, where this is the first; and how a program is run with an account of `provider`.
pub(super) fn steps(accounts: usize, provider: &str) -> Vec<String> {
    let second = "rota login home         a second account is where it gets useful".to_owned();
    let second = (accounts == 1).then_some(second);
    let clients = table().unwrap_or_default();
    let program = clients.iter().find_map(|client| client.program_of(provider)).unwrap_or("CMD");
    let run = format!("rota run -- {program}");
    second.into_iter().chain([format!("{run:<23} use it now")]).collect()
}

/// Below what was done.
pub(super) fn tell(steps: &[String], out: &mut dyn Write) -> io::Result<()> {
    for (place, step) in steps.iter().enumerate() {
        let lead = if place == 0 { "\nNext:  " } else { "       " };
        writeln!(out, "{lead}{step}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// UX: the first account says what a second is for; the program is the one that its provider is for.
    #[test]
    fn the_next_step_names_the_program_that_the_account_is_for() {
        let second = "rota login home         a second account is where it gets useful";
        for client in table().expect("the table") {
            let Some(program) = client.programs.first() else { continue };
            for provider in ["codex", "anthropic", "gemini"] {
                if client.program_of(provider).is_some() {
                    let run = format!("rota run -- {program}");
                    assert_eq!(steps(1, provider), [second.to_owned(), format!("{run:<23} use it now")]);
                }
            }
        }
        assert_eq!(steps(2, "of-my-own"), ["rota run -- CMD         use it now"]);
        let mut out = Vec::new();
        tell(&["one".to_owned(), "two".to_owned()], &mut out).expect("written");
        assert_eq!(out, b"\nNext:  one\n       two\n");
    }
}
