use super::confidence::{Confidence, confidence};
use crate::model::{Account, Alias, CredentialState, LimitSample, Snapshot, Time};
use std::time::Duration;

/// How far back the pace is looked for at which an account is used.
const LOOK_BACK: Duration = Duration::from_secs(3600);
/// Two observations closer together than this tell no pace.
const SHORTEST_SPAN: Duration = Duration::from_secs(60);

/// What is left in all, and who runs dry first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlook {
    /// The mean of what is left of each account's scarcest window, in percent. Accounts that are off, or whose limits are
    /// unknown, take no part; none where that leaves nobody.
    pub remaining: Option<f64>,
    /// Who is empty first at the pace of the last hour, and when, if that is before the window fills up again.
    pub empties_first: Option<(Alias, Time)>,
}

/// See [`Outlook`]. For people to read; nothing is decided by it.
pub fn outlook(world: &Snapshot, now: Time) -> Outlook {
    let serving = world.accounts.iter().filter(|account| takes_part(account, now));
    let left: Vec<f64> = serving.clone().filter_map(|account| account.limits.remaining(now)).collect();
    let remaining = (!left.is_empty()).then(|| left.iter().sum::<f64>() / left.len() as f64);
    let ends = serving.filter_map(|account| Some((account.alias.clone(), runs_dry(account, now)?)));
    Outlook { remaining, empties_first: ends.min_by_key(|(_, at)| *at) }
}

fn takes_part(account: &Account, now: Time) -> bool {
    let usable = match account.credential {
        CredentialState::Usable(_) => true,
        CredentialState::Missing { .. } | CredentialState::NeedsReauth { .. } => false,
    };
    account.is_on() && usable && confidence(&account.limits, now) != Confidence::Unknown
}

/// When the first of the account's windows is empty.
fn runs_dry(account: &Account, now: Time) -> Option<Time> {
    let latest = account.limits.latest.as_ref()?;
    let ends = latest.windows.iter().filter_map(|window| {
        let earlier = account.limits.history.iter().rev();
        let end = end_of(&window.name, latest, earlier)?;
        let filled = window.resets.is_some_and(|resets| resets <= end || resets <= now);
        (!filled && end > now).then_some(end)
    });
    ends.min()
}

/// When the window called `name` is empty, if it goes on as it went from the earliest of the `earlier` observations (the
/// newest first) that belong to the same filling.
fn end_of<'a>(
    name: &str,
    latest: &LimitSample,
    earlier: impl Iterator<Item = &'a LimitSample>,
) -> Option<Time> {
    let left = left_of(name, latest)?;
    let mut first = None;
    let mut last_seen = left;
    for sample in earlier.filter(|sample| sample.at <= latest.at) {
        let Some(then) = left_of(name, sample) else {
            continue;
        };
        // It was filled up in between.
        if then < last_seen || sample.at.until(latest.at) > LOOK_BACK {
            break;
        }
        last_seen = then;
        first = Some((sample.at, then));
    }
    let (since, then) = first?;
    let span = since.until(latest.at);
    let used = then - left;
    if span < SHORTEST_SPAN || used <= 0.0 || left <= 0.0 {
        return None;
    }
    let seconds = span.as_secs_f64() * left / used;
    Duration::try_from_secs_f64(seconds).ok().map(|more| latest.at.after(more))
}

fn left_of(name: &str, sample: &LimitSample) -> Option<f64> {
    sample.windows.iter().find(|window| &*window.name == name).map(|window| window.remaining)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::world::{START, alias, edit, left, switch_off, world};

    const MINUTE: u64 = 60;

    #[test]
    fn what_is_left_is_a_mean_over_those_whose_limits_are_known() {
        let mut world = world(4);
        seen(&mut world, 1, &[(0, 20.0)]);
        seen(&mut world, 2, &[(0, 80.0)]);
        seen(&mut world, 3, &[(0, 100.0)]);
        let world = switch_off(&world, 3);
        assert_eq!(outlook(&world, START).remaining, Some(50.0), "a3 is off, a4 was never seen");
        let tomorrow = START.after(Duration::from_secs(86_400));
        assert_eq!(outlook(&world, tomorrow), Outlook::default(), "unknown is none, not zero");
    }

    #[test]
    fn who_is_used_faster_than_the_window_lasts_empties_first() {
        let mut world = world(3);
        seen(&mut world, 1, &[(40 * MINUTE, 60.0), (20 * MINUTE, 40.0), (0, 20.0)]);
        seen(&mut world, 2, &[(30 * MINUTE, 50.0), (0, 40.0)]);
        seen(&mut world, 3, &[(30 * MINUTE, 50.0), (0, 50.0)]);
        let twenty_minutes = START.after(Duration::from_secs(20 * MINUTE));
        assert_eq!(outlook(&world, START).empties_first, Some((alias(1), twenty_minutes)));
    }

    #[test]
    fn no_pace_is_read_out_of_too_little() {
        for (name, samples) in [
            ("one observation", &[(0, 20.0)][..]),
            ("two of the same minute", &[(30, 60.0), (0, 20.0)]),
            ("filled up in between", &[(20 * MINUTE, 10.0), (0, 90.0)]),
            ("older than the look back", &[(2 * 3600, 90.0), (0, 20.0)]),
            ("empty already", &[(20 * MINUTE, 10.0), (0, 0.0)]),
            ("it fills up before", &[(40 * MINUTE, 60.0), (0, 59.0)]),
        ] {
            let mut world = world(1);
            seen(&mut world, 1, samples);
            assert_eq!(outlook(&world, START).empties_first, None, "{name}");
        }
    }

    /// What was left, by how many seconds before the start it was seen; the window fills up in an hour.
    fn seen(world: &mut Snapshot, id: u32, samples: &[(u64, f64)]) {
        let resets = Some(START.after(Duration::from_secs(3600)));
        let mut samples: Vec<LimitSample> = samples
            .iter()
            .map(|(age, percent)| left(*percent, START.before(Duration::from_secs(*age)), resets))
            .collect();
        edit(world, id, |account| {
            account.limits.latest = samples.pop();
            account.limits.history = samples.into();
        });
    }
}
