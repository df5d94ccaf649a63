//! The providers in force: the presets in the binary, the user's presets over them by id, and what `[providers.ID]`
//! and `[[route]]` change.
use super::file::{FileLayer, OVERRIDES, RouteTable, file_name, read_text};
use super::layers::Layers;
use super::presets;
use super::problem::{ConfigError, Place, Problem, Show};
use super::value::{Bad, nearest, shown, text};
use crate::model::{DeviceFlow, Origin, Provider, Route, TokenEndpoint, TokenSource};
use http::HeaderName;
use std::path::{Path, PathBuf};
use toml::Value;

/// More presets of one's own than this are a mistake.
const MOST_PRESETS: usize = 256;
/// A longer path prefix is a mistake.
const LONGEST_PREFIX: usize = 256;

/// The presets in the binary and those in `dir`. None when one of them cannot be used: `problems` says why.
pub(super) fn presets(dir: &Path, problems: &mut Vec<Problem>) -> Option<Vec<Provider>> {
    let mut texts = Vec::new();
    for path in files(dir, problems) {
        match read_text(&path) {
            Ok(text) => texts.push((path.display().to_string(), text.unwrap_or_default())),
            Err(bad) => {
                let place = Place::File(path.clone());
                problems.push(Problem::error(&file_name(&path), bad, place));
            }
        }
    }
    let wrong = |error: presets::PresetError| {
        let bad = Bad::new(error.to_string(), "");
        problems.push(Problem::error("providers", bad, Place::Nowhere));
    };
    presets::load(&texts).map_err(wrong).ok()
}

/// `*.toml` in `dir`, in order. No directory is none.
pub(super) fn files(dir: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let mut problem = |what: String, allowed: &str| {
        let place = Place::File(dir.to_owned());
        problems.push(Problem::error("providers", Bad::new(what, allowed), place));
    };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            problem(
                format!("the directory of presets cannot be read: {error}"),
                "check that it is a directory and that you may read it",
            );
            return Vec::new();
        }
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|found| found == "toml")).collect();
    paths.sort();
    if paths.len() > MOST_PRESETS {
        problem(format!("{} presets are too many", paths.len()), "allowed: at most 256");
        paths.truncate(MOST_PRESETS);
    }
    paths
}

/// Applies `[providers.ID]` and `[[route]]`. What is wrong goes to `problems`.
pub(super) fn adjust(mut all: Vec<Provider>, layers: &Layers, problems: &mut Vec<Problem>) -> Vec<Provider> {
    let in_env = layers.env.keys();
    let keys = layers.file.leaves.keys().chain(in_env);
    let mut keys: Vec<&String> = keys.filter(|key| key.starts_with("providers.")).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        if let Err(bad) = override_one(&mut all, key, layers) {
            problems.push(layers.error(key, bad));
        }
    }
    for route in &layers.file.routes {
        if let Err(error) = add_route(&mut all, route, &layers.file) {
            problems.extend(error.into_problems());
        }
    }
    all
}

fn override_one(all: &mut [Provider], key: &str, layers: &Layers) -> Result<(), Bad> {
    let path = key.strip_prefix("providers.").unwrap_or(key);
    let (id, field) = path.rsplit_once('.').unwrap_or((path, ""));
    let provider = find(all, id)?;
    let Some(value) = layers.in_force(key) else {
        return Ok(());
    };
    let written = text(value)?;
    let url = |text: &str| {
        Origin::parse(text)
            .map_err(|why| Bad::new(why, "allowed: an origin such as \"https://api.example.com\""))
    };
    match field {
        "auth_origin" => sign_in_at(provider, &url(written)?),
        "base" => {
            provider.base = base(value)?;
            Ok(())
        }
        "origin" => {
            provider.origin = url(written)?;
            Ok(())
        }
        "token_url" => {
            let (origin, path) = split_url(written)?;
            let token = endpoint(provider)?;
            token.origin = url(origin)?;
            path.clone_into(&mut token.path);
            Ok(())
        }
        _ => Err(Bad::new("a provider has no such key here", format!("allowed: {}", OVERRIDES.join(", ")))),
    }
}

