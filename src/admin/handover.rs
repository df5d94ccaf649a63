//! How a page in the browser gets the admin token without a person who copies it: whoever has the token asks for a ticket,
//! puts it into the page's address, where no server sees it, and the page trades it in. A ticket is good once, and for a
//! minute.
use super::extract::Given;
use super::reply::Created;
use super::view::Stamp;
use super::{ApiError, Door};
use crate::app::App;
use crate::model::{Secret, Time};
use axum::extract::State;
use axum::{Extension, Json};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::ORIGIN;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a ticket is good: until a browser has opened.
const GOOD: Duration = Duration::from_secs(60);
/// Tickets that are good at once, at most; the oldest goes first.
const MOST: usize = 16;
/// Bytes of randomness in one.
const BYTES: usize = 32;

/// The tickets that are good.
#[derive(Debug, Default)]
pub struct Tickets {
    given: Mutex<Vec<Ticket>>,
}

#[derive(Debug)]
struct Ticket {
    secret: Secret,
    until: Time,
}

impl Tickets {
    /// One more, and until when it is good; none where the system has no randomness.
    fn give(&self, now: Time) -> Option<(String, Time)> {
        let mut bytes = [0; BYTES];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        let text = URL_SAFE_NO_PAD.encode(bytes);
        let until = now.after(GOOD);
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.retain(|ticket| now < ticket.until);
        if given.len() >= MOST {
            given.remove(0);
        }
        given.push(Ticket { secret: Secret::new(text.clone()), until });
        Some((text, until))
    }

    /// True once for a ticket that is good. Each is compared in full whatever comes, so that time tells nothing.
    fn take(&self, shown: &Secret, now: Time) -> bool {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.retain(|ticket| now < ticket.until);
        let mut good = false;
        given.retain(|ticket| {
            let same = ticket.secret == *shown;
            good |= same;
            !same
        });
        good
    }
}

/// What opens the page once.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TicketView {
    ticket: String,
    expires_at: Stamp,
    /// The port of the page's own address: whoever forwards another to it is not let in.
    port: u16,
}

/// `POST /api/handover`: a ticket, for whoever has the token.
pub(super) async fn give(
    State(app): State<Arc<App>>,
    Extension(door): Extension<Door>,
) -> Result<Created<TicketView>, ApiError> {
    let Door::Socket { tickets, .. } = &door else {
        return Err(ApiError::no_daemon());
    };
    let (ticket, until) = tickets.give(app.clock.now()).ok_or_else(ApiError::internal)?;
    let port = app.addresses().admin.map_or(0, |address| address.port());
    Ok(Created(TicketView { ticket, expires_at: until.into(), port }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "an object with ticket")]
pub(super) struct Redeem {
    ticket: String,
}

/// The one answer that holds the token. It has no `Debug`.
#[derive(Serialize, JsonSchema)]
pub(super) struct TokenView {
    token: String,
}

/// `POST /api/handover/redeem`: the token for a ticket, from our own page only, which the gate has seen to where a page
/// names itself.
pub(super) async fn redeem(
    State(app): State<Arc<App>>,
    Extension(door): Extension<Door>,
    headers: HeaderMap,
    Given(redeem): Given<Redeem>,
) -> Result<Json<TokenView>, ApiError> {
    let Door::Socket { tickets, token, .. } = &door else {
        return Err(ApiError::no_daemon());
    };
    if !headers.contains_key(ORIGIN) {
        return Err(ApiError::no_page());
    }
    if !tickets.take(&Secret::new(redeem.ticket), app.clock.now()) {
        return Err(ApiError::no_ticket());
    }
    tracing::info!("the dashboard was opened with a ticket");
    let token = token.text().ok_or_else(ApiError::internal)?.to_owned();
    Ok(Json(TokenView { token }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_secs(1_800_000_000);

    /// ADM-1, PRX-3
    #[test]
    fn a_ticket_is_good_once_and_for_a_minute() {
        let tickets = Tickets::default();
        let (first, until) = tickets.give(NOW).expect("a ticket");
        let (second, _) = tickets.give(NOW).expect("a ticket");
        assert_ne!(first, second);
        assert_eq!(until, NOW.after(GOOD));
        let take = |text: &str, now| tickets.take(&Secret::new(text), now);
        assert!(!take("", NOW) && !take(&first[1..], NOW) && !take("guess", NOW));
        assert!(take(&first, NOW));
        assert!(!take(&first, NOW), "it was used");
        assert!(!take(&second, NOW.after(GOOD)), "it is too old");
    }

    /// PRX-3
    #[test]
    fn so_many_tickets_are_good_at_once_and_the_newest_always_is() {
        let tickets = Tickets::default();
        let given: Vec<String> = (0..MOST + 3).map(|_| tickets.give(NOW).expect("a ticket").0).collect();
        let good = given.iter().filter(|text| tickets.take(&Secret::new(text.as_str()), NOW)).count();
        assert_eq!(good, MOST);
        let (newest, _) = tickets.give(NOW).expect("a ticket");
        assert!(tickets.take(&Secret::new(newest), NOW));
    }

    /// OBS-3
    #[test]
    fn no_ticket_shows_itself() {
        let tickets = Tickets::default();
        let (text, _) = tickets.give(NOW).expect("a ticket");
        assert!(!format!("{tickets:?}").contains(&text));
    }
}
