//! A proxy of the environment would be given what a program means for rota. What exempts rota from it, as text.
use std::collections::BTreeMap;

/// Variables that name a proxy for plain HTTP, which is what rota speaks. Names are also read in lower case.
const PROXIES: [&str; 2] = ["HTTP_PROXY", "ALL_PROXY"];
/// Where programs look for what goes past the proxy; some read one, some the other.
const EXEMPT: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// This machine, as programs may call it.
const HERE: [&str; 3] = ["127.0.0.1", "localhost", "::1"];

/// The variables that a program needs besides those of `env`, so that it reaches this machine without a proxy: what was
/// exempt stays so. None where there is no proxy: some programs take the variable alone for a set of proxies of its own
/// and no longer ask the system for its own.
pub fn exempting(env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_set = |name: &str| env.get(name).is_some_and(|value| !value.trim().is_empty());
    if !PROXIES.iter().any(|name| is_set(name) || is_set(&name.to_ascii_lowercase())) {
        return BTreeMap::new();
    }
    let [upper, lower] = EXEMPT.map(|name| env.get(name).map(String::as_str).unwrap_or_default());
    // A program that found only one of them must find the same in the other.
    let either = |own: &str, other: &str| with_here(if own.trim().is_empty() { other } else { own });
    let lists = [either(upper, lower), either(lower, upper)];
    let needed = EXEMPT.into_iter().zip(lists).filter(|(name, list)| env.get(*name) != Some(list));
    needed.map(|(name, list)| (name.to_owned(), list)).collect()
}

fn with_here(list: &str) -> String {
    let there: Vec<&str> = list.split(',').map(str::trim).filter(|host| !host.is_empty()).collect();
    if there.contains(&"*") || HERE.iter().all(|host| there.contains(host)) {
        return list.to_owned();
    }
    let missing = HERE.into_iter().filter(|host| !there.contains(host));
    there.iter().copied().chain(missing).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn this_machine_is_exempt_from_every_proxy_and_what_was_exempt_stays_so() {
        let here = "127.0.0.1,localhost,::1";
        for (given, expected) in [
            (env(&[]), env(&[])),
            (env(&[("HTTPS_PROXY", "http://p"), ("HTTP_PROXY", " ")]), env(&[])),
            (env(&[("HTTP_PROXY", "http://p")]), env(&[("NO_PROXY", here), ("no_proxy", here)])),
            (env(&[("all_proxy", "socks5://p")]), env(&[("NO_PROXY", here), ("no_proxy", here)])),
            (
                env(&[("http_proxy", "http://p"), ("NO_PROXY", "corp.example, localhost")]),
                env(&[
                    ("NO_PROXY", "corp.example,localhost,127.0.0.1,::1"),
                    ("no_proxy", "corp.example,localhost,127.0.0.1,::1"),
                ]),
            ),
            (
                env(&[("http_proxy", "http://p"), ("NO_PROXY", "a"), ("no_proxy", "b")]),
                env(&[("NO_PROXY", "a,127.0.0.1,localhost,::1"), ("no_proxy", "b,127.0.0.1,localhost,::1")]),
            ),
            (env(&[("http_proxy", "http://p"), ("NO_PROXY", "*")]), env(&[("no_proxy", "*")])),
            (env(&[("http_proxy", "http://p"), ("NO_PROXY", here), ("no_proxy", here)]), env(&[])),
        ] {
            assert_eq!(exempting(&given), expected, "{given:?}");
        }
    }
}
