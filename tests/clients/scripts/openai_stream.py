"""Streams one answer with the OpenAI SDK (argument: responses | chat). Prints JSON lines: deltas, then the end."""

import json
import sys

from openai import OpenAI

PROMPT = "Say the words."

# No retries, unless they are asked for: what succeeds here has succeeded in one go.
client = OpenAI(timeout=60) if "retrying" in sys.argv else OpenAI(max_retries=0, timeout=60)


def say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


if sys.argv[1] == "responses":
    with client.responses.stream(model="gpt-5.1", input=PROMPT) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                say(delta=event.delta)
        say(text=stream.get_final_response().output_text, headers=dict(stream._response.headers))
else:
    text = ""
    stream = client.chat.completions.create(
        model="gpt-5.1", stream=True, messages=[{"role": "user", "content": PROMPT}]
    )
    for chunk in stream:
        for choice in chunk.choices:
            if choice.delta.content:
                text += choice.delta.content
                say(delta=choice.delta.content)
            if choice.finish_reason:
                say(text=text, headers=dict(stream.response.headers))
