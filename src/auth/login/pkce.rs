use super::error::LoginError;
use crate::model::Secret;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Random bytes in a verifier: 86 characters, of the 43 to 128 that there may be (RFC 7636 §4.1).
const VERIFIER: usize = 64;
/// Random bytes in a `state`.
const STATE: usize = 32;
/// Random bytes in a job's id: nobody guesses one of 128 bits.
const ID: usize = 16;

/// A secret of ours, and what is shown of it beforehand, so that a code is of no use to whoever finds one (RFC 7636).
pub(super) struct Pkce {
    /// Sent with the code, to the token endpoint only.
    pub(super) verifier: Secret,
    /// Its SHA-256; the method is `S256`.
    pub(super) challenge: String,
}

impl Pkce {
    pub(super) fn new() -> Result<Self, LoginError> {
        let verifier = URL_SAFE_NO_PAD.encode(random::<VERIFIER>()?);
        let challenge = challenge(&verifier);
        Ok(Self { verifier: Secret::new(verifier), challenge })
    }
}

fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

/// A new `state` (RFC 6749 §10.12): it goes into the page's address, and whoever comes back must show it.
pub(super) fn state() -> Result<String, LoginError> {
    Ok(URL_SAFE_NO_PAD.encode(random::<STATE>()?))
}

/// A new job's id: hex digits, so that it can stand in any path or argument.
pub(super) fn id() -> Result<String, LoginError> {
    Ok(random::<ID>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], LoginError> {
    let mut bytes = [0; BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| LoginError::NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// REN-5: the example of RFC 7636, appendix B.
    #[test]
    fn a_challenge_is_the_verifiers_digest() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    /// REN-5
    #[test]
    fn what_is_made_up_is_long_enough_and_never_the_same() {
        let (one, two) = (Pkce::new().unwrap(), Pkce::new().unwrap());
        assert_eq!(one.challenge.len(), 43);
        assert_ne!(one.challenge, two.challenge);
        assert_ne!(one.verifier, two.verifier);
        let (state, id) = (state().unwrap(), id().unwrap());
        assert_eq!((state.len(), id.len()), (43, 32));
        assert_ne!(state, super::state().unwrap());
        assert_ne!(id, super::id().unwrap());
    }
}
