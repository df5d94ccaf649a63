use super::backoff::waits;
use crate::model::{
    Account, Cooling, CoolingSource, Credential, CredentialKind, FaultClass, Limits, ModelName, Provider,
    Settings, Time,
};
use std::time::Duration;

/// How long a state lasts at least before the engine itself changes it back: a rest, the probation after it, a low
/// quota. It is what keeps an account from changing state more than twice in ten seconds (SEL-8).
pub(super) const SETTLING: Duration = Duration::from_secs(10);

/// May this account be taken now? The router and the views ask the same function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eligibility {
    /// Rests until a time.
    Cooling(Cooling),
    /// At or below the critical threshold: hard-owned sessions and a force only.
    Critical,
    /// Switched off.
    Disabled,
    /// At or below the low threshold: no new sessions while another is eligible.
    Draining,
    /// Yes.
    Eligible,
    /// Its plan refused this model until a time.
    ModelRefused(Cooling),
    /// A human must sign in, or give a key.
    NeedsReauth,
    /// Back from a rest: one request at a time until two successes (SEL-8).
    Probation,
}

impl Eligibility {
    /// The wire string, as in views and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cooling(_) => "cooling",
            Self::Critical => "critical",
            Self::Disabled => "disabled",
            Self::Draining => "draining",
            Self::Eligible => "eligible",
            Self::ModelRefused(_) => "model-refused",
            Self::NeedsReauth => "needs-reauth",
            Self::Probation => "probation",
        }
    }
}

/// See [`Eligibility`]. Where several hold, the one that lasts longest or needs a human speaks: switched off, no usable
/// credential, resting, model refused, critical, on probation, draining.
pub fn eligibility(
    account: &Account,
    model: Option<&ModelName>,
    settings: &Settings,
    now: Time,
) -> Eligibility {
    if !account.is_on() {
        return Eligibility::Disabled;
    }
    let Some(credential) = account.credential.usable() else {
        return Eligibility::NeedsReauth;
    };
    let lapsed = credential.lapsed(now);
    if lapsed && !renewable(credential) {
        return Eligibility::NeedsReauth;
    }
    let resting = account.health.cooling.filter(|rest| rest.until > now);
    let unrenewed = lapsed.then(|| unrenewed(account, credential, now)).flatten();
    if let Some(rest) = resting.or(unrenewed) {
        return Eligibility::Cooling(rest);
    }
    if let Some(rest) = model.and_then(|model| account.health.model_cooling(model, now)) {
        return Eligibility::ModelRefused(*rest);
    }
    let left = least_left(&account.limits, now);
    let at_most = |threshold: u8| left.is_some_and(|left| left <= f64::from(threshold));
    if at_most(settings.thresholds.critical()) {
        return Eligibility::Critical;
    }
    if account.health.cooling.is_some() {
        return Eligibility::Probation;
    }
    if at_most(settings.thresholds.low()) {
        return Eligibility::Draining;
    }
    Eligibility::Eligible
}

/// True for a credential that can be renewed without a human: by its refresh token, or because it was granted without
/// a login and can be granted so again. Only such a token comes without a refresh token and with an end.
pub(super) fn renewable(credential: &Credential) -> bool {
    credential.kind == CredentialKind::Oauth && (credential.refresh.is_some() || credential.self_granted)
}

/// True for an account that a person can mend by signing in: its provider has a way to, and it is not a key that the
/// account was given.
pub fn signs_in(account: &Account, provider: &Provider) -> bool {
    let kind = account.credential.credential().map_or(CredentialKind::Oauth, |credential| credential.kind);
    let way = provider.login.is_some() && provider.endpoint().is_some();
    way && kind == CredentialKind::Oauth && provider.inject.contains_key(&kind)
}

/// True for a rest that is our own guess and no statement of the upstream's: a rate limit, or a token that was refused
/// though it had just been renewed, where nothing said how long it lasts. A spent quota, missing payment, a refusal, and
/// every rest whose end the upstream or the preset names are statements, whoever chose the length. Inference may put an
/// account last; it may never leave a request without one (SEL-9).
pub(super) fn is_inference(rest: &Cooling) -> bool {
    rest.source == CoolingSource::Default
        && matches!(rest.class, FaultClass::AuthExpired | FaultClass::RateShort)
}

/// The rest of an account whose token ran out while renewing it is backing off.
fn unrenewed(account: &Account, credential: &Credential, now: Time) -> Option<Cooling> {
    let until = waits(&account.renewal, now)?;
    Some(Cooling {
        until,
        class: FaultClass::AuthExpired,
        source: CoolingSource::Default,
        since: credential.expires.unwrap_or(credential.issued),
    })
}

