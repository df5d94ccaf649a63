//! A decision record as one line of JSON: what its `Serialize` says, byte for byte. Every request writes one, so what a
//! record holds mostly is written straight into place; where it holds more, `Serialize` itself writes it.
use super::{AttemptRecord, DecisionRecord};
use crate::engine::Why;
use crate::model::{Alias, KeyName, ModelName, ProviderId, Reason, Time};
use http::HeaderName;

/// What every line begins with, before the record's own fields.
const HEAD: &[u8; 41] = br#"{"level":"INFO","target":"rota::decision""#;

/// Bytes of a line that is written straight into place.
const ROOM: usize = 1536;

/// Digits of the largest number.
const LONGEST_NUMBER: usize = 20;

/// Writes lines, and remembers what the second looks like that the last one was in.
#[derive(Debug, Default)]
pub(super) struct Lines {
    second: Option<Second>,
}

#[derive(Debug)]
struct Second {
    number: u64,
    /// As RFC 3339 writes it, without what follows the second.
    text: String,
}

impl Lines {
    /// The record with the two fields that every JSON log line begins with.
    pub(super) fn write(&mut self, record: &DecisionRecord, to: &mut Vec<u8>) {
        let start = to.len();
        to.resize(start + ROOM, 0);
        let mut line = Line(&mut to[start..]);
        let written = self.line(record, &mut line).map(|()| ROOM - line.0.len());
        to.truncate(start + written.unwrap_or(0));
        if written.is_none() {
            to.extend_from_slice(HEAD);
            let name = to.len();
            // A Vec takes whatever is written to it, and a record has nothing that JSON has not.
            let _ = serde_json::to_writer(&mut *to, record);
            // Its brace is where the next field begins.
            to[name] = b',';
        }
    }

