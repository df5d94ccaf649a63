use super::query;
use crate::auth::grant;
use crate::model::Secret;

/// What is pasted, at most: an address with a code in it is a few hundred bytes.
const PASTE: usize = 16 * 1024;

/// What a browser came back with (RFC 6749 §4.1.2), before anybody looked at its `state`.
#[derive(Debug)]
pub(super) struct Callback {
    /// Whose answer it says it is; none is nobody's.
    pub(super) state: Option<Secret>,
    pub(super) answer: Answer,
}

/// The answer itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Single-use, and of no use without the verifier.
    Code(Secret),
    /// No code, but a word on why: `access_denied` is the person's own no.
    Refused(String),
}

impl Answer {
    /// The word of a person who does not agree.
    pub(super) const DENIED: &'static str = "access_denied";
}

impl Callback {
    /// The query of the redirection. None where it is no answer at all.
    pub(super) fn of_query(query: &str) -> Option<Self> {
        let mut fields = query::fields(query)?;
        let mut take = |name: &str| {
            let at = fields.iter().position(|(there, _)| there == name)?;
            Some(fields.swap_remove(at).1).filter(|value| !value.is_empty())
        };
        let state = take("state").map(Secret::new);
        let answer = match (take("error"), take("code")) {
            (Some(error), _) => Answer::Refused(grant::word(&error)),
            (None, Some(code)) => Answer::Code(code_of(&code)?),
            (None, None) => return None,
        };
        Some(Self { state, answer })
    }

    /// What a person pasted: the whole address at which the browser ended, its query, `code#state` or `code&state`.
    /// Blanks and line breaks come from terminals and mean nothing.
    pub(super) fn of_paste(text: &str) -> Option<Self> {
        if text.len() > PASTE {
            return None;
        }
        let text: String = text.chars().filter(|char| !char.is_whitespace()).collect();
        let is_address = text.contains("://") || text.starts_with('/');
        if is_address {
            let (_, rest) = text.split_once(['?', '#'])?;
            let (query, fragment) = rest.split_once('#').unwrap_or((rest, ""));
            return Self::of_query(query).or_else(|| Self::of_query(fragment));
        }
        let text = text.trim_start_matches('?');
        if text.starts_with("code=") || text.contains("&code=") || text.contains("error=") {
            return Self::of_query(text.split('#').next().unwrap_or(text));
        }
        let (code, state) = match text.split_once(['#', '&']) {
            Some((code, state)) => (code, state.strip_prefix("state=").unwrap_or(state)),
            None => (text, ""),
        };
        let state = (!state.is_empty()).then(|| Secret::new(state));
        Some(Self { state, answer: Answer::Code(code_of(code)?) })
    }
}

/// A code goes into a request: what no code can be is none.
fn code_of(text: &str) -> Option<Secret> {
    let is_one = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_one.then(|| Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What may be pasted, and what it is taken for: code or error, and state.
    const PASTED: &[(&str, Option<(&str, &str)>)] = &[
        ("http://localhost:1455/auth/callback?code=c&state=s", Some(("c", "s"))),
        ("http://localhost:1455/auth/callback?state=s&scope=a+b&code=c%2F1#", Some(("c/1", "s"))),
        ("  https://example.com/callback?code=c&\n  state=s \n", Some(("c", "s"))),
        ("https://example.com/callback#code=c&state=s", Some(("c", "s"))),
        ("https://example.com/callback?x=1#code=c&state=s", Some(("c", "s"))),
        ("/auth/callback?code=c&state=s", Some(("c", "s"))),
        ("?code=c&state=s", Some(("c", "s"))),
        ("code=c&state=s", Some(("c", "s"))),
        ("state=s&code=c", Some(("c", "s"))),
        ("c#s", Some(("c", "s"))),
        ("c&s", Some(("c", "s"))),
        ("c&state=s", Some(("c", "s"))),
        ("c", Some(("c", ""))),
        ("http://localhost/cb?code=c", Some(("c", ""))),
        ("http://localhost/cb?code=c&state=", Some(("c", ""))),
        ("http://localhost/cb?error=access_denied&state=s", Some(("error access_denied", "s"))),
        (
            "http://localhost/cb?code=c&error=x%20y&state=s",
            Some(("error an error without a plain code", "s")),
        ),
        ("", None),
        ("#s", None),
        ("é#s", None),
        ("http://localhost/cb", None),
        ("http://localhost/cb?state=s", None),
        ("http://localhost/cb?code=a&code=b&state=s", None),
        ("http://localhost/cb?code=a&state=s&state=t", None),
        ("http://localhost/cb?code=%00&state=s", None),
    ];

    /// REN-5
    #[test]
    fn what_people_paste_is_understood_and_what_is_ambiguous_is_not() {
        for (pasted, expected) in PASTED {
            let read = Callback::of_paste(pasted);
            assert_eq!(read.is_some(), expected.is_some(), "{pasted}");
            let (Some(read), Some((answer, state))) = (read, *expected) else {
                continue;
            };
            let answer = match answer.strip_prefix("error ") {
                Some(error) => Answer::Refused(error.to_owned()),
                None => Answer::Code(Secret::new(answer)),
            };
            let state = (!state.is_empty()).then(|| Secret::new(state));
            assert!(read.answer == answer && read.state == state, "{pasted}: {read:?}");
        }
        assert!(Callback::of_paste(&"c".repeat(PASTE + 1)).is_none());
    }

    proptest! {
        /// REN-5
        #[test]
        fn no_text_is_too_odd_to_be_pasted(text in "\\PC{0,200}", code in "[ -~]{0,20}", state in "[ -~]{0,20}") {
            let _ = (Callback::of_paste(&text), Callback::of_query(&text));
            for pasted in [
                format!("http://localhost/?code={code}&state={state}"),
                format!("{code}#{state}"),
                format!("{code}&{state}"),
            ] {
                let _ = Callback::of_paste(&pasted);
            }
        }

        /// OBS-3
        #[test]
        fn what_came_back_is_not_shown(code in "[a-z0-9]{12,20}", state in "[a-z0-9]{12,20}") {
            let callback = Callback::of_paste(&format!("{code}#{state}")).unwrap();
            let told = format!("{callback:?}");
            prop_assert!(!told.contains(&code) && !told.contains(&state));
        }
    }
}
