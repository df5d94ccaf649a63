//! The URLs of logins and tokens as a preset writes them.
use super::leaf::{Leaf, Path};
use crate::model::{Endpoint, Origin};

/// A query longer than this is a mistake.
const LONGEST_QUERY: usize = 2048;

/// Where a request of rota's goes: an origin and a path.
#[derive(Clone, Debug)]
pub(super) struct RequestUrl(pub(super) Endpoint);

impl Leaf for RequestUrl {
    const EXPECTED: &'static str = "a URL such as \"https://auth.example.com/oauth/token\"";
    const PATTERN: &'static str = "^https?://[^/?#]+/[^?#]*$";
    fn read(text: &str) -> Result<Self, String> {
        let url = split(text).ok_or_else(|| wrong(Self::EXPECTED))?;
        if url.path.contains('?') {
            return Err(wrong(Self::EXPECTED));
        }
        endpoint(url, Self::EXPECTED).map(Self)
    }
}

/// A page for people: an origin, a path, perhaps a query.
#[derive(Clone, Debug)]
pub(super) struct PageUrl(pub(super) Endpoint);

impl Leaf for PageUrl {
    const EXPECTED: &'static str = "the URL of a page such as \"https://auth.example.com/oauth/authorize\"";
    const PATTERN: &'static str = "^https?://[^/?#]+/[^#]*$";
    fn read(text: &str) -> Result<Self, String> {
        endpoint(split(text).ok_or_else(|| wrong(Self::EXPECTED))?, Self::EXPECTED).map(Self)
    }
}

/// A URL that is compared byte by byte at the provider, so that it stays as it is written.
#[derive(Clone, Debug)]
pub(super) struct ExactUrl(pub(super) String);

impl Leaf for ExactUrl {
    const EXPECTED: &'static str = "a URL such as \"https://auth.example.com/oauth/callback\"";
    const PATTERN: &'static str = "^https?://[^/?#]+/[^#]*$";
    fn read(text: &str) -> Result<Self, String> {
        PageUrl::read(text).map_err(|_| wrong(Self::EXPECTED))?;
        Ok(Self(text.to_owned()))
    }
}

struct Parts<'a> {
    origin: &'a str,
    path: &'a str,
}

fn split(text: &str) -> Option<Parts<'_>> {
    let host = text.find("://")? + 3;
    let slash = text[host..].find('/')? + host;
    let (origin, path) = text.split_at(slash);
    Some(Parts { origin, path })
}

fn endpoint(Parts { origin, path }: Parts<'_>, expected: &str) -> Result<Endpoint, String> {
    let (bare, query) = match path.split_once('?') {
        Some((bare, query)) => (bare, Some(query)),
        None => (path, None),
    };
    let plain = |query: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.~:@/?%&=+!$'()*,;".contains(&b);
        !query.is_empty() && query.len() <= LONGEST_QUERY && query.bytes().all(allowed)
    };
    if Path::read(bare).is_err() || !query.is_none_or(plain) {
        return Err(wrong(expected));
    }
    Ok(Endpoint { origin: Origin::parse(origin)?, path: path.to_owned() })
}

/// The value is not repeated: a URL may hold a password.
fn wrong(expected: &str) -> String {
    format!("this is not {expected}: https:// (http:// on loopback), a host, a path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_an_origin_and_a_path_and_only_a_page_has_a_query() {
        for (text, request, page) in [
            ("https://a.example/oauth/token", true, true),
            ("http://127.0.0.1:9/oauth/token", true, true),
            ("https://a.example/authorize?prompt=login&x=%20", false, true),
            ("https://a.example/", false, false),
            ("https://a.example", false, false),
            ("https://a.example/a?", false, false),
            ("https://a.example/a#b", false, false),
            ("https://a.example/a b", false, false),
            ("https://a.example/a?b=\"c\"", false, false),
            ("http://a.example/oauth/token", false, false),
            ("https://me:canary@a.example/oauth/token", false, false),
            ("a.example/oauth/token", false, false),
            ("", false, false),
        ] {
            assert_eq!(RequestUrl::read(text).is_ok(), request, "{text}");
            assert_eq!(PageUrl::read(text).is_ok(), page, "{text}");
            assert_eq!(ExactUrl::read(text).is_ok(), page, "{text}");
        }
    }

    /// OBS-3
    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        for text in ["https://me:canary@a.example/x", "https://me:canary@a.example", "canary"] {
            let errors = [
                RequestUrl::read(text).expect_err(text),
                PageUrl::read(text).expect_err(text),
                ExactUrl::read(text).expect_err(text),
            ];
            assert!(errors.iter().all(|error| !error.contains("canary")), "{errors:?}");
        }
    }
}
