//! Nobody can serve until a person signs in (FLO-6): they are asked, and the request waits for them if it may.
use crate::app::App;
use crate::auth::Ended;
use crate::engine::{Eligibility, eligibility};
use crate::model::{AccountId, Time};
use crate::notify::needed;
use std::future::pending;

/// Has a login begun, once for all requests that need it, and returns when the account serves again, when its login has
/// failed, at `until`, or at once where the request is not held. A client that leaves ends the waiting, not the login.
pub(super) async fn ask(app: &App, account: AccountId, until: Option<Time>) {
    if app.logins.raise(account).is_none() {
        say_so(app, account);
    }
    let Some(until) = until else {
        return;
    };
    tokio::select! {
        () = mended(app, account) => {}
        () = given_up(app, account, until) => {}
        () = app.clock.sleep_until(until) => {}
    }
}

/// No login was begun: a person has to do that, too.
fn say_so(app: &App, account: AccountId) {
    let (world, now) = (app.state.snapshot(), app.clock.now());
    if let Some(account) = world.account(account) {
        app.notifier.tell(needed(account, &world, now), now);
    }
}

/// Returns when the account needs nobody any more, whatever way that came about.
async fn mended(app: &App, account: AccountId) {
    let mut marks = app.state.marks();
    loop {
        let seen = marks.borrow_and_update().required;
        let (world, now) = (app.state.snapshot(), app.clock.now());
        let needs_somebody = world.account(account).is_some_and(|account| {
            eligibility(account, None, &world.settings, now) == Eligibility::NeedsReauth
        });
        // A new credential is always stored, so whatever is not can be slept through.
        if !needs_somebody || marks.wait_for(|marks| marks.required > seen).await.is_err() {
            return;
        }
    }
}

/// Returns when the account's login has ended in vain. One that was called off may have made way for another.
async fn given_up(app: &App, account: AccountId, until: Time) {
    match app.logins.ended(account, until).await {
        Ended::Failed(_) => {}
        Ended::Cancelled | Ended::NoJob | Ended::NotYet | Ended::Succeeded => pending().await,
    }
}
