use super::{Client, LoadError, Plan, Report, Seen, connect_one};
use crate::clock::{Moment, sleep_until};
use std::io;
use std::time::Duration;
use tokio::runtime::Builder;

/// Requests at `per_second` for `seconds`, whatever the answers take: each connection has a thread and moments of its
/// own. A request whose moment has passed because the one before it was still under way counts from that moment, so that
/// a slow answer is not left out of the figures (coordinated omission); what the timer itself is late is left out.
///
/// `ready` is called once all are connected.
pub fn rate(plan: &Plan, per_second: f64, seconds: f64, ready: impl FnOnce()) -> Result<Report, LoadError> {
    let broken = |error| LoadError::Broken(plan.to, error);
    let mut clients = Vec::new();
    for number in 0..plan.connections {
        let runtime = Builder::new_current_thread().enable_io().build().map_err(broken)?;
        let client = runtime.block_on(connect_one(plan, number))?;
        clients.push((number, runtime, client));
    }
    ready();
    let gap = 1e9 / per_second;
    let start = Moment::now().after(Duration::from_millis(2));
    let rounds = (seconds * per_second / plan.connections.max(1) as f64) as u64;
    let connections = plan.connections as f64;
    let threads: Vec<_> = clients
        .into_iter()
        .map(|(number, runtime, client)| {
            let moments = (0..rounds).map(move |round| {
                Moment(start.0 + ((round as f64 * connections + number as f64) * gap) as u64)
            });
            std::thread::spawn(move || runtime.block_on(on_time(client, moments)))
        })
        .collect();
    let mut seen = Seen::default();
    for thread in threads {
        let worked = thread.join().map_err(|_| io::Error::other("a client's thread ended early"));
        seen = seen.join(worked.and_then(|worked| worked).map_err(broken)?);
    }
    Ok(seen.report(Moment::now().since(start) as f64 / 1e9))
}

async fn on_time(mut client: Client, moments: impl Iterator<Item = Moment>) -> io::Result<Seen> {
    for moment in moments {
        let late = Moment::now() > moment;
        sleep_until(moment);
        let from = if late { moment } else { Moment::now() };
        let exchange = client.exchange(None).await?;
        client.seen.note(&exchange, Moment::now().since(from));
    }
    Ok(client.seen)
}
