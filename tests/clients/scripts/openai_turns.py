"""A conversation with tool calls with the OpenAI SDK. Prints JSON lines: each call, then the end.

Arguments: how it goes on (reasoning: whole, with ciphertext, nothing stored; chat: chat
completions), a prompt, and a file that keeps the conversation from one run to the next.
"""

import json
import sys
from pathlib import Path

from openai import OpenAI

# No retries: what succeeds here has succeeded in one go.
client = OpenAI(max_retries=0, timeout=60)
MODEL = "gpt-5.1"
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
TOOL = {"type": "function", "name": "step", "description": "Takes a step.", "parameters": SCHEMA, "strict": True}
CHAT_TOOL = {"type": "function", "function": {"name": "step", "description": "Takes a step.", "parameters": SCHEMA}}


def say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def reasoning(history: list) -> str:
    """Replays everything, reasoning included. Nothing but that says which conversation it is."""
    while True:
        with client.responses.stream(model=MODEL, input=history, tools=[TOOL], store=False,
                                     include=["reasoning.encrypted_content"]) as stream:
            reply = stream.get_final_response()
        history += [item.model_dump(exclude_none=True, exclude={"status", "parsed", "parsed_arguments"})
                    for item in reply.output]
        if not (calls := results(reply)):
            return reply.output_text
        history += calls


def results(reply: object) -> list:
    """An output for each call of the reply's."""
    calls = [item for item in reply.output if item.type == "function_call"]
    for call in calls:
        say(call=call.arguments)
    return [{"type": "function_call_output", "call_id": call.call_id, "output": "done"} for call in calls]


def chat(history: list) -> str:
    """Nothing of an account's is in it, so that its name is all that holds it together."""
    while True:
        reply = client.chat.completions.create(model=MODEL, messages=history, tools=[CHAT_TOOL],
                                               prompt_cache_key="a-long-talk").choices[0].message
        history.append(reply.model_dump(exclude_none=True))
        if not reply.tool_calls:
            return reply.content
        for call in reply.tool_calls:
            say(call=call.function.arguments)
            history.append({"role": "tool", "tool_call_id": call.id, "content": "done"})


manner, prompt, file = sys.argv[1], sys.argv[2], Path(sys.argv[3])
conversation = json.loads(file.read_text()) if file.exists() else []
conversation.append({"role": "user", "content": prompt})
text = {"reasoning": reasoning, "chat": chat}[manner](conversation)
file.write_text(json.dumps(conversation))
say(text=text)
