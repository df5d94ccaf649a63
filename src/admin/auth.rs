//! Who may ask: the browser gate for every request, the token for all but health and metrics.
use super::{ApiError, Door};
use crate::model::Secret;
use crate::proxy::{Extra, Keys, Target, Turned};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use http::header::{AUTHORIZATION, HeaderValue};
use std::io;
use std::path::Path;

/// What a client of the admin API must show. Kept in a file that only its owner can read, made at the first start.
#[derive(Clone, Debug)]
pub struct AdminToken {
    secret: Secret,
    header: HeaderValue,
}

impl AdminToken {
    /// Bytes of randomness in a token.
    const BYTES: usize = 32;

    /// The token in `file`, or a new one, kept there with mode 0600. A file that others can read is refused.
    pub fn load_or_make(file: &Path) -> io::Result<Self> {
        match Self::load(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(file),
            other => other,
        }
    }

    /// The token in `file`.
    pub fn load(file: &Path) -> io::Result<Self> {
        Self::of(crate::config::read_private(file)?.trim())
    }

    /// The header that shows it.
    pub fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// The token itself, for the page that has shown a ticket.
    pub(super) fn text(&self) -> Option<&str> {
        self.header.to_str().ok()?.strip_prefix("Bearer ")
    }

    fn of(text: &str) -> io::Result<Self> {
        let spoilt = || {
            io::Error::new(io::ErrorKind::InvalidData, "it holds no token; delete it and start rota again")
        };
        if text.is_empty() {
            return Err(spoilt());
        }
        let mut header = HeaderValue::from_str(&format!("Bearer {text}")).map_err(|_| spoilt())?;
        header.set_sensitive(true);
        Ok(Self { secret: Secret::new(text), header })
    }

    fn make(file: &Path) -> io::Result<Self> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let mut bytes = [0; Self::BYTES];
        random(&mut bytes)?;
        let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        let mut out = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        Self::of(&text)
    }

    fn is_shown_by(&self, header: Option<&HeaderValue>) -> bool {
        let shown =
            header.and_then(|value| value.to_str().ok()).and_then(|text| text.strip_prefix("Bearer "));
        shown.is_some_and(|shown| Secret::new(shown) == self.secret)
    }
}

/// The kernel's own random numbers: for its first, the crypto library collects entropy for tens of milliseconds, which the
/// first start need not wait for.
#[cfg(target_os = "linux")]
fn random(bytes: &mut [u8]) -> io::Result<()> {
    // As few as these come whole (getrandom(2)).
    rustix::rand::getrandom(bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn random(bytes: &mut [u8]) -> io::Result<()> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| io::Error::other("the system has no randomness"))
}

/// The proxy's own gate, before anything else is looked at: Host, Origin, Sec-Fetch-Site, method, path.
pub(super) async fn gate(State(door): State<Door>, request: Request, next: Next) -> Response {
    let Door::Socket { gate, .. } = &door else {
        return next.run(request).await;
    };
    let (head, body) = request.into_parts();
    let admitted = gate.admit(&head, &Extra { hosts: &[], origins: &[], keys: Keys::NONE });
    match admitted.map(|admitted| admitted.target) {
        Ok(Target::Path) => next.run(Request::from_parts(head, body)).await,
        Ok(Target::Url(_)) => ApiError::gate(&Turned::ForeignTarget).into_response(),
        Err(turned) => ApiError::gate(&turned).into_response(),
    }
}

/// The token.
pub(super) async fn token(State(door): State<Door>, request: Request, next: Next) -> Response {
    match &door {
        Door::Inside => next.run(request).await,
        Door::Socket { token, .. } if token.is_shown_by(request.headers().get(AUTHORIZATION)) => {
            next.run(request).await
        }
        Door::Socket { .. } => ApiError::unauthorized().into_response(),
    }
}
