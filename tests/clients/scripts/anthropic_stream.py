"""Streams one answer with the Anthropic SDK. Prints JSON lines: deltas, then the end."""

import json
import sys

from anthropic import Anthropic

# No retries, unless they are asked for: what succeeds here has succeeded in one go.
client = Anthropic(timeout=60) if "retrying" in sys.argv else Anthropic(max_retries=0, timeout=60)


def say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


with client.messages.stream(
    model="claude-sonnet-4-5", max_tokens=64, messages=[{"role": "user", "content": "Say the words."}]
) as stream:
    for delta in stream.text_stream:
        say(delta=delta)
    say(text=stream.get_final_text(), headers=dict(stream.response.headers))
