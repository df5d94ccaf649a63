use super::{Client, LoadError, Plan};
use tokio::task::JoinSet;

/// Streams that have begun and say no more, for as long as the clients are kept. All begin at once: some proxies take a
/// fifth of a second for each.
pub async fn idle(plan: &Plan, clients: Vec<Client>) -> Result<Vec<Client>, LoadError> {
    let mut beginning: JoinSet<_> =
        clients.into_iter().map(|mut client| async move { client.begin().await.map(|()| client) }).collect();
    let mut begun = Vec::with_capacity(beginning.len());
    while let Some(client) = beginning.join_next().await {
        let client = client.map_err(std::io::Error::other).flatten();
        begun.push(client.map_err(|error| LoadError::Broken(plan.to, error))?);
    }
    Ok(begun)
}
