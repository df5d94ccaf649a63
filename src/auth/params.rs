use crate::model::{Alias, Param};

/// The values of a token request's parameters for one account, read now. The error is a sentence without a secret.
pub(super) async fn resolve(
    params: &[(String, Param)],
    alias: &Alias,
) -> Result<Vec<(String, String)>, String> {
    let mut values = Vec::with_capacity(params.len());
    for (name, param) in params {
        let value = match param {
            Param::Text(text) => text.of(alias),
            Param::Env(_) | Param::Exec(_) | Param::File(_) => {
                return Err(format!("the value of {name} cannot be read"));
            }
        };
        values.push((name.clone(), value));
    }
    Ok(values)
}
