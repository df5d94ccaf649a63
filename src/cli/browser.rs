//! Opens a page in the person's browser. That none can be opened is nothing to fail over: the address is shown too.
use crate::config::Sources;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// What opens a page where `$BROWSER` does not say.
#[cfg(target_os = "macos")]
const OPENERS: &str = "open";
#[cfg(not(target_os = "macos"))]
const OPENERS: &str = "xdg-open";

/// Starts the first program of `$BROWSER`, else of the system's, that can be started; false if there is none. What
/// becomes of it is not waited for.
pub(super) fn open(sources: &Sources, address: &str) -> bool {
    commands(sources.variable("BROWSER").unwrap_or(OPENERS), address).into_iter().any(start)
}

/// `$BROWSER` as xdg-open(1) reads it: programs separated by colons, with arguments, of which `%s` is the address. It is
/// split at spaces and never goes through a shell.
fn commands(browsers: &str, address: &str) -> Vec<Vec<String>> {
    let command = |browser: &str| {
        let mut words: Vec<String> =
            browser.split_whitespace().map(|word| word.replace("%s", address)).collect();
        if !words.is_empty() && !browser.contains("%s") {
            words.push(address.to_owned());
        }
        words
    };
    browsers.split(':').map(command).filter(|words| !words.is_empty()).collect()
}

/// In a process group of its own, so that Ctrl-C does not end it, and away from this terminal.
fn start(words: Vec<String>) -> bool {
    let Some((program, arguments)) = words.split_first() else {
        return false;
    };
    let quiet = || Stdio::null();
    let mut command = Command::new(program);
    command.args(arguments).stdin(quiet()).stdout(quiet()).stderr(quiet()).process_group(0);
    match command.spawn() {
        Ok(mut child) => {
            // It is waited for by a thread that nobody waits for, so that it leaves no zombie.
            std::thread::spawn(move || child.wait());
            true
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_tried_in_order_and_get_the_address_as_one_argument() {
        let address = "https://a.example/?x=1&y=$(id)";
        let cases: &[(&str, &[&[&str]])] = &[
            ("firefox", &[&["firefox", address]]),
            ("w3m -o x=y %s:lynx", &[&["w3m", "-o", "x=y", address], &["lynx", address]]),
            ("app --url=%s", &[&["app", "--url=https://a.example/?x=1&y=$(id)"]]),
            (" : ", &[]),
        ];
        for (browsers, expected) in cases {
            assert_eq!(&commands(browsers, address), expected, "{browsers:?}");
        }
    }

    #[test]
    fn a_browser_that_is_not_there_is_not_opened() {
        assert!(!start(vec!["/nowhere/at/all".to_owned()]));
        assert!(start(vec!["/bin/sh".to_owned(), "-c".to_owned(), "exit 1".to_owned()]));
    }
}
