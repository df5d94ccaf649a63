"""Claude Code, with the two variables that README names: one prompt, and conversations of many calls."""

import install
from case import Case, Hold, Transcript, json_lines, run
from checks import fails_over
from conversations import PROMPTS, moves, moving_pool, stays, steady_pool
from expiry import endings
from states import states
from world import World, spent_and_fresh

# Claude Code's tool, as the models call it.
BASH = ("Bash", '{"command":"echo {n}","description":"Says a number"}')
SOMEBODY = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Somebody else's."}]}


def drive(world: World) -> Transcript:
    """One prompt, shown as it comes."""
    return _claude(world, ["--include-partial-messages"], Hold(events=8))


def turns(world: World) -> Transcript:
    """One prompt that makes many model calls."""
    return _claude(world, [])


def over_restarts(world: World) -> Transcript:
    """A prompt; rota is started anew; the session goes on; anew again; then a fork, which has a session id of its own."""
    world.ask("/v1/messages", SOMEBODY)
    seen = _claude(world, [])
    for fork in [[]] * (PROMPTS - 2) + [["--fork-session"]]:
        world.restart_rota()
        seen = _claude(world, ["--continue", *fork])
    return seen


def _claude(world: World, options: list[str], hold: Hold | None = None) -> Transcript:
    program = install.npm_program("@anthropic-ai/claude-code", "claude")
    done = run(world, [str(program), "-p", "--verbose", "--output-format", "stream-json", "--allowedTools=Bash", *options,
                       "Say the words."],
               hold, ANTHROPIC_BASE_URL=f"http://{world.tap.address}", ANTHROPIC_AUTH_TOKEN=world.client_key,
               DISABLE_TELEMETRY="1", CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1")
    end = next((line for line in json_lines(done.stdout) if line.get("type") == "result"), {"is_error": True})
    return Transcript(done, "" if end["is_error"] else end["result"])


CASES = [Case("claude-code", spent_and_fresh("anthropic"), drive, fails_over())]
ENDINGS = endings("claude-code", "anthropic", turns, ("Bash", {"command": "echo words", "description": "Says the words"}))
LONG = [
    Case("claude-code-20-turns", moving_pool("anthropic", *BASH), turns, moves()),
    Case("claude-code-restarts", steady_pool("anthropic", *BASH), over_restarts, stays),
]
STATES = states("claude-code", "anthropic", "messages", turns, ("can serve right now", "rota status"), retries=11)
