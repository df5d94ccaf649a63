//! The Responses API: the event stream in the order of the real one, the same
//! as one JSON object, and `/responses/compact`.

use serde_json::{Value, json};

use crate::assertions::Rule;
use crate::conversation::{Kept, Turn};
use crate::event::Event;
use crate::reply::Reply;
use crate::responses_input::{BESIDE_REASONING, check, compaction_ciphertext, reasoning_ciphertext};
use crate::routes::Provider;
use crate::seal::{Purpose, open, seal};

/// Header by which one turn finds its way back to where it began.
pub(crate) const TURN_STATE: &str = "x-codex-turn-state";

/// Answers `/responses`.
pub(crate) fn create(mut turn: Turn<'_>, provider: Provider) -> Reply {
    let turn_state = turn_state(&mut turn);
    if let Err(refused) = check(&mut turn, provider) {
        return refused;
    }
    let draft = Draft::new(&mut turn);
    let stored = turn.ask.flag("store").unwrap_or(true);
    turn.mint(&draft.id, if stored { Kept::ByOrganisation } else { Kept::ByConnection });
    let mut reply =
        if turn.streams() { Reply::events(draft.events()) } else { Reply::json(200, &draft.finished()) };
    reply.set("openai-model", &draft.model);
    if let Some(turn_state) = turn_state {
        reply.set(TURN_STATE, &turn_state);
    }
    reply
}

/// Answers `/responses/compact`: one item that stands for the whole history.
pub(crate) fn compact(mut turn: Turn<'_>, provider: Provider) -> Reply {
    // The strict rules of the event stream do not hold for this unary call.
    let rules = if provider == Provider::ChatGpt { Provider::OpenAi } else { provider };
    if let Err(refused) = check(&mut turn, rules) {
        return refused;
    }
    let id = format!("cmp_{}", turn.world.serial());
    let ciphertext = compaction_ciphertext(&turn, &id);
    Reply::json(200, &json!({"output": [{"type": "compaction", "id": id, "encrypted_content": ciphertext}]}))
}

/// Checks the turn state that came and gives out the one that goes back. Only
/// ChatGPT logins have one.
pub(crate) fn turn_state(turn: &mut Turn<'_>) -> Option<String> {
    let in_body = turn.ask.json.pointer("/client_metadata/x-codex-turn-state").and_then(Value::as_str);
    let came = match turn.ask.head.header(TURN_STATE) {
        "" => in_body.unwrap_or_default().to_owned(),
        header => header.to_owned(),
    };
    if came.is_empty() {
        let is_login = turn.caller.meter == crate::limits::Meter::Codex;
        let serial = turn.world.serial().to_string();
        return is_login.then(|| seal(Purpose::TurnState, &[&turn.caller.id, &serial]));
    }
    let minted_for = open(Purpose::TurnState, &came).and_then(|fields| fields.into_iter().next());
    if minted_for.as_deref() != Some(&turn.caller.id) {
        let owner = minted_for.unwrap_or_else(|| "nobody".into());
        let words =
            format!("{TURN_STATE} of {owner:?} came with the credential of account {:?}", turn.caller.id);
        turn.violation(Rule::TurnState, words);
    }
    Some(came)
}

/// The answer of one turn, before it is written as events or as one object.
struct Draft {
    id: String,
    model: String,
    created_at: i64,
    pieces: Vec<String>,
    /// The finished items in their order.
    items: Vec<Value>,
    usage: Value,
}

impl Draft {
    fn new(turn: &mut Turn<'_>) -> Self {
        let number = turn.world.serial();
        let (pieces, usage) = (turn.pieces(), Value::Null);
        let (id, model) = (format!("resp_{number}"), turn.model());
        let mut draft = Self { id, model, created_at: turn.now, pieces, items: Vec::new(), usage };
        if !turn.ask.is_prewarm() {
            draft.items = draft.output(turn, number);
        }
        let output = if draft.items.is_empty() { 0 } else { draft.pieces.len() as u64 };
        let input = turn.input_tokens();
        draft.usage = json!({
            "input_tokens": input, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": output, "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": input + output,
        });
        draft
    }

