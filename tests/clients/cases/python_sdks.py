"""The OpenAI and Anthropic Python SDKs, configured by the environment as README says."""

import json

import install
from case import Case, Hold, Transcript, json_lines, run, script
from world import World


def openai_responses(world: World) -> Transcript:
    return _openai(world, "responses", Hold(events=5))


def openai_chat(world: World) -> Transcript:
    return _openai(world, "chat", Hold(events=2))


def anthropic_messages(world: World) -> Transcript:
    return _sdk(world, [script("anthropic_stream.py")], Hold(events=4), ANTHROPIC_BASE_URL=f"http://{world.proxy}",
                ANTHROPIC_API_KEY=world.client_key)


def _openai(world: World, api: str, hold: Hold) -> Transcript:
    return _sdk(world, [script("openai_stream.py"), api], hold, OPENAI_BASE_URL=f"http://{world.proxy}/v1",
                OPENAI_API_KEY=world.client_key)


def _sdk(world: World, arguments: list[str], hold: Hold, **environment: str) -> Transcript:
    done = run(world, [str(install.venv_python()), *arguments], hold, **environment)
    end = next((line for line in json_lines(done.stdout) if "text" in line), {"text": "", "headers": {}})
    return Transcript(done, end["text"], json.dumps(end["headers"]))


CASES = [
    Case("openai-sdk-responses", "openai", openai_responses),
    Case("openai-sdk-chat", "openai", openai_chat),
    Case("anthropic-sdk", "anthropic", anthropic_messages),
]
