//! The keys of clients, in the state record. What is stored is what a key comes to, never the key.
use super::fields::{BadField, Fields, Object};
use crate::model::{AccountId, ClientKey, KeyDigest, KeyName, KeyPath, KeyScope, ProviderId};
use http::Method;
use serde_json::Value;

/// Where they are. One that cannot be read damages the record: left out, it could open to everybody what the key was to
/// close.
pub(in crate::store) const FIELD: &str = "clientKeys";

pub(in crate::store) fn take(value: Value) -> Result<ClientKey, BadField> {
    read(value).map_err(|bad| bad.within(FIELD))
}

fn read(value: Value) -> Result<ClientKey, BadField> {
    let mut fields = Fields::of(value)?;
    let name: String = fields.need("name")?;
    let digest: String = fields.need("digest")?;
    let texts = |fields: &mut Fields, name: &str| {
        let texts: Option<Vec<String>> = fields.get(name)?;
        Ok::<_, BadField>(texts.unwrap_or_default())
    };
    let bad = |field: &'static str| move |problem: String| BadField::new(field, problem);
    let providers = texts(&mut fields, "providers")?.into_iter();
    let methods = texts(&mut fields, "methods")?.into_iter();
    let paths = texts(&mut fields, "paths")?.into_iter();
    let accounts: Option<Vec<Value>> = fields.get("accounts")?;
    let account = |id: Value| {
        let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
        id.map(AccountId).ok_or_else(|| bad("accounts")("must be whole numbers".to_owned()))
    };
    let accounts: Option<Vec<AccountId>> =
        accounts.map(|ids| ids.into_iter().map(account).collect()).transpose()?;
    let provider = |id: String| ProviderId::try_from(id).map_err(|e| bad("providers")(e.to_string()));
    let method = |name: String| {
        Method::from_bytes(name.as_bytes()).map_err(|_| bad("methods")(format!("{name:?} is none")))
    };
    let path = |path: String| KeyPath::try_from(path.as_str()).map_err(|e| bad("paths")(e.to_string()));
    Ok(ClientKey {
        name: KeyName::try_from(name).map_err(|e| bad("name")(e.to_string()))?,
        digest: KeyDigest::from_hex(&digest).ok_or_else(|| bad("digest")("is no digest".to_owned()))?,
        scope: KeyScope {
            providers: providers.map(provider).collect::<Result<_, _>>()?,
            accounts: accounts.map(Into::into),
            methods: methods.map(method).collect::<Result<_, _>>()?,
            paths: paths.map(path).collect::<Result<_, _>>()?,
        },
        made: fields.get("createdAt")?.unwrap_or_default(),
    })
}

pub(in crate::store) fn give(key: &ClientKey) -> Value {
    let texts = |items: Vec<String>| Some(items).filter(|items| !items.is_empty());
    let scope = &key.scope;
    let ids = scope.accounts.as_ref().map(|ids| ids.iter().map(|id| id.0).collect::<Vec<u32>>());
    Object::over(&serde_json::Map::new())
        .set("name", key.name.as_str())
        .set("digest", key.digest.hex())
        .put("providers", texts(scope.providers.iter().map(ToString::to_string).collect()))
        .put("accounts", ids)
        .put("methods", texts(scope.methods.iter().map(ToString::to_string).collect()))
        .put("paths", texts(scope.paths.iter().map(|path| path.as_str().to_owned()).collect()))
        .time("createdAt", Some(key.made))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Time;
    use serde_json::json;

    /// STO-3, PRX-3
    #[test]
    fn a_key_comes_back_as_it_was_and_one_that_is_wrong_is_no_key() {
        let key = ClientKey {
            name: KeyName::try_from("editor").expect("a name"),
            digest: KeyDigest::new([7; 32]),
            scope: KeyScope {
                providers: vec![ProviderId::try_from("p").expect("an id")],
                accounts: Some([AccountId(3)].into()),
                methods: vec![Method::POST],
                paths: vec![KeyPath::try_from("/p/v1").expect("a path")],
            },
            made: Time::from_secs(1_800_000_000),
        };
        assert_eq!(take(give(&key)), Ok(key.clone()));
        let shut =
            ClientKey { scope: KeyScope { accounts: Some([].into()), ..KeyScope::default() }, ..key.clone() };
        assert_eq!(take(give(&shut)), Ok(shut), "it is for no account, not for all");
        for (field, value) in [
            ("name", json!("A B")),
            ("digest", json!("00")),
            ("accounts", json!(["3"])),
            ("accounts", json!([u64::MAX])),
            ("methods", json!([""])),
            ("paths", json!(["p"])),
            ("providers", json!("p")),
        ] {
            let mut wrong = give(&key);
            wrong[field] = value;
            let bad = take(wrong).expect_err(field).to_string();
            assert!(bad.contains(FIELD) && bad.contains(field), "{bad}");
        }
    }
}
