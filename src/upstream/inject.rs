use crate::model::{
    Credential, CredentialKind, HeaderField, HeaderTemplate, Injection, Provider, ProviderId,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Why a credential cannot go into a request. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InjectError {
    /// The preset says nothing of this kind of credential.
    #[error("provider \"{provider}\" takes no credential of kind {}", kind.as_str())]
    KindNotAccepted {
        /// The provider.
        provider: ProviderId,
        /// The kind.
        kind: CredentialKind,
    },
    /// A token with a line break or another control character in it.
    #[error("the account's credential cannot be written as the header {0}")]
    Unwritable(HeaderName),
}

/// Puts `credential` into `headers` as the provider's preset says, after everything that names an account is gone from
/// them. What it writes is marked sensitive, so that no `Debug` shows it and HTTP/2 never indexes it.
pub fn inject(
    provider: &Provider,
    credential: &Credential,
    headers: &mut HeaderMap,
) -> Result<(), InjectError> {
    let Some(injection) = provider.inject.get(&credential.kind) else {
        return Err(InjectError::KindNotAccepted { provider: provider.id.clone(), kind: credential.kind });
    };
    for name in provider.strip.iter().chain(&injection.strip) {
        // Few requests have any of them: to compare costs less than to look each up.
        if headers.keys().any(|held| held == name) {
            headers.remove(name);
        }
    }
    set(injection, credential, headers)?;
    for (name, value) in &injection.append {
        append(name, value, headers);
    }
    Ok(())
}

fn set(injection: &Injection, credential: &Credential, headers: &mut HeaderMap) -> Result<(), InjectError> {
    for (name, template) in &injection.set {
        let Some(text) = fill(template, credential) else {
            headers.remove(name);
            continue;
        };
        let mut value = HeaderValue::from_maybe_shared(Bytes::from(text))
            .map_err(|_| InjectError::Unwritable(name.clone()))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(())
}

fn fill(template: &HeaderTemplate, credential: &Credential) -> Option<String> {
    let field = match template.field {
        None => "",
        Some(HeaderField::Access) => credential.access.expose(),
        Some(HeaderField::Account) => credential.identity.account.as_deref()?,
    };
    let mut text = String::with_capacity(template.before.len() + field.len() + template.after.len());
    text.push_str(&template.before);
    text.push_str(field);
    text.push_str(&template.after);
    Some(text)
}

/// Joins one list rather than adding a second line: not every server reads further than the first.
fn append(name: &HeaderName, member: &HeaderValue, headers: &mut HeaderMap) {
    let lists = headers.get_all(name);
    if lists.iter().any(|list| holds(list, member)) {
        return;
    }
    let Some(first) = headers.get_mut(name) else {
        headers.insert(name, member.clone());
        return;
    };
    let separator: &[u8] = if first.is_empty() { b"" } else { b"," };
    let joined = [first.as_bytes(), separator, member.as_bytes()].concat();
    // Two header values and a comma are a header value.
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(joined)) {
        *first = value;
    }
}

fn holds(list: &HeaderValue, member: &HeaderValue) -> bool {
    let members = list.as_bytes().split(|byte| *byte == b',');
    members.map(<[u8]>::trim_ascii).any(|held| held == member.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Dialect, Identity, Origin, Secret, Time};
    use std::collections::BTreeMap;

    /// PRX-2: what goes in, what goes out, for a credential with an account and for one without.
    #[test]
    fn a_request_carries_what_the_preset_says_and_nothing_of_the_clients_own() {
        let client = [
            ("authorization", "Bearer the client's"),
            ("authorization", "Basic twice"),
            ("x-account", "the client's"),
            ("x-strip-provider", "1"),
            ("x-strip-kind", "1"),
            ("x-kept", "1"),
        ];
        let with = sent(&client, Some("org-1"));
        let expected = [
            ("authorization", "Bearer token!"),
            ("x-account", "org-1"),
            ("x-beta", "oauth"),
            ("x-fixed", "always"),
            ("x-kept", "1"),
        ];
        assert_eq!(with, owned(&expected));
        let without: Vec<_> = owned(&expected).into_iter().filter(|(name, _)| name != "x-account").collect();
        assert_eq!(sent(&client, None), without, "an unknown field sets nothing");
    }

    #[test]
    fn a_member_is_added_to_a_list_unless_it_is_there() {
        let table: [(&[&str], &[&str]); 7] = [
            (&[], &["oauth"]),
            (&[""], &["oauth"]),
            (&["oauth"], &["oauth"]),
            (&["a, oauth ,b"], &["a, oauth ,b"]),
            (&["oauth-2"], &["oauth-2,oauth"]),
            (&["a", "b,oauth"], &["a", "b,oauth"]),
            (&["a", "b"], &["a,oauth", "b"]),
        ];
        for (before, after) in table {
            let client: Vec<_> = before.iter().map(|list| ("x-beta", *list)).collect();
            let sent = sent(&client, None);
            let lists = sent.iter().filter(|(name, _)| name == "x-beta");
            let lists: Vec<&str> = lists.map(|(_, list)| list.as_str()).collect();
            assert_eq!(lists, after, "{before:?}");
        }
    }

    /// I10
    #[test]
    fn a_credential_that_cannot_be_written_is_an_error_without_it() {
        let mut headers = HeaderMap::new();
        let broken = Credential { access: Secret::new("to\nken"), ..credential(None) };
        let error = inject(&provider(), &broken, &mut headers).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the account's credential cannot be written as the header authorization"
        );
        let bearer = Credential { kind: CredentialKind::Bearer, ..credential(None) };
        let error = inject(&provider(), &bearer, &mut headers).unwrap_err();
        assert_eq!(error.to_string(), "provider \"p\" takes no credential of kind bearer");
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let pairs = pairs.iter();
        pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn sent(client: &[(&'static str, &'static str)], account: Option<&str>) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        for (name, value) in client {
            headers.append(*name, HeaderValue::from_static(value));
        }
        inject(&provider(), &credential(account), &mut headers).unwrap();
        let pairs = headers.iter();
        let pairs = pairs.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
        pairs
    }

    fn credential(account: Option<&str>) -> Credential {
        Credential {
            version: 1,
            kind: CredentialKind::Oauth,
            access: Secret::new("token"),
            refresh: None,
            self_granted: false,
            id_token: None,
            identity: Identity { account: account.map(str::to_owned), ..Identity::default() },
            issued: Time::default(),
            expires: None,
        }
    }

    fn provider() -> Provider {
        let template = |before: &str, field, after: &str| HeaderTemplate {
            before: before.to_owned(),
            field,
            after: after.to_owned(),
        };
        let name = HeaderName::from_static;
        let injection = Injection {
            set: vec![
                (name("authorization"), template("Bearer ", Some(HeaderField::Access), "!")),
                (name("x-account"), template("", Some(HeaderField::Account), "")),
                (name("x-fixed"), template("always", None, "")),
            ],
            append: vec![(name("x-beta"), HeaderValue::from_static("oauth"))],
            strip: vec![name("x-strip-kind")],
        };
        Provider {
            id: ProviderId::try_from("p").unwrap(),
            name: "P".to_owned(),
            origin: Origin::parse("https://api.example.com").unwrap(),
            base: String::new(),
            maps: Vec::new(),
            routes: Vec::new(),
            dialect: Dialect::Messages,
            subscription: false,
            session_headers: Vec::new(),
            replay_safe: Vec::new(),
            strip: vec![name("x-strip-provider")],
            strip_query: Vec::new(),
            inject: BTreeMap::from([(CredentialKind::Oauth, injection)]),
            token: None,
            login: None,
            conversation: std::sync::Arc::default(),
            rules: Vec::new(),
            limits: Vec::new(),
            usage: None,
            probe: None,
        }
    }
}
