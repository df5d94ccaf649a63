"""Claude Code, with the two variables that README names."""

import install
from case import Case, Hold, Transcript, json_lines, run
from expiry import endings
from world import World

# A tool that every Claude Code has; echo needs no permission.
TOOL = ("Bash", {"command": "echo words", "description": "Says the words"})


def streaming(world: World) -> Transcript:
    return _claude(world, Hold(events=8))


def whole(world: World) -> Transcript:
    return _claude(world, None)


def _claude(world: World, hold: Hold | None) -> Transcript:
    program = install.npm_program("@anthropic-ai/claude-code", "claude")
    done = run(world, [str(program), "-p", "--verbose", "--output-format", "stream-json", "--include-partial-messages",
                       "Say the words."],
               hold=hold, ANTHROPIC_BASE_URL=f"http://{world.proxy}", ANTHROPIC_AUTH_TOKEN=world.client_key,
               DISABLE_TELEMETRY="1", CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1")
    text = next((line["result"] for line in json_lines(done.stdout) if line.get("type") == "result"), "")
    return Transcript(done, text)


CASES = [Case("claude-code", "anthropic", streaming)]
ENDINGS = endings("claude-code", "anthropic", whole, TOOL)
