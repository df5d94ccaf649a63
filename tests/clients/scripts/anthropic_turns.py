"""A conversation with tool calls and thinking with the Anthropic SDK. Prints JSON lines: each call, then the end.

Arguments: a prompt, and a file that keeps the conversation from one run to the next. Nothing but the signatures of its
thinking blocks says which conversation it is.
"""

import json
import sys
from pathlib import Path

from anthropic import Anthropic

# No retries: what succeeds here has succeeded in one go.
client = Anthropic(max_retries=0, timeout=60)
TOOL = {"name": "step", "description": "Takes a step.",
        "input_schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}}
KEPT = {"thinking": ("type", "thinking", "signature"), "tool_use": ("type", "id", "name", "input"), "text": ("type", "text")}


def say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def answer(history: list) -> str:
    while True:
        with client.messages.stream(model="claude-sonnet-4-5", max_tokens=4096, messages=history, tools=[TOOL],
                                    thinking={"type": "enabled", "budget_tokens": 1024}) as stream:
            reply = stream.get_final_message()
        blocks = [{name: block[name] for name in KEPT[block["type"]]} for block in reply.model_dump()["content"]]
        history.append({"role": "assistant", "content": blocks})
        calls = [block for block in blocks if block["type"] == "tool_use"]
        if not calls:
            return "".join(block["text"] for block in blocks if block["type"] == "text")
        for call in calls:
            say(call=call["input"])
        history.append({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": call["id"], "content": "done"} for call in calls]})


prompt, file = sys.argv[1], Path(sys.argv[2])
conversation = json.loads(file.read_text()) if file.exists() else []
conversation.append({"role": "user", "content": prompt})
text = answer(conversation)
file.write_text(json.dumps(conversation))
say(text=text)