fn endpoint(provider: &mut Provider) -> Result<&mut TokenEndpoint, Bad> {
    match &mut provider.token {
        Some(TokenSource::Endpoint(endpoint)) => Ok(endpoint),
        Some(TokenSource::Command(_)) | None => Err(Bad::new(
            format!("the provider {:?} has no token endpoint", provider.id.as_str()),
            "remove it",
        )),
    }
}

/// Everything of logins and tokens is asked for at `origin` instead, under the paths of the preset. `token_url` comes
/// later in the order of the keys, so that it goes before this.
fn sign_in_at(provider: &mut Provider, origin: &Origin) -> Result<(), Bad> {
    origin.clone_into(&mut endpoint(provider)?.origin);
    let moved = |url: &mut String| {
        let host = url.find("://").map_or(0, |at| at + 3);
        let path = url[host..].find('/').map_or("", |at| &url[host + at..]);
        *url = format!("{origin}{path}");
    };
    let Some(login) = &mut provider.login else {
        return Ok(());
    };
    if let Some(browser) = &mut login.browser {
        browser.authorize.origin = origin.clone();
        if let Some(paste) = &mut browser.paste {
            moved(paste);
        }
    }
    match &mut login.device {
        Some(DeviceFlow::Code { start, poll, page, redirect }) => {
            start.origin = origin.clone();
            poll.origin = origin.clone();
            moved(page);
            moved(redirect);
        }
        Some(DeviceFlow::Standard { start, .. }) => start.origin = origin.clone(),
        None => {}
    }
    Ok(())
}

/// An origin and the path after it.
fn split_url(written: &str) -> Result<(&str, &str), Bad> {
    let host = written.find("://").map_or(0, |at| at + 3);
    let path = written[host..].find('/').map(|at| host + at);
    match path {
        Some(at) if is_path(&written[at..]) => Ok(written.split_at(at)),
        Some(_) | None => Err(Bad::new(
            format!("{written:?} is not the URL of a token endpoint"),
            "allowed: an origin and a path, such as \"https://auth.example.com/oauth/token\"",
        )),
    }
}

fn base(value: &Value) -> Result<String, Bad> {
    let base = text(value)?;
    if base.is_empty() || is_path(base) {
        return Ok(base.to_owned());
    }
    Err(Bad::new(
        format!("{} is not a path prefix", shown(value)),
        "allowed: \"\", or a path that starts with / and does not end with one, such as \"/v1\"",
    ))
}

/// `/a/b`: what can be compared byte by byte (ROU-4).
fn is_path(path: &str) -> bool {
    let segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:@!$&'()*+,;=".contains(&b))
    };
    let Some(rest) = path.strip_prefix('/') else {
        return false;
    };
    path.len() <= LONGEST_PREFIX && rest.split('/').all(segment)
}

fn find<'a>(all: &'a mut [Provider], id: &str) -> Result<&'a mut Provider, Bad> {
    let ids: Vec<String> = all.iter().map(|known| known.id.to_string()).collect();
    let known = all.iter_mut().find(|known| known.id.as_str() == id);
    known.ok_or_else(|| {
        Bad::new(
            format!("there is no provider {id:?}"),
            format!("allowed: {}; or add a preset of your own", ids.join(", ")),
        )
        .near(nearest(id, ids.iter().map(String::as_str)))
    })
}

