"""Claude Code, with the two variables that README names."""

import install
from case import Case, Hold, Transcript, json_lines, run
from world import World


def drive(world: World) -> Transcript:
    program = install.npm_program("@anthropic-ai/claude-code", "claude")
    done = run(world, [str(program), "-p", "--verbose", "--output-format", "stream-json", "--include-partial-messages",
                       "Say the words."],
               hold=Hold(events=8), ANTHROPIC_BASE_URL=f"http://{world.proxy}", ANTHROPIC_AUTH_TOKEN=world.client_key,
               DISABLE_TELEMETRY="1", CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1")
    text = next((line["result"] for line in json_lines(done.stdout) if line.get("type") == "result"), "")
    return Transcript(done, text)


CASES = [Case("claude-code", "anthropic", drive)]
