//! A decision record as one line of JSON: what its `Serialize` says, byte for byte, without looking into names that are
//! known and texts that need no escape. Every request writes one.
use super::record::rfc3339;
use super::{AttemptRecord, DecisionRecord};
use crate::model::{Reason, RequestId, Time};
use serde::Serialize;

/// The record with the two fields that every JSON log line begins with.
pub(super) fn write(record: &DecisionRecord, to: &mut Vec<u8>) {
    // Whole, so that a field that is new is missed here.
    let DecisionRecord {
        request_id,
        at,
        method,
        path,
        client,
        provider,
        model,
        strategy,
        session,
        selected_alias,
        why,
        fallback_reason,
        force_state,
        enabled_state,
        attempts,
        sign_in,
        in_band,
        outcome,
        status,
        refusal,
        reasons,
        first_byte_ms,
        duration_ms,
        overhead_ms,
        bytes_in,
        bytes_out,
    } = record;
    to.extend_from_slice(br#"{"level":"INFO","target":"rota::decision""#);
    let mut line = Line(to);
    line.digits(r#","requestId":"#, *request_id);
    line.value(r#","at":"#, &Moment(*at));
    line.text(r#","method":"#, method.as_str());
    line.text(r#","path":"#, path);
    line.word(r#","client":"#, client.as_ref().map(|client| client.as_str()));
    line.word(r#","provider":"#, provider.as_ref().map(|provider| provider.as_str()));
    line.word(r#","model":"#, model.as_ref().map(|model| model.as_str()));
    line.text(r#","strategy":"#, strategy.as_str());
    line.word(r#","session":"#, session.as_ref().map(|kind| kind.as_str()));
    line.word(r#","selectedAlias":"#, selected_alias.as_ref().map(|alias| alias.as_str()));
    line.word(r#","why":"#, why.map(|why| why.as_str()));
    line.word(r#","fallbackReason":"#, fallback_reason.map(Reason::as_str));
    line.word(r#","forceState":"#, force_state.as_ref().map(|alias| alias.as_str()));
    line.value(r#","enabledState":"#, enabled_state);
    line.attempts(attempts);
    line.value(r#","signIn":"#, sign_in);
    line.value(r#","inBand":"#, in_band);
    line.text(r#","outcome":"#, outcome.as_str());
    line.value(r#","status":"#, status);
    line.word(r#","refusal":"#, *refusal);
    line.value(r#","reasons":"#, reasons);
    line.value(r#","firstByteMs":"#, first_byte_ms);
    line.value(r#","durationMs":"#, duration_ms);
    line.value(r#","overheadMs":"#, overhead_ms);
    line.value(r#","bytesIn":"#, bytes_in);
    line.value(r#","bytesOut":"#, bytes_out);
    to.push(b'}');
}

#[derive(Serialize)]
struct Moment(#[serde(serialize_with = "rfc3339")] Time);

struct Line<'a>(&'a mut Vec<u8>);

impl Line<'_> {
    fn name(&mut self, name: &'static str) {
        self.0.extend_from_slice(name.as_bytes());
    }

    fn value(&mut self, name: &'static str, value: &impl Serialize) {
        self.name(name);
        // A Vec takes whatever is written to it, and a record has nothing that JSON has not.
        let _ = serde_json::to_writer(&mut *self.0, value);
    }

    fn word(&mut self, name: &'static str, word: Option<&str>) {
        match word {
            Some(word) => self.text(name, word),
            None => {
                self.name(name);
                self.0.extend_from_slice(b"null");
            }
        }
    }

    fn text(&mut self, name: &'static str, text: &str) {
        if !is_plain(text.as_bytes()) {
            self.value(name, &text);
            return;
        }
        self.name(name);
        self.0.push(b'"');
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(b'"');
    }

    fn digits(&mut self, name: &'static str, id: RequestId) {
        self.name(name);
        self.0.push(b'"');
        self.0.extend_from_slice(&id.digits());
        self.0.push(b'"');
    }

    fn attempts(&mut self, attempts: &[AttemptRecord]) {
        self.name(r#","attempts":["#);
        for (index, attempt) in attempts.iter().enumerate() {
            let AttemptRecord { alias, why, verdict, scope, rule, reason, status, ms } = attempt;
            self.text(if index == 0 { r#"{"alias":"# } else { r#",{"alias":"# }, alias.as_str());
            self.text(r#","why":"#, why.as_str());
            self.text(r#","verdict":"#, verdict);
            self.word(r#","scope":"#, *scope);
            self.word(r#","rule":"#, rule.as_deref());
            self.word(r#","reason":"#, reason.map(Reason::as_str));
            self.value(r#","status":"#, status);
            self.value(r#","ms":"#, ms);
            self.0.push(b'}');
        }
        self.0.push(b']');
    }
}

/// True where JSON needs no escape (RFC 8259 §7).
fn is_plain(text: &[u8]) -> bool {
    // Without a way out early the compiler looks at many bytes at once.
    !text.iter().fold(false, |odd, byte| odd | (*byte < b' ') | (*byte == b'"') | (*byte == b'\\'))
}

#[cfg(test)]
mod tests {
    use super::super::{InBandRecord, Outcome, SignInRecord, SkipRecord};
    use super::*;
    use crate::engine::Why;
    use crate::model::{Alias, KeyName, ModelName, ProviderId, Strategy};
    use http::{HeaderName, Method};
    use proptest::prelude::*;

    proptest! {
        /// OBS-1
        #[test]
        fn a_line_is_what_the_record_says_byte_for_byte(
            texts in prop::collection::vec("[ -~\n\u{0}\u{7f}\u{e9}\u{2028}\"\\\\]{0,60}", 2),
            words in prop::collection::vec("[a-zA-Z0-9-]{1,20}", 2),
            id in any::<u64>(),
            numbers in prop::array::uniform4(any::<u32>()),
            millis in prop::array::uniform3(0.0..1e9f64),
            attempts in 0usize..3,
            told in any::<bool>(),
        ) {
            let record = record((&texts, &words, id), numbers, millis, attempts, told);
            let mut line = Vec::new();
            write(&record, &mut line);
            let record = serde_json::to_string(&record).unwrap();
            let expected = format!(r#"{{"level":"INFO","target":"rota::decision",{}"#, &record[1..]);
            prop_assert_eq!(String::from_utf8(line).unwrap(), expected);
        }
    }

    fn record(
        (texts, words, id): (&[String], &[String], u64),
        numbers: [u32; 4],
        millis: [f64; 3],
        attempts: usize,
        told: bool,
    ) -> DecisionRecord {
        let alias = || Alias::try_from("team").unwrap();
        let some = |text: &String| told.then(|| text.as_str().into());
        let attempt = AttemptRecord {
            alias: alias(),
            why: Why::Rotated,
            verdict: "rate-limit",
            scope: told.then_some("account"),
            rule: some(&texts[0]),
            reason: told.then_some(Reason::QuotaExhausted),
            status: told.then_some(429),
            ms: u64::from(numbers[0]),
        };
        let reason =
            || SkipRecord { reason: Reason::QuotaExhausted, until: Some(Time::from_secs(numbers[1].into())) };
        DecisionRecord {
            request_id: RequestId(id),
            at: Time::from_secs(numbers[1].into()),
            method: Method::from_bytes(words[0].as_bytes()).unwrap(),
            path: (*texts[1]).into(),
            client: told.then(|| KeyName::try_from("ci").unwrap()),
            provider: told.then(|| ProviderId::try_from("chat").unwrap()),
            model: told.then(|| ModelName::try_from("m-1").unwrap()),
            strategy: Strategy::RoundRobin,
            session: told.then(|| HeaderName::try_from(&words[1]).unwrap()),
            selected_alias: told.then(alias),
            why: told.then_some(Why::Owner),
            fallback_reason: told.then_some(Reason::QuotaExhausted),
            force_state: told.then(alias),
            enabled_state: (numbers[2] as usize, numbers[3] as usize),
            attempts: std::iter::repeat_n(attempt, attempts).collect(),
            sign_in: told.then(|| SignInRecord { alias: alias(), held_until: None, end: Some("failed") }),
            in_band: told.then(|| InBandRecord {
                verdict: "pass",
                scope: None,
                rule: some(&texts[0]),
                reason: None,
            }),
            outcome: Outcome::Served,
            status: told.then_some(200),
            refusal: told.then_some("NO_ELIGIBLE_ACCOUNTS"),
            reasons: (0..attempts).map(|_| (alias(), reason())).collect(),
            first_byte_ms: told.then_some(millis[0]),
            duration_ms: millis[1],
            overhead_ms: millis[2],
            bytes_in: numbers[2].into(),
            bytes_out: numbers[3].into(),
        }
    }
}