    /// None where the record holds what is rare: a text that needs an escape, a sign-in, an account's reason, or more than
    /// there is room for.
    fn line(&mut self, record: &DecisionRecord, line: &mut Line<'_>) -> Option<()> {
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
            sign_in: None,
            in_band: None,
            outcome,
            status,
            refusal,
            reasons,
            first_byte_ms,
            duration_ms,
            overhead_ms,
            bytes_in,
            bytes_out,
        } = record
        else {
            return None;
        };
        if !reasons.is_empty() {
            return None;
        }
        line.put(HEAD)?;
        line.put(br#","requestId":""#)?;
        line.put(&request_id.digits())?;
        line.put(br#"","at":""#)?;
        self.moment(*at, line)?;
        line.put(br#"","method":""#)?;
        line.text(method.as_str().as_bytes())?;
        line.put(br#"","path":""#)?;
        line.text(plain(path.bytes())?)?;
        line.word(br#"","client":"#, client.as_ref().map(KeyName::as_str))?;
        line.word(br#","provider":"#, provider.as_ref().map(ProviderId::as_str))?;
        line.odd_word(br#","model":"#, model.as_ref().map(ModelName::as_str))?;
        line.word(br#","strategy":"#, Some(strategy.as_str()))?;
        line.word(br#","session":"#, session.as_ref().map(HeaderName::as_str))?;
        line.word(br#","selectedAlias":"#, selected_alias.as_ref().map(Alias::as_str))?;
        line.word(br#","why":"#, why.map(Why::as_str))?;
        line.word(br#","fallbackReason":"#, fallback_reason.map(Reason::as_str))?;
        line.word(br#","forceState":"#, force_state.as_ref().map(Alias::as_str))?;
        line.number(br#","enabledState":["#, enabled_state.0 as u64)?;
        line.number(b",", enabled_state.1 as u64)?;
        line.attempts(attempts)?;
        line.word(br#","signIn":null,"inBand":null,"outcome":"#, Some(outcome.as_str()))?;
        line.status(*status)?;
        line.word(br#","refusal":"#, *refusal)?;
        match first_byte_ms {
            Some(span) => line.span(br#","reasons":{},"firstByteMs":"#, *span)?,
            None => line.put(br#","reasons":{},"firstByteMs":null"#)?,
        }
        line.span(br#","durationMs":"#, *duration_ms)?;
        line.span(br#","overheadMs":"#, *overhead_ms)?;
        line.number(br#","bytesIn":"#, *bytes_in)?;
        line.number(br#","bytesOut":"#, *bytes_out)?;
        line.put(b"}")
    }

    /// RFC 3339, with as many digits behind the second as it takes.
    fn moment(&mut self, at: Time, line: &mut Line<'_>) -> Option<()> {
        let (number, millis) = (at.as_millis() / 1000, at.as_millis() % 1000);
        let second = match self.second.take() {
            Some(second) if second.number == number => second,
            _ => Second::new(number)?,
        };
        let second = self.second.insert(second);
        line.text(second.text.as_bytes())?;
        let [hundreds, tens, ones] = [millis / 100, millis / 10 % 10, millis % 10].map(|it| b'0' + it as u8);
        match (hundreds, tens, ones) {
            (b'0', b'0', b'0') => {}
            (_, b'0', b'0') => line.put(&[b'.', hundreds])?,
            (_, _, b'0') => line.put(&[b'.', hundreds, tens])?,
            _ => line.put(&[b'.', hundreds, tens, ones])?,
        }
        line.put(b"Z")
    }
}

impl Second {
    /// None beyond the years there are.
    fn new(number: u64) -> Option<Self> {
        let stamp = jiff::Timestamp::from_second(i64::try_from(number).ok()?).ok()?;
        let mut text = stamp.to_string();
        (text.pop() == Some('Z')).then_some(Self { number, text })
    }
}

/// What is left of the room for a line.
struct Line<'a>(&'a mut [u8]);

impl Line<'_> {
    /// A text whose length is known beforehand, so that it is moved and not copied in a loop.
    fn put<const N: usize>(&mut self, text: &[u8; N]) -> Option<()> {
        let (place, rest) = std::mem::take(&mut self.0).split_first_chunk_mut()?;
        *place = *text;
        self.0 = rest;
        Some(())
    }

    fn text(&mut self, text: &[u8]) -> Option<()> {
        let (place, rest) = std::mem::take(&mut self.0).split_at_mut_checked(text.len())?;
        place.copy_from_slice(text);
        self.0 = rest;
        Some(())
    }

    /// A word that needs no escape, or `null`, behind its `name`.
    fn word<const N: usize>(&mut self, name: &[u8; N], word: Option<&str>) -> Option<()> {
        self.put(name)?;
        let Some(word) = word else {
            return self.put(b"null");
        };
        self.put(b"\"")?;
        self.text(word.as_bytes())?;
        self.put(b"\"")
    }

    /// A word that may need one.
    fn odd_word<const N: usize>(&mut self, name: &[u8; N], word: Option<&str>) -> Option<()> {
        plain(word.unwrap_or_default().as_bytes())?;
        self.word(name, word)
    }

    fn number<const N: usize>(&mut self, name: &[u8; N], number: u64) -> Option<()> {
        self.put(name)?;
        if number < 10 {
            return self.put(&[b'0' + number as u8]);
        }
        let (mut digits, mut left, mut begin) = ([b'0'; LONGEST_NUMBER], number, LONGEST_NUMBER);
        while left > 0 {
            begin -= 1;
            digits[begin] = b'0' + (left % 10) as u8;
            left /= 10;
        }
        self.text(&digits[begin..])
    }

    fn status(&mut self, status: Option<u16>) -> Option<()> {
        match status {
            Some(status) => self.number(br#","status":"#, status.into()),
            None => self.put(br#","status":null"#),
        }
    }

    fn span<const N: usize>(&mut self, name: &[u8; N], millis: f64) -> Option<()> {
        self.put(name)?;
        serde_json::to_writer(&mut self.0, &millis).ok()
    }

    fn attempts(&mut self, attempts: &[AttemptRecord]) -> Option<()> {
        self.put(br#"],"attempts":["#)?;
        for (index, attempt) in attempts.iter().enumerate() {
            let AttemptRecord { alias, why, verdict, scope, rule, reason, status, ms } = attempt;
            if index > 0 {
                self.put(b",")?;
            }
            self.word(br#"{"alias":"#, Some(alias.as_str()))?;
            self.word(br#","why":"#, Some(why.as_str()))?;
            self.word(br#","verdict":"#, Some(verdict))?;
            self.word(br#","scope":"#, *scope)?;
            self.odd_word(br#","rule":"#, rule.as_deref())?;
            self.word(br#","reason":"#, reason.map(Reason::as_str))?;
            self.status(*status)?;
            self.number(br#","ms":"#, *ms)?;
            self.put(b"}")?;
        }
        self.put(b"]")
    }
}

/// The text, where JSON needs no escape (RFC 8259 §7).
fn plain(text: &[u8]) -> Option<&[u8]> {
    let escaped = |byte: u8| (byte < b' ') | (byte == b'"') | (byte == b'\\');
    // Without a way out early the compiler looks at many bytes at once.
    (!text.iter().fold(false, |odd, byte| odd | escaped(*byte))).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::super::{InBandRecord, Outcome, SignInRecord, SkipRecord};
    use super::*;
    use crate::model::{RequestId, Strategy};
    use http::Method;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

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
            late in prop::array::uniform2(prop_oneof![Just(0), Just(100), Just(120), 0u64..3000]),
            rare in any::<bool>(),
        ) {
            let record = record((&texts, &words, id), numbers, millis, attempts, told);
            let mut lines = Lines::default();
            for late in late {
                let mut record = record.clone();
                record.at = record.at.after(Duration::from_millis(late));
                if !rare {
                    (record.sign_in, record.in_band, record.reasons) = (None, None, BTreeMap::new());
                }
                let mut line = b"before".to_vec();
                lines.write(&record, &mut line);
                let record = serde_json::to_string(&record).unwrap();
                let expected = format!(r#"before{{"level":"INFO","target":"rota::decision",{}"#, &record[1..]);
                prop_assert_eq!(String::from_utf8(line).unwrap(), expected);
            }
        }
    }

    /// OBS-1
    #[test]
    fn a_line_has_room_for_any_path_and_any_time() {
        let words = ["a".to_owned(), "b".to_owned()];
        for (length, at) in [(ROOM - 700, 0), (ROOM, 7), (9 * ROOM, 1 << 40), (1, u64::MAX)] {
            let texts = [String::new(), "x".repeat(length)];
            let mut record = record((&texts, &words, 1), [1; 4], [0.5; 3], 1, false);
            record.at = Time::from_millis(at);
            let mut line = Vec::new();
            Lines::default().write(&record, &mut line);
            let record = serde_json::to_string(&record).unwrap();
            let expected = format!(r#"{{"level":"INFO","target":"rota::decision",{}"#, &record[1..]);
            assert_eq!(String::from_utf8(line).unwrap(), expected);
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