/// The least that was left in any observation of the last [`SETTLING`] and in the newest, whatever its age: a value
/// that swings around a threshold counts as its low end.
fn least_left(limits: &Limits, now: Time) -> Option<f64> {
    let left = limits.remaining(now)?;
    let recent = limits.history.iter().rev().take_while(|sample| sample.at.after(SETTLING) > now);
    let windows = recent.flat_map(|sample| &sample.windows);
    windows
        .filter(|window| window.resets.is_none_or(|resets| resets > now))
        .map(|window| window.remaining)
        .chain([left])
        .min_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::world::{
        LIFE, START, account, edit, key, left, model, oauth, provider, switch_off, world, world_of,
    };
    use crate::model::{CredentialState, Renewal, Snapshot};
    use proptest::prelude::*;

    /// SEL-2, SEL-5, SEL-8
    #[test]
    fn where_several_states_hold_the_gravest_speaks() {
        let rest = rest(60);
        let mut world = world(1);
        let mut seen = Vec::new();
        edit(&mut world, 1, |a| a.limits.latest = Some(left(25.0, START, None)));
        seen.push(now(&world, START));
        edit(&mut world, 1, |a| a.health.cooling = Some(Cooling { until: START, ..rest }));
        seen.push(now(&world, START));
        edit(&mut world, 1, |a| a.limits.latest = Some(left(5.0, START, None)));
        seen.push(now(&world, START));
        edit(&mut world, 1, |a| {
            a.health.models.insert(model(), rest);
        });
        seen.push(now(&world, START));
        edit(&mut world, 1, |a| a.health.cooling = Some(rest));
        seen.push(now(&world, START));
        edit(&mut world, 1, |a| {
            a.credential = CredentialState::Missing { detail: String::new() };
        });
        seen.push(now(&world, START));
        seen.push(now(&switch_off(&with_second(&world), 1), START));
        assert_eq!(
            seen,
            [
                Eligibility::Draining,
                Eligibility::Probation,
                Eligibility::Critical,
                Eligibility::ModelRefused(rest),
                Eligibility::Cooling(rest),
                Eligibility::NeedsReauth,
                Eligibility::Disabled,
            ]
        );
    }

    /// REN-4
    #[test]
    fn a_lapsed_token_is_eligible_if_it_can_be_renewed_now() {
        let end = START.after(LIFE);
        let mut world = world_of(provider(), 1, |_| oauth(1, START));
        assert_eq!(now(&world, end), Eligibility::Eligible);
        let until = end.after(Duration::from_secs(30));
        edit(&mut world, 1, |a| {
            a.renewal = Renewal { failures: 1, not_before: Some(until) };
        });
        assert_eq!(now(&world, end.before(Duration::from_secs(1))), Eligibility::Eligible);
        assert!(
            matches!(now(&world, end), Eligibility::Cooling(rest) if rest.until == until && is_inference(&rest))
        );
        assert_eq!(now(&world, until), Eligibility::Eligible);
        let bearer = world_of(provider(), 1, |_| Credential { refresh: None, ..oauth(1, START) });
        assert_eq!(now(&bearer, end), Eligibility::NeedsReauth);
    }

    /// SEL-8
    #[test]
    fn a_quota_that_swings_around_a_threshold_counts_as_its_low_end_for_ten_seconds() {
        let later = |secs| START.after(Duration::from_secs(secs));
        let mut world = world(1);
        edit(&mut world, 1, |a| {
            a.limits.history.push_back(left(29.0, START, None));
            a.limits.latest = Some(left(31.0, later(1), None));
        });
        assert_eq!(now(&world, later(1)), Eligibility::Draining);
        assert_eq!(now(&world, later(9)), Eligibility::Draining);
        assert_eq!(now(&world, later(10)), Eligibility::Eligible);
    }

    proptest! {
        /// SEL-5
        #[test]
        fn the_thresholds_alone_decide_of_a_clean_account(percent in 0.0f64..=100.0, known in any::<bool>()) {
            let mut world = world_of(provider(), 1, |_| key());
            edit(&mut world, 1, |a| a.limits.latest = known.then(|| left(percent, START, None)));
            let expected = match percent {
                _ if !known => Eligibility::Eligible,
                p if p <= 10.0 => Eligibility::Critical,
                p if p <= 30.0 => Eligibility::Draining,
                _ => Eligibility::Eligible,
            };
            prop_assert_eq!(now(&world, START), expected, "unknown limits never drain");
        }

        /// SEL-8, FLO-4
        #[test]
        fn a_rest_holds_to_its_last_millisecond_and_leaves_probation(millis in 1u64..1_000_000) {
            let mut world = world_of(provider(), 1, |_| key());
            let until = START.after(Duration::from_millis(millis));
            let rest = Cooling { until, ..rest(0) };
            edit(&mut world, 1, |a| a.health.cooling = Some(rest));
            let last = until.before(Duration::from_millis(1));
            prop_assert_eq!(now(&world, last), Eligibility::Cooling(rest));
            prop_assert_eq!(now(&world, until), Eligibility::Probation);
        }
    }

    fn now(world: &Snapshot, now: Time) -> Eligibility {
        eligibility(account(world, 1), Some(&model()), &world.settings, now)
    }

    fn rest(secs: u64) -> Cooling {
        Cooling {
            until: START.after(Duration::from_secs(secs)),
            class: FaultClass::QuotaWindow,
            source: CoolingSource::Body,
            since: START,
        }
    }

    /// The same world, where `a1` is not the last enabled account.
    fn with_second(world: &Snapshot) -> Snapshot {
        let new = crate::engine::world::new_account(2, key());
        let command = crate::engine::Command::AccountAdded(Box::new(new));
        crate::engine::world::done(world, command, START)
    }
}
