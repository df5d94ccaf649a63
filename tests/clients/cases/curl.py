"""curl: once without any credential, and once with every one that a client could send."""

import json

from case import Case, Hold, Run, Transcript, json_lines, run
from checks import fails_over
from world import World, spent_and_fresh

RESPONSES = {"model": "gpt-5.1", "stream": True, "input": "Say the words."}
CHAT = {"model": "gpt-5.1", "stream": True, "messages": [{"role": "user", "content": "Say the words."}]}


def without_credential(world: World) -> Transcript:
    done, headers = _stream(world, "/openai/v1/responses", RESPONSES, Hold(events=5), [])
    events = json_lines(done.stdout)
    deltas = [event["delta"] for event in events if event.get("type") == "response.output_text.delta"]
    ended = any(event.get("type") == "response.completed" for event in events)
    return Transcript(done, "".join(deltas) if ended else "", headers)


def with_every_credential(world: World) -> Transcript:
    key = world.client_key
    done, headers = _stream(world, "/v1/chat/completions", CHAT, Hold(events=2), [
        f"authorization: Bearer {key}", f"x-api-key: {key}", f"x-goog-api-key: {key}", f"api-key: {key}",
        f"proxy-authorization: Bearer {key}", f"cookie: session={key}", f"chatgpt-account-id: {key}",
    ])
    deltas = [choice["delta"].get("content") or "" for event in json_lines(done.stdout)
              for choice in event.get("choices", [])]
    ended = done.stdout.rstrip().endswith("data: [DONE]")
    return Transcript(done, "".join(deltas) if ended else "", headers)


def _stream(world: World, path: str, body: dict, hold: Hold, headers: list[str]) -> tuple[Run, str]:
    """The run and the reply's head."""
    head = world.home / "reply-headers"
    command = ["curl", "--silent", "--show-error", "--no-buffer", "--fail-with-body", "--dump-header", str(head),
               "--header", "content-type: application/json", "--data-binary", json.dumps(body),
               f"http://{world.proxy}{path}"]
    for header in headers:
        command += ["--header", header]
    done = run(world, command, hold)
    return done, head.read_text() if head.exists() else ""


CASES = [
    Case("curl", spent_and_fresh("openai"), without_credential, fails_over()),
    Case("curl-with-every-credential", spent_and_fresh("openai"), with_every_credential, fails_over()),
]
