"""The Codex CLI as a user sets it up: a model provider of its own, without a credential and with one."""

import install
from case import Case, Transcript, json_lines, run
from expiry import endings
from world import World

# Retries are off: what succeeds here has succeeded in one go.
CONFIG = """
model = "gpt-5.5"
model_provider = "rota"

[model_providers.rota]
name = "rota"
base_url = "http://{proxy}/backend-api/codex"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""


def without_credential(world: World) -> Transcript:
    return _codex(world, CONFIG)


def with_key(world: World) -> Transcript:
    return _codex(world, CONFIG + 'env_key = "CLIENT_KEY"\n')


def _codex(world: World, config: str) -> Transcript:
    world.write("codex/config.toml", config.format(proxy=world.proxy))
    program = install.npm_program("@openai/codex", "codex")
    done = run(world, [str(program), "exec", "--json", "--skip-git-repo-check", "--sandbox", "read-only",
                       "Say the words."],
               CODEX_HOME=str(world.home / "codex"), CLIENT_KEY=world.client_key)
    text = "".join(line["item"]["text"] for line in json_lines(done.stdout)
                   if line.get("type") == "item.completed" and line["item"]["type"] == "agent_message")
    return Transcript(done, text)


# A tool that every Codex has.
TOOL = ("exec_command", {"cmd": "echo words"})

CASES = [
    Case("codex", "codex", without_credential),
    Case("codex-with-key", "codex", with_key),
]
ENDINGS = endings("codex", "codex", with_key, TOOL)
