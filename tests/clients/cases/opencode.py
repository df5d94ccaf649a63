"""OpenCode with its built-in openai provider. It asks for a title too, so it makes two requests or more."""

import json

import install
from case import Case, Transcript, json_lines, run
from world import World


def drive(world: World) -> Transcript:
    config = {
        "model": "openai/gpt-5.1",
        "small_model": "openai/gpt-5.1",
        "autoupdate": False,
        "share": "disabled",
        "provider": {"openai": {"options": {"baseURL": f"http://{world.proxy}/v1", "apiKey": world.client_key}}},
    }
    world.write("config/opencode/opencode.json", json.dumps(config))
    program = install.npm_program("opencode-ai", "opencode")
    done = run(world, [str(program), "run", "--format", "json", "Say the words."], OPENCODE_DISABLE_MODELS_FETCH="1")
    text = "".join(line["part"]["text"] for line in json_lines(done.stdout) if line.get("type") == "text")
    return Transcript(done, text)


CASES = [Case("opencode", "openai", drive, requests=None)]
