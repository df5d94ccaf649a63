//! The words in which tests write faults: makers, filters, shapes.

use serde_json::Value;

use crate::coding::Coding;
use crate::fault::{Action, Ending, Fault, Payload};

impl Fault {
    /// Serves the request as usual; shape the reply with the methods below.
    pub fn none() -> Self {
        Self::default()
    }

    /// Answers with this status and body.
    pub fn reply(status: u16, body: impl Into<Payload>) -> Self {
        Self::none().and(Action::Reply { status, body: body.into() })
    }

    /// Answers with a recorded reply; see [`crate::catalogue_names`].
    pub fn named(name: impl Into<String>) -> Self {
        Self::none().and(Action::Named(name.into()))
    }

    /// Answers before the upload has ended.
    pub fn early(status: u16, body: impl Into<Payload>) -> Self {
        Self::none().and(Action::Early { status, body: body.into() })
    }

    /// Writes these bytes instead of a reply, then closes; see [`Fault::finish`].
    pub fn raw(bytes: impl Into<Payload>) -> Self {
        Self::none().and(Action::Raw(bytes.into()))
    }

    /// Answers 200 with so many bytes in constant memory.
    pub fn flood(bytes: u64) -> Self {
        Self::none().and(Action::Flood(bytes))
    }

    /// Answers 200 with an event stream without an end.
    pub fn endless() -> Self {
        Self::none().and(Action::Endless)
    }

    /// Answers with a redirect.
    pub fn redirect(status: u16, location: impl Into<String>) -> Self {
        Self::reply(status, "").header("location", location)
    }

    /// Closes or resets the connection before any byte of a reply.
    pub fn no_reply(ending: Ending) -> Self {
        Self::none().and(Action::Cut { at: 0, ending })
    }

    /// Adds any action.
    #[must_use]
    pub fn and(mut self, action: Action) -> Self {
        self.actions.push(action);
        self
    }

    /// Meets only this account.
    #[must_use]
    pub fn account(mut self, id: impl Into<String>) -> Self {
        self.when.account = Some(id.into());
        self
    }

    /// Meets only this model.
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.when.model = Some(model.into());
        self
    }

    /// Meets only this path; a `*` at the end matches every continuation.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.when.path = Some(path.into());
        self
    }

    /// Meets only this method.
    #[must_use]
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.when.method = Some(method.into());
        self
    }

    /// Acts so many times.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.when.times = Some(times);
        self
    }

    /// Acts once.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Lets so many requests through first.
    #[must_use]
    pub fn skip(mut self, requests: u64) -> Self {
        self.when.skip = requests;
        self
    }

    /// Meets every n-th request.
    #[must_use]
    pub fn every(mut self, nth: u64) -> Self {
        self.when.every = nth;
        self
    }

    /// Serves the request before it replaces the reply.
    #[must_use]
    pub fn committed(mut self) -> Self {
        self.committed = true;
        self
    }

    /// Adds a header to the reply.
    #[must_use]
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.and(Action::Header(name.into(), value.into()))
    }

    /// Removes a header from the reply.
    #[must_use]
    pub fn without_header(self, name: impl Into<String>) -> Self {
        self.and(Action::WithoutHeader(name.into()))
    }

    /// Ends the stream with `response.failed` after `after` events.
    #[must_use]
    pub fn failed(self, after: usize, code: &str, message: &str) -> Self {
        let error = serde_json::json!({"code": code, "message": message});
        self.in_band(
            after,
            serde_json::json!({"type": "response.failed", "response": {"id": "resp_failed", "error": error}}),
        )
    }

    /// Ends the stream with the `error` event of Anthropic after `after` events.
    #[must_use]
    pub fn error_event(self, after: usize, kind: &str, message: &str) -> Self {
        let error = serde_json::json!({"type": kind, "message": message});
        self.in_band(after, serde_json::json!({"type": "error", "error": error}))
    }

    /// Ends the stream with the `{"error": …}` chunk of chat completions after
    /// `after` events.
    #[must_use]
    pub fn error_chunk(self, after: usize, code: &str, message: &str) -> Self {
        let error = serde_json::json!({"code": code, "type": code, "message": message, "param": null});
        self.in_band(after, serde_json::json!({ "error": error }))
    }

    /// Ends the stream in good form after `after` events, without the last ones.
    #[must_use]
    pub fn stop_after(self, after: usize) -> Self {
        self.and(Action::StopAfter(after))
    }

    /// Meets only handshakes of WebSockets.
    #[must_use]
    pub fn handshake(self) -> Self {
        self.method("GET")
    }

    /// Meets only messages over WebSockets.
    #[must_use]
    pub fn message(self) -> Self {
        self.method("WS")
    }

    /// Sends a close frame after the last message of a WebSocket, then closes.
    #[must_use]
    pub fn close_frame(self, code: u16, reason: impl Into<String>) -> Self {
        self.and(Action::CloseFrame { code, reason: reason.into() })
    }

    /// Sends each message of a WebSocket in fragments of so many bytes.
    #[must_use]
    pub fn fragments(self, bytes: usize) -> Self {
        self.and(Action::Fragment(bytes))
    }

    /// Sends a ping before the first message.
    #[must_use]
    pub fn ping(self) -> Self {
        self.and(Action::Ping)
    }

    /// Ends the stream with this event after `after` events.
    #[must_use]
    pub fn in_band(self, after: usize, event: Value) -> Self {
        self.and(Action::InBand { event, after })
    }

    /// Keeps the connection open after the last byte.
    #[must_use]
    pub fn hold(self) -> Self {
        self.and(Action::Hold)
    }

    /// Ends after byte `at` of the whole reply.
    #[must_use]
    pub fn cut(self, at: u64, ending: Ending) -> Self {
        self.and(Action::Cut { at, ending })
    }

    /// Ends after byte `at` of the body.
    #[must_use]
    pub fn cut_body(self, at: u64, ending: Ending) -> Self {
        self.and(Action::CutBody { at, ending })
    }

    /// Ends after so many events, without an end of the body.
    #[must_use]
    pub fn cut_after(self, events: usize, ending: Ending) -> Self {
        self.cut_within(events, 0, ending)
    }

    /// Ends after so many events and so many bytes of the next.
    #[must_use]
    pub fn cut_within(self, events: usize, bytes: u64, ending: Ending) -> Self {
        self.and(Action::CutAfter { events, bytes, ending })
    }

    /// Ends the connection after the whole reply.
    #[must_use]
    pub fn finish(self, ending: Ending) -> Self {
        self.and(Action::Finish(ending))
    }

    /// Waits at the gate before the head.
    #[must_use]
    pub fn stall_head(self, gate: impl Into<String>) -> Self {
        self.and(Action::StallHead(gate.into()))
    }

    /// Waits at the gate after so many events.
    #[must_use]
    pub fn stall_after(self, events: usize, gate: impl Into<String>) -> Self {
        self.and(Action::StallAfter { events, gate: gate.into() })
    }

    /// Codes the body.
    #[must_use]
    pub fn encode(self, coding: Coding) -> Self {
        self.and(Action::Encode(coding))
    }

    /// Appends bytes to the body.
    #[must_use]
    pub fn trailing(self, bytes: impl Into<Payload>) -> Self {
        self.and(Action::Trailing(bytes.into()))
    }

    /// Sends one byte at a time.
    #[must_use]
    pub fn drip(self) -> Self {
        self.and(Action::Drip)
    }
}
