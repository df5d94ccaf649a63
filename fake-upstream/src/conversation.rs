//! What every dialect needs of a turn: who speaks, what is said, in how many
//! pieces, and how much it is said to cost.

use serde_json::Value;

use crate::ask::{Ask, Via};
use crate::assertions::Rule;
use crate::auth::Caller;
use crate::script::ToolCall;
use crate::world::{Mint, World};

/// Most text deltas of one stream.
const MAX_DELTAS: u32 = 100_000;

/// A turn under way: the request, its account and the state.
pub(crate) struct Turn<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) ask: &'a Ask,
    pub(crate) caller: &'a Caller,
    pub(crate) now: i64,
}

impl Turn<'_> {
    /// The text of the answer in its pieces.
    pub(crate) fn pieces(&self) -> Vec<String> {
        let own = self.world.accounts.get(self.caller.place).and_then(|account| account.text.as_deref());
        pieces(own.unwrap_or(&self.world.script.text), self.world.script.deltas)
    }

    pub(crate) fn model(&self) -> String {
        match self.ask.text("model") {
            "" => "fake".into(),
            model => model.into(),
        }
    }

    /// Whether the client wants events.
    pub(crate) fn streams(&self) -> bool {
        let accepts = self.ask.head.header("accept").contains("text/event-stream");
        self.ask.flag("stream").unwrap_or(self.ask.oversize && accepts)
    }

    /// The scripted tool call, when the request offers the tool under
    /// `name_at` of each entry of `tools` and fewer results are there since the
    /// prompt than the script wants.
    pub(crate) fn tool(&self, name_at: &str, results: usize) -> Option<ToolCall> {
        let offered = self.ask.json.get("tools").and_then(Value::as_array)?;
        let named = |tool: &&ToolCall| {
            offered.iter().any(|entry| entry.pointer(name_at).and_then(Value::as_str) == Some(&tool.name))
        };
        let tool = self.world.script.tools.iter().find(named)?;
        let arguments = tool.arguments.replace("{n}", &(results + 1).to_string());
        (results < tool.times as usize).then(|| ToolCall { arguments, ..tool.clone() })
    }

    /// Remembers that an id was given to the caller. `kept`: it is good wherever
    /// the organisation asks, not only over the same WebSocket.
    pub(crate) fn mint(&mut self, id: &str, kept: Kept) {
        let socket = match self.ask.via {
            Via::Http => None,
            Via::Socket { id, .. } => Some(id),
        };
        let (account, org) = (self.caller.id.clone(), self.caller.org.clone());
        self.world.mint(id, Mint { account, org, kept: kept == Kept::ByOrganisation, socket });
    }

    /// Reports what the caller should not have been sent.
    pub(crate) fn violation(&mut self, rule: Rule, words: String) {
        self.world.violation(rule, &self.caller.id, words);
    }

    /// Tokens of the request: a quarter of its bytes.
    pub(crate) fn input_tokens(&self) -> u64 {
        self.ask.body.len() as u64 / 4 + 1
    }
}

/// Where an id is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    ByConnection,
    ByOrganisation,
}

fn pieces(text: &str, count: u32) -> Vec<String> {
    let count = count.clamp(1, MAX_DELTAS) as usize;
    let letters: Vec<char> = text.chars().collect();
    if letters.len() < count {
        return std::iter::repeat_n(text.to_owned(), count).collect();
    }
    let cut = |place: usize| place * letters.len() / count;
    (0..count)
        .map(|place| letters.get(cut(place)..cut(place + 1)).unwrap_or_default().iter().collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_or_repeated_into_as_many_pieces_as_asked() {
        assert_eq!(pieces("PONG", 2), ["PO", "NG"]);
        assert_eq!(pieces("äöü", 2), ["ä", "öü"]);
        assert_eq!(pieces("ab", 3), ["ab", "ab", "ab"]);
        assert_eq!(pieces("", 0), [""]);
        assert_eq!(pieces("abcdefg", 3).concat(), "abcdefg");
    }
}
