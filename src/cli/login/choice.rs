//! Which provider a person means.
use super::CliError;
use crate::model::Provider;

/// How much two names must be alike for one to be offered in place of the other.
const ALIKE: f64 = 0.8;

/// What can be said without asking.
#[derive(Debug)]
pub(super) enum Choice<'a> {
    /// Several would do: the person is to be asked.
    Ask(Vec<&'a Provider>),
    /// This one.
    Take(&'a Provider),
}

/// Chooses for a new account `alias`: the one that was named; else the only one there is; else the one that the alias is
/// called after, as `codex-2` is after `codex`.
pub(super) fn choose<'a>(
    providers: &'a [Provider],
    named: Option<&str>,
    alias: &str,
) -> Result<Choice<'a>, CliError> {
    let offers: Vec<&Provider> = providers.iter().filter(|provider| provider.login.is_some()).collect();
    if let Some(named) = named {
        return by_name(providers, &offers, named, alias).map(Choice::Take);
    }
    if let [only] = offers[..] {
        return Ok(Choice::Take(only));
    }
    let after = |provider: &&&Provider| is_after(alias, provider.id.as_str());
    match offers.iter().filter(after).collect::<Vec<_>>()[..] {
        [hinted] => Ok(Choice::Take(hinted)),
        _ if offers.is_empty() => Err(CliError::failed(
            "no provider of this configuration has a login; `rota accounts add` takes a key",
        )),
        _ => Ok(Choice::Ask(offers)),
    }
}

fn is_after(alias: &str, id: &str) -> bool {
    alias.strip_prefix(id).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.', '_']))
}

fn by_name<'a>(
    providers: &'a [Provider],
    offers: &[&'a Provider],
    named: &str,
    alias: &str,
) -> Result<&'a Provider, CliError> {
    if let Some(provider) = offers.iter().find(|provider| provider.id.as_str() == named) {
        return Ok(provider);
    }
    if providers.iter().any(|provider| provider.id.as_str() == named) {
        return Err(CliError::failed(format!(
            "{named} has no login; add a key: rota accounts add {alias} --provider {named} --key-file FILE"
        )));
    }
    let score = |provider: &&&Provider| strsim::jaro_winkler(named, provider.id.as_str());
    let near = offers.iter().filter(|provider| score(provider) > ALIKE);
    let near = near.max_by(|one, two| score(one).total_cmp(&score(two)));
    let hint = near.map_or_else(String::new, |near| {
        format!("\n  did you mean: rota login {alias} --provider {}", near.id.as_str())
    });
    let there = if offers.is_empty() { "none has".to_owned() } else { format!("{} have", ids(offers)) };
    Err(CliError::failed(format!("there is no provider {named:?} with a login; {there}{hint}")))
}

/// Says what to add where nobody can be asked.
pub(super) fn unasked(offers: &[&Provider], alias: &str) -> CliError {
    let lines: Vec<String> = offers
        .iter()
        .map(|provider| {
            format!("\n  rota login {alias} --provider {:<14} {}", provider.id.as_str(), provider.name)
        })
        .collect();
    CliError::failed(format!("which provider is {alias} to be signed in to?{}", lines.concat()))
}

/// The provider that an answer means: its id, or its place in the list, from 1.
pub(super) fn answered<'a>(offers: &[&'a Provider], answer: &str) -> Option<&'a Provider> {
    let answer = answer.trim();
    let place = || offers.get(answer.parse::<usize>().ok()?.checked_sub(1)?);
    offers.iter().find(|provider| provider.id.as_str() == answer).or_else(place).copied()
}

fn ids(offers: &[&Provider]) -> String {
    offers.iter().map(|provider| provider.id.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};
    use std::collections::BTreeMap;

    #[test]
    fn a_provider_is_taken_if_it_is_named_alone_or_hinted_and_asked_for_else() {
        let providers = providers(&["acme", "globex"]);
        let cases = [
            (Some("acme"), "work", "take acme"),
            (
                Some("acmee"),
                "work",
                "there is no provider \"acmee\" with a login; acme, globex have\n  did you mean: rota login work --provider acme",
            ),
            (Some("zzz"), "work", "there is no provider \"zzz\" with a login; acme, globex have"),
            (
                Some("openai"),
                "work",
                "openai has no login; add a key: rota accounts add work --provider openai --key-file FILE",
            ),
            (None, "globex", "take globex"),
            (None, "acme-2", "take acme"),
            (None, "acmeish", "ask acme, globex"),
            (None, "work", "ask acme, globex"),
        ];
        for (named, alias, expected) in cases {
            assert_eq!(told(&providers, named, alias), expected, "{named:?} {alias}");
        }
        assert_eq!(told(&providers[1..2], None, "work"), "take acme");
        let none = "no provider of this configuration has a login; `rota accounts add` takes a key";
        assert_eq!(told(&providers[..1], None, "work"), none);
    }

    #[test]
    fn an_answer_is_an_id_or_a_place() {
        let providers = providers(&["acme", "globex"]);
        let offers: Vec<&Provider> = providers[1..].iter().collect();
        let answers = ["2\n", "acme", "0", "3", "", "gl"];
        let got =
            answers.map(|answer| answered(&offers, answer).map_or("-", |provider| provider.id.as_str()));
        assert_eq!(got, ["globex", "acme", "-", "-", "-", "-"]);
        let words = unasked(&offers, "work").message;
        assert!(
            words.contains("\n  rota login work --provider acme ") && words.ends_with("globex"),
            "{words}"
        );
    }

    fn told(providers: &[Provider], named: Option<&str>, alias: &str) -> String {
        match choose(providers, named, alias) {
            Ok(Choice::Take(provider)) => format!("take {}", provider.id.as_str()),
            Ok(Choice::Ask(offers)) => format!("ask {}", ids(&offers)),
            Err(error) => error.message,
        }
    }

    /// `openai`, which has none, and `names` with a login.
    fn providers(names: &[&str]) -> Vec<Provider> {
        let env = BTreeMap::from([("HOME".to_owned(), "/nowhere".to_owned())]);
        let sources = Sources { env, ..Sources::default() };
        let all = Config::load(&sources).expect("the defaults").config.providers;
        let plain = all.into_iter().find(|provider| provider.id.as_str() == "openai").expect("a preset");
        let with = |name: &&str| Provider {
            id: (*name).try_into().expect("an id"),
            name: (*name).to_owned(),
            login: Some(crate::model::LoginFlows { browser: None, device: None }),
            ..plain.clone()
        };
        std::iter::once(plain.clone()).chain(names.iter().map(with)).collect()
    }
}
