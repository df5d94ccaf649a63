"""OpenCode with its built-in openai provider. It asks for a title too, so it makes two requests or more."""

import json

import install
from case import Case, Transcript, json_lines, run
from checks import fails_over
from conversations import SANITIZE, moves, moving_pool
from states import bounded, limited
from world import World, spent_and_fresh


# OpenCode's tool, as the models call it.
BASH = ("bash", '{"command":"true {n}","description":"Nothing"}')

def drive(world: World) -> Transcript:
    config = {
        "model": "openai/gpt-5.1",
        "small_model": "openai/gpt-5.1",
        "autoupdate": False,
        "share": "disabled",
        "provider": {"openai": {"options": {"baseURL": f"http://{world.tap.address}/v1", "apiKey": world.client_key}}},
    }
    world.write("config/opencode/opencode.json", json.dumps(config))
    program = install.npm_program("opencode-ai", "opencode")
    done = run(world, [str(program), "run", "--format", "json", "--auto", "Say the words."], OPENCODE_DISABLE_MODELS_FETCH="1")
    text = "".join(line["part"]["text"] for line in json_lines(done.stdout) if line.get("type") == "text")
    return Transcript(done, text)


CASES = [Case("opencode", spent_and_fresh("openai"), drive, fails_over(requests=None))]
# It asks for a title beside its twenty calls.
LONG = [Case("opencode-20-turns", moving_pool("openai", *BASH, changes=SANITIZE), drive, moves(besides=None))]
# It tries again whatever it is told, at most five times for each of its two calls.
STATES = [Case("opencode-limited", limited("openai"), drive, bounded(12))]
