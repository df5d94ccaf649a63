use super::{Client, Length, LoadError, Plan, Report, Seen};
use crate::clock::Moment;
use crate::upstream::Steps;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// What a client waits for, or lets go.
#[derive(Clone, Debug, Default)]
pub struct Paced {
    /// Before each request.
    pub pause: Option<Duration>,
    /// Told of each event that comes.
    pub steps: Option<Steps>,
}

/// Every client asks again as soon as it has been answered, or as it is `paced`. `clients` can be used again.
pub async fn closed(
    plan: &Plan,
    clients: &mut Vec<Client>,
    length: Length,
    paced: Paced,
) -> Result<Report, LoadError> {
    let start = Moment::now();
    let left = Arc::new(AtomicU64::new(match length {
        Length::Requests(requests) => requests,
        Length::Seconds(_) => u64::MAX,
    }));
    let end = match length {
        Length::Requests(_) => Moment(u64::MAX),
        Length::Seconds(seconds) => start.after(Duration::from_secs_f64(seconds)),
    };
    let mut working = JoinSet::new();
    for client in clients.drain(..) {
        working.spawn(work(client, Arc::clone(&left), end, paced.clone()));
    }
    let mut seen = Seen::default();
    while let Some(worked) = working.join_next().await {
        let worked = worked.map_err(io::Error::other).and_then(|worked| worked);
        let mut client = worked.map_err(|error| LoadError::Broken(plan.to, error))?;
        seen = seen.join(std::mem::take(&mut client.seen));
        clients.push(client);
    }
    Ok(seen.report(Moment::now().since(start) as f64 / 1e9))
}

async fn work(mut client: Client, left: Arc<AtomicU64>, end: Moment, paced: Paced) -> io::Result<Client> {
    let take = |left: u64| left.checked_sub(1);
    while Moment::now() < end && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
        if let Some(pause) = paced.pause {
            tokio::time::sleep(pause).await;
        }
        client.noted(paced.steps.as_ref()).await?;
    }
    Ok(client)
}