    fn output(&self, turn: &mut Turn<'_>, number: u64) -> Vec<Value> {
        let reasons = wants_ciphertext(&turn.ask.json);
        let mut items = Vec::new();
        let mark = if reasons { format!("{BESIDE_REASONING}{number}") } else { number.to_string() };
        if reasons {
            items.push(json!({
                "type": "reasoning", "id": format!("rs_{mark}"),
                "summary": [{"type": "summary_text", "text": "Thinking of an answer."}],
                "encrypted_content": reasoning_ciphertext(turn),
            }));
        }
        items.push(match turn.tool("/name", results(&turn.ask.json)) {
            Some(tool) => json!({
                "type": "function_call", "id": format!("fc_{mark}"), "call_id": format!("call_{number}"),
                "name": tool.name, "arguments": tool.arguments, "status": "completed",
            }),
            None => json!({
                "type": "message", "id": format!("msg_{mark}"), "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": self.pieces.concat(), "annotations": []}],
            }),
        });
        items
    }

    fn response(&self, status: &str, output: &[Value], usage: &Value) -> Value {
        json!({
            "id": self.id, "object": "response", "created_at": self.created_at, "status": status,
            "model": self.model, "output": output, "error": null, "incomplete_details": null,
            "parallel_tool_calls": true, "tool_choice": "auto", "tools": [], "metadata": {},
            "usage": usage,
        })
    }

    fn finished(&self) -> Value {
        self.response("completed", &self.items, &self.usage)
    }

    fn events(&self) -> Vec<Event> {
        let begun = self.response("in_progress", &[], &Value::Null);
        let mut stream = Stream::default();
        stream.push(json!({"type": "response.created", "response": begun}));
        if !self.items.is_empty() {
            stream.push(json!({"type": "response.in_progress", "response": begun}));
        }
        for (place, item) in self.items.iter().enumerate() {
            self.item_events(&mut stream, place, item);
        }
        let mut finished = self.finished();
        if let Some(response) = finished.as_object_mut() {
            response.insert("end_turn".into(), true.into());
        }
        stream.push(json!({"type": "response.completed", "response": finished}));
        stream.events
    }

    fn item_events(&self, stream: &mut Stream, place: usize, item: &Value) {
        let id = item.get("id").cloned().unwrap_or_default();
        let mut begun = item.clone();
        if let Some(fields) = begun.as_object_mut() {
            let empty = [("content", json!([])), ("summary", json!([])), ("arguments", json!(""))];
            for (field, nothing) in empty {
                fields.entry(field).and_modify(|value| *value = nothing);
            }
            fields.remove("encrypted_content");
            fields.entry("status").and_modify(|status| *status = "in_progress".into());
        }
        stream.push(json!({"type": "response.output_item.added", "output_index": place, "item": begun}));
        match item.get("type").and_then(Value::as_str) {
            Some("message") => self.text_events(stream, place, &id),
            Some("function_call") => {
                let arguments = item.get("arguments").cloned().unwrap_or_default();
                stream.push(json!({"type": "response.function_call_arguments.delta", "item_id": id,
                    "output_index": place, "delta": arguments}));
                stream.push(json!({"type": "response.function_call_arguments.done", "item_id": id,
                    "output_index": place, "arguments": arguments}));
            }
            _ => {}
        }
        stream.push(json!({"type": "response.output_item.done", "output_index": place, "item": item}));
    }

    fn text_events(&self, stream: &mut Stream, place: usize, id: &Value) {
        let text = self.pieces.concat();
        let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
        stream.push(json!({"type": "response.content_part.added", "item_id": id, "output_index": place,
            "content_index": 0, "part": part("")}));
        for piece in &self.pieces {
            stream.push(json!({"type": "response.output_text.delta", "item_id": id, "output_index": place,
                "content_index": 0, "delta": piece}));
        }
        stream.push(json!({"type": "response.output_text.done", "item_id": id, "output_index": place,
            "content_index": 0, "text": text}));
        stream.push(json!({"type": "response.content_part.done", "item_id": id, "output_index": place,
            "content_index": 0, "part": part(&text)}));
    }
}

/// Events with their running numbers.
#[derive(Default)]
struct Stream {
    events: Vec<Event>,
}

impl Stream {
    fn push(&mut self, mut data: Value) {
        if let Some(fields) = data.as_object_mut() {
            fields.insert("sequence_number".into(), self.events.len().into());
        }
        self.events.push(Event::typed(&data));
    }
}

fn wants_ciphertext(body: &Value) -> bool {
    let included = body.get("include").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    included.iter().any(|entry| entry == "reasoning.encrypted_content")
}

/// Results of tools since the last message of the user.
fn results(body: &Value) -> usize {
    let items = body.get("input").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text =
        |item: &Value, field: &str| item.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    items
        .iter()
        .rev()
        .take_while(|item| text(item, "role") != "user")
        .filter(|item| text(item, "type").ends_with("_call_output"))
        .count()
}
