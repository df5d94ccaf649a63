//! Which variables of the environment hold secrets: they are taken out of the process's environment once they are read.
use super::presets::FOREIGN_SECRETS;
use super::providers;
use super::setting::Shape;
use super::sources::Sources;
use super::table::ALL;
use crate::model::{AliasText, Param, Provider, TokenSource};
use std::collections::{BTreeMap, BTreeSet};

/// Proxies whose URL may hold a password (PRX-8). Names are also read in lower case.
const PROXIES: [&str; 3] = ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"];

impl Sources {
    /// The variables that are set and hold a secret: settings that are secrets, proxies with a password, what presets
    /// name as parameters of a token request, and what other programs of the trade keep there. Presets that cannot be
    /// read name nothing; they are refused later on.
    pub fn secret_variables(&self) -> BTreeSet<String> {
        let settings = ALL.iter().map(|setting| setting.about());
        let secrets = settings.filter(|about| about.shape == Shape::Secrets).map(|about| about.variable());
        let known: BTreeSet<String> =
            secrets.chain(FOREIGN_SECRETS.iter().map(|name| (*name).to_owned())).collect();
        let named = self.named_by_presets();
        let is_secret = |(name, value): &(&String, &String)| {
            let proxy = PROXIES.contains(&name.to_ascii_uppercase().as_str()) && value.contains('@');
            proxy || known.contains(*name) || named.iter().any(|text| text.fits(name))
        };
        self.env.iter().filter(is_secret).map(|(name, _)| name.clone()).collect()
    }

    /// Of these, with their values, those that were not put there for rota: a program that is started by a command gets them
    /// back, and without its proxy it would reach nothing.
    pub fn variables_of_others(&self) -> BTreeMap<String, String> {
        let named = self.named_by_presets();
        let is_proxy = |name: &str| PROXIES.contains(&name.to_ascii_uppercase().as_str());
        let of_others = |name: &String| {
            let other = is_proxy(name) || FOREIGN_SECRETS.contains(&name.as_str());
            other && !named.iter().any(|text| text.fits(name))
        };
        let names = self.secret_variables().into_iter().filter(of_others);
        names.filter_map(|name| self.env.get(&name).cloned().map(|value| (name, value))).collect()
    }

    fn named_by_presets(&self) -> Vec<AliasText> {
        let dir = self.providers_dir();
        // The embedded presets name none, and to read them is most of the work of a short command.
        if providers::files(&dir, &mut Vec::new()).is_empty() {
            return Vec::new();
        }
        Self::names(providers::presets(&dir, &mut Vec::new()).unwrap_or_default())
    }

    fn names(providers: Vec<Provider>) -> Vec<AliasText> {
        let params = providers.into_iter().filter_map(|provider| match provider.token {
            Some(TokenSource::Endpoint(endpoint)) => Some(endpoint.params),
            Some(TokenSource::Command(_)) | None => None,
        });
        let named = params.flatten().filter_map(|(_, param)| match param {
            Param::Env(name) => Some(name),
            Param::Exec(_) | Param::File(_) | Param::Text(_) => None,
        });
        named.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// OBS-3
    #[test]
    fn secrets_are_told_from_what_children_need() {
        let env = [
            ("ROTA_CLIENT_KEYS", "a-client-key-of-16"),
            ("ROTA_CLIENT_KEYS_FILE", "/etc/rota/keys"),
            ("ROTA_STATE_DIR", "/srv/rota"),
            ("HTTPS_PROXY", "http://me:secret@proxy:3128"),
            ("all_proxy", "http://me:secret@proxy:3128"),
            ("HTTP_PROXY", "http://proxy:3128"),
            (FOREIGN_SECRETS[0], "secret"),
            ("PATH", "/bin"),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let sources = Sources { env, ..Sources::default() };
        let returned: Vec<String> = sources.variables_of_others().into_keys().collect();
        assert_eq!(returned, [FOREIGN_SECRETS[0], "HTTPS_PROXY", "all_proxy"].map(str::to_owned));
        let found = sources.secret_variables();
        let expected = ["HTTPS_PROXY", "ROTA_CLIENT_KEYS", "all_proxy", FOREIGN_SECRETS[0]];
        assert_eq!(found, expected.map(str::to_owned).into());
    }

    #[test]
    fn the_embedded_presets_name_no_variable() {
        let embedded = crate::config::presets::load(&[]).unwrap();
        assert!(!embedded.is_empty());
        assert_eq!(Sources::names(embedded).len(), 0);
    }

    /// OBS-3
    #[test]
    fn what_a_preset_names_as_a_parameter_is_a_secret_for_every_account() {
        let dir = tempfile::tempdir().unwrap();
        let presets = dir.path().join("rota/providers");
        std::fs::create_dir_all(&presets).unwrap();
        let preset = "id = \"mine\"\nextends = \"oauth2\"\norigin = \"https://api.example.com\"\n[token]\n\
                      url = \"https://auth.example.com/token\"\ngrant = \"client-credentials\"\nclient_id = \"me\"\n\
                      params = { client_secret = { env = \"SECRET_{alias}\" }, scope = \"api\" }\n";
        std::fs::write(presets.join("mine.toml"), preset).unwrap();
        let env = ["SECRET_work", "SECRET_", "XDG_CONFIG_HOME"];
        let env = env.map(|name| (name.to_owned(), dir.path().display().to_string())).into();
        let found = Sources { env, ..Sources::default() }.secret_variables();
        assert_eq!(found, ["SECRET_work".to_owned()].into());
    }
}
