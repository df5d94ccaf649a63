"""The OpenAI and Anthropic Python SDKs, configured by the environment as README says."""

import json
from collections.abc import Callable

import install
from case import Case, Hold, Transcript, json_lines, run, script
from checks import fails_over
from conversations import PROMPTS, SANITIZE, moves, moving_pool, stays, steady_pool
from states import states
from world import World, spent_and_fresh


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


def _sdk(world: World, arguments: list[str], hold: Hold | None = None, **environment: str) -> Transcript:
    done = run(world, [str(install.venv_python()), *arguments], hold, **environment)
    end = next((line for line in json_lines(done.stdout) if "text" in line), {"text": ""})
    return Transcript(done, end["text"], json.dumps(end.get("headers", {})))


PROMPT = "Take your steps, then say the words."
# The SDKs' tool, as the models call it.
STEP = ("step", '{"n": {n}}')


def openai_turns(manner: str) -> "Callable[[World], Transcript]":
    """One prompt that makes twenty model calls."""
    return lambda world: _openai_turn(world, manner)


def anthropic_turns(world: World) -> Transcript:
    return _anthropic_turn(world)


def openai_over_restarts(world: World) -> Transcript:
    """The program is another one each time, and has nothing but the conversation's own items."""
    world.ask("/openai/v1/responses", {"model": "gpt-5.1", "input": "Somebody else's."})
    return _over_restarts(world, lambda: _openai_turn(world, "reasoning"))


def anthropic_over_restarts(world: World) -> Transcript:
    """The same, with signatures of thinking."""
    world.ask("/v1/messages", {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]})
    return _over_restarts(world, lambda: _anthropic_turn(world))


def openai_retrying(api: str) -> "Callable[[World], Transcript]":
    """The SDK as it comes, with its retries."""
    return lambda world: _sdk(world, [script("openai_stream.py"), api, "retrying"],
                              OPENAI_BASE_URL=f"http://{world.tap.address}/v1", OPENAI_API_KEY=world.client_key)


def anthropic_retrying(world: World) -> Transcript:
    """The SDK as it comes, with its retries."""
    return _sdk(world, [script("anthropic_stream.py"), "retrying"], ANTHROPIC_BASE_URL=f"http://{world.tap.address}",
                ANTHROPIC_API_KEY=world.client_key)


def _over_restarts(world: World, prompt: "Callable[[], Transcript]") -> Transcript:
    seen = prompt()
    for _ in range(1, PROMPTS):
        world.restart_rota()
        seen = prompt()
    return seen


def _openai_turn(world: World, manner: str) -> Transcript:
    return _sdk(world, [script("openai_turns.py"), manner, PROMPT, str(world.home / "conversation.json")],
                OPENAI_BASE_URL=f"http://{world.tap.address}/v1", OPENAI_API_KEY=world.client_key)


def _anthropic_turn(world: World) -> Transcript:
    return _sdk(world, [script("anthropic_turns.py"), PROMPT, str(world.home / "conversation.json")],
                ANTHROPIC_BASE_URL=f"http://{world.tap.address}", ANTHROPIC_API_KEY=world.client_key)


CASES = [
    Case("openai-sdk-responses", spent_and_fresh("openai"), openai_responses, fails_over()),
    Case("openai-sdk-chat", spent_and_fresh("openai"), openai_chat, fails_over()),
    Case("anthropic-sdk", spent_and_fresh("anthropic"), anthropic_messages, fails_over()),
]

TURNS = [
    Case("openai-sdk-20-turns", moving_pool("openai", *STEP, changes=SANITIZE), openai_turns("reasoning"),
         moves(sanitized=11)),
    Case("openai-sdk-chat-20-turns", moving_pool("openai", *STEP), openai_turns("chat"), moves()),
    Case("anthropic-sdk-20-turns", moving_pool("anthropic", *STEP), anthropic_turns, moves()),
]
RESTARTS = [
    Case("openai-sdk-restarts", steady_pool("openai", *STEP), openai_over_restarts, stays),
    Case("anthropic-sdk-restarts", steady_pool("anthropic", *STEP), anthropic_over_restarts, stays),
]
STATES = [
    *states("openai-sdk", "openai", "responses", openai_retrying("responses"), ("resets_at", "rota status"), retries=3),
    *states("anthropic-sdk", "anthropic", "messages", anthropic_retrying, ("resets_at", "rota status"), retries=3),
]
