"""The Codex CLI as a user sets it up: a model provider of its own, without a credential and with one; over HTTP and over
WebSockets; one prompt, and conversations of many calls.
"""

from collections.abc import Callable

import install
from case import Case, Transcript, json_lines, run
from checks import fails_over
from conversations import PROMPTS, moves, moving_pool, stays, steady_pool
from expiry import endings
from states import states
from world import World, spent_and_fresh

CONFIG = """
model = "gpt-5.5"
model_provider = "rota"

[model_providers.rota]
name = "rota"
base_url = "http://{proxy}/backend-api/codex"
wire_api = "responses"
"""
# Retries are off: what succeeds here has succeeded in one go.
ONCE = CONFIG + "request_max_retries = 0\nstream_max_retries = 0\n"
# An account that fails before its first word drops the client's WebSocket, and the client connects again.
WEBSOCKET = CONFIG + "request_max_retries = 0\nsupports_websockets = true\n"
PROMPT = "Say the words."
# Codex' tool, as the models call it.
SHELL = ("exec_command", '{"cmd":"true {n}"}')
SOMEBODY = {"model": "gpt-5.5", "stream": True, "store": False, "instructions": "Answer.", "input": [
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Somebody else's."}]}]}


def without_credential(world: World) -> Transcript:
    return _codex(world, ONCE)


def with_key(world: World) -> Transcript:
    return _codex(world, ONCE + 'env_key = "CLIENT_KEY"\n')


def with_retries(world: World) -> Transcript:
    return _codex(world, CONFIG)


def over_websocket(world: World) -> Transcript:
    return _codex(world, WEBSOCKET)


def over_restarts(config: str) -> "Callable[[World], Transcript]":
    """A prompt; rota is started anew; the same session resumed; anew again; then a fork, which has a session id of its
    own, and only the ciphertext that it replays says where it came from.
    """

    def drive(world: World) -> Transcript:
        world.ask("/backend-api/codex/responses", SOMEBODY)
        seen = _codex(world, config)
        thread = next((line["thread_id"] for line in json_lines(seen.run.stdout) if line.get("type") == "thread.started"), "")
        for way in ["resume"] * (PROMPTS - 2) + ["fork"]:
            world.restart_rota()
            seen = _codex(world, config, [way, thread])
        return seen

    return drive


def _codex(world: World, config: str, session: list[str] | None = None) -> Transcript:
    world.write("codex/config.toml", config.format(proxy=world.tap.address))
    program = install.npm_program("@openai/codex", "codex")
    done = run(world, [str(program), "exec", "--json", "--skip-git-repo-check", "--sandbox", "read-only",
                       *(session or []), PROMPT],
               CODEX_HOME=str(world.home / "codex"), CLIENT_KEY=world.client_key)
    text = "".join(line["item"]["text"] for line in json_lines(done.stdout)
                   if line.get("type") == "item.completed" and line["item"]["type"] == "agent_message")
    return Transcript(done, text)


CASES = [
    Case("codex", spent_and_fresh("codex"), without_credential, fails_over()),
    Case("codex-with-key", spent_and_fresh("codex"), with_key, fails_over()),
]
ENDINGS = endings("codex", "codex", with_key, ("exec_command", {"cmd": "echo words"}))
# After the move the ciphertext of nine calls is left out of each of the eleven that follow.
TURNS = [Case("codex-20-turns", moving_pool("codex", *SHELL), without_credential, moves(sanitized=11))]
LONG = [
    Case("codex-ws-20-turns", moving_pool("codex", *SHELL), over_websocket, moves(besides=1)),
    Case("codex-restarts", steady_pool("codex", *SHELL), over_restarts(ONCE), stays),
    Case("codex-ws-restarts", steady_pool("codex", *SHELL), over_restarts(WEBSOCKET), stays),
]
# Its own retries are on: it is rota's answer that keeps it from them.
STATES = states("codex", "codex", "responses", with_retries, ("Try again at", "rota login"), retries=30)
