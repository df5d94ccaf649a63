use super::{Client, LoadError, Plan};

/// Streams that have begun and say no more, for as long as the clients are kept.
pub async fn idle(plan: &Plan, mut clients: Vec<Client>) -> Result<Vec<Client>, LoadError> {
    for client in &mut clients {
        client.begin().await.map_err(|error| LoadError::Broken(plan.to, error))?;
    }
    Ok(clients)
}