/// Adds a route of the user's to its provider, and takes those it replaces away: the same prefix with the same header.
fn add_route(all: &mut [Provider], table: &RouteTable, file: &FileLayer) -> Result<(), ConfigError> {
    let at = |key: &str, bad: Bad| {
        let span = table.fields.get(key).map_or(&table.span, |leaf| &leaf.span);
        let place = file.place(span, Show::Spot);
        ConfigError::from(Problem::error(&format!("route.{key}"), bad, place))
    };
    let field = |key: &str| {
        let leaf = table.fields.get(key);
        let written = leaf.map(|leaf| text(&leaf.value).map_err(|bad| at(key, bad)));
        written.transpose()
    };
    let needed = |key: &str| {
        let missing = || Bad::new(format!("a route needs a {key}"), "add it");
        field(key)?.ok_or_else(|| at(key, missing()))
    };
    let prefix = needed("prefix")?;
    if !is_path(prefix) {
        let bad = Bad::new(
            format!("{prefix:?} is not a path prefix"),
            "allowed: a path that starts with / and does not end with one, such as \"/v1\"",
        );
        return Err(at("prefix", bad));
    }
    let header = field("header")?.map(|name| {
        HeaderName::try_from(name).map_err(|_| {
            let bad = Bad::new(format!("{name:?} is not the name of a header"), "");
            at("header", bad)
        })
    });
    let header = header.transpose()?;
    let unless = match field("unless")? {
        Some(id) => Some(find(all, id).map_err(|bad| at("unless", bad))?.id.clone()),
        None => None,
    };
    let id = needed("provider")?;
    find(all, id).map_err(|bad| at("provider", bad))?;
    for provider in all.iter_mut() {
        let replaced =
            |route: &Route| route.prefix == prefix && route.header == header && route.unless == unless;
        provider.routes.retain(|route| !replaced(route));
    }
    let provider = find(all, id).map_err(|bad| at("provider", bad))?;
    provider.routes.push(Route { prefix: prefix.to_owned(), header, unless });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_takes_the_place_of_a_providers_origin() {
        let (all, problems) = adjusted(
            "[providers.first]\norigin = \"http://127.0.0.1:9\"\nbase = \"\"\ntoken_url = \"http://[::1]:9/oauth/token\"\n",
        );
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(all[0].origin.to_string(), "http://127.0.0.1:9");
        assert_eq!(all[0].base, "");
        let token = all[0].endpoint().unwrap();
        assert_eq!(
            (token.origin.to_string().as_str(), token.path.as_str()),
            ("http://[::1]:9", "/oauth/token")
        );
        assert_eq!(all[1], provider("second", "/v2"));
    }

    #[test]
    fn a_gateway_takes_the_place_of_everything_that_logins_and_tokens_are_asked_for_at() {
        for device in [
            "kind = \"code\"\nstart_url = \"https://a.example/s\"\npoll_url = \"https://b.example/p\"\n\
             page = \"https://c.example/d?x=1\"\nredirect = \"https://d.example/r\"",
            "url = \"https://a.example/s\"",
        ] {
            let login = format!(
                "[token]\nurl = \"https://t.example/token\"\nformat = \"form\"\nclient_id = \"c\"\n[login.browser]\n\
                 authorize_url = \"https://e.example/a?x=1\"\npaste = \"https://f.example/c\"\n[login.device]\n{device}\n"
            );
            let preset = |text: &str| {
                let head = "id = \"first\"\norigin = \"https://api.example\"\nextends = \"bearer\"\n";
                presets::parse("test.toml", &format!("{head}{text}")).unwrap()
            };
            let (all, problems) = adjust_all(
                "[providers.first]\nauth_origin = \"http://127.0.0.1:9\"\ntoken_url = \"https://t2.example/t\"\n",
                vec![preset(&login)],
            );
            assert_eq!(problems, Vec::<String>::new());
            let moved = login.split("https://").map(|rest| rest.split_once(".example"));
            let moved: Vec<String> = moved
                .map(|part| part.map_or_else(String::new, |(_, rest)| format!("http://127.0.0.1:9{rest}")))
                .collect();
            let before = &login[..login.find("https://").unwrap()];
            let expected = format!("{before}{}", moved.concat())
                .replace("http://127.0.0.1:9/token", "https://t2.example/t");
            assert_eq!(all, [preset(&expected)], "{device}");
        }
        let (_, problems) = adjusted("providers.second.auth_origin = \"https://a.example\"\n");
        assert!(problems[0].contains("\"second\" has no token endpoint"), "{problems:?}");
    }

    /// I13
    #[test]
    fn a_credential_never_leaves_in_the_clear() {
        for origin in [
            "http://api.example",
            "https://me:secret@api.example",
            "https://api.example/v1",
            "ftp://api.example",
            "api.example",
        ] {
            let (all, problems) = adjusted(&format!("providers.first.origin = {origin:?}\n"));
            assert_eq!(problems.len(), 1, "{origin}");
            assert_eq!(all[0], provider("first", "/v1"));
        }
    }

    /// ROU-2
    #[test]
    fn a_route_of_the_file_replaces_the_same_one_of_a_preset() {
        let (all, problems) = adjusted(
            "[[route]]\nprefix = \"/v1\"\nprovider = \"second\"\n[[route]]\nprefix = \"/x\"\nheader = \"X-A\"\n\
             unless = \"second\"\nprovider = \"first\"\n",
        );
        assert_eq!(problems, Vec::<String>::new());
        let conditional = Route {
            prefix: "/x".to_owned(),
            header: Some(HeaderName::from_static("x-a")),
            unless: Some("second".parse().unwrap()),
        };
        assert_eq!(all[0].routes, [conditional]);
        let prefixes: Vec<&str> = all[1].routes.iter().map(|route| route.prefix.as_str()).collect();
        assert_eq!(prefixes, ["/v2", "/v1"]);
    }

    #[test]
    fn a_wrong_override_or_route_names_its_line() {
        let cases = [
            (
                "providers.frist.origin = \"https://a\"",
                "error: providers.frist.origin: there is no provider \"frist\"\n  in /rota.toml, line 1, column 26\n  |\n\
                 1 | providers.frist.origin = \"https://a\"\n  |                          ^^^^^^^^^^^\n  \
                 allowed: first, second; or add a preset of your own\n  did you mean \"first\"?",
            ),
            (
                "[providers.first]\norigni = \"https://a\"",
                "error: providers.first.origni: a provider has no such key here\n  in /rota.toml, line 2, column 1\n  |\n\
                 2 | origni = \"…\"\n  | ^^^^^^\n  \
                 allowed: auth_origin, base, origin, token_url; anything else goes into a preset of your own\n  did you mean \"origin\"?",
            ),
            (
                "[[route]]\nprefix = \"v1/\"\nprovider = \"first\"",
                "error: route.prefix: \"v1/\" is not a path prefix\n  in /rota.toml, line 2, column 10\n  |\n\
                 2 | prefix = \"v1/\"\n  |          ^^^^^\n  \
                 allowed: a path that starts with / and does not end with one, such as \"/v1\"",
            ),
        ];
        for (file, error) in cases {
            assert_eq!(adjusted(file).1, [error], "{file}");
        }
    }

    #[test]
    fn paths_are_plain() {
        for path in ["/v1", "/v1/messages", "/a:b"] {
            assert!(is_path(path), "{path}");
        }
        for path in ["", "/", "v1", "/v1/", "//v1", "/a/../b", "/a%2e", "/a\\b", "/a?b", "/a b"] {
            assert!(!is_path(path), "{path}");
        }
    }

    fn provider(id: &str, prefix: &str) -> Provider {
        let token = "[token]\nurl = \"https://auth.example/token\"\nformat = \"form\"\nclient_id = \"c\"\n";
        let text = format!(
            "id = {id:?}\nname = \"Name\"\norigin = \"https://api.example\"\nbase = \"/v1\"\n\
             dialect = \"responses\"\n[[route]]\nprefix = {prefix:?}\n[inject.api-key]\n\
             set = {{ authorization = \"Bearer {{access}}\" }}\n{}",
            if id == "first" { token } else { "" }
        );
        presets::parse("test.toml", &text).unwrap()
    }

    fn adjusted(file: &str) -> (Vec<Provider>, Vec<String>) {
        adjust_all(file, vec![provider("first", "/v1"), provider("second", "/v2")])
    }

    fn adjust_all(file: &str, all: Vec<Provider>) -> (Vec<Provider>, Vec<String>) {
        let mut problems = Vec::new();
        let layers = Layers {
            file: FileLayer::parse(Path::new("/rota.toml"), file.to_owned(), &mut problems),
            ..Layers::default()
        };
        let all = adjust(all, &layers, &mut problems);
        (all, problems.iter().map(ToString::to_string).collect())
    }
}
