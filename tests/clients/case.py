"""What a client's file has to provide, what it hands back, and how a client is run."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from world import FIRST_PIECE, Pool, World

# How long the first piece of a reply may take to show before the rest is let go, and the client found not to stream.
PIECE_SECONDS = 30


@dataclass(frozen=True)
class Check:
    """One finding. `detail` is shown where it is not true."""

    name: str
    true: bool
    detail: str = ""


@dataclass(frozen=True)
class Case:
    """A client, driven once."""

    name: str
    pool: Pool
    drive: "Callable[[World], Transcript]"
    # What must hold of this one, beyond what must hold of every one.
    checks: "Callable[[World, Transcript], Iterator[Check]]"
    # The world it is driven in, where that is none of the usual ones.
    world: Callable[..., World] = World


@dataclass(frozen=True)
class Hold:
    """Where the upstream stops in its reply, so that a client can show whether it has what came before."""

    # Events of the stream that are sent first; the last of them has the first piece of the answer.
    events: int
    # What a line of the client's output has in it as soon as that piece has arrived.
    shows: str = FIRST_PIECE


@dataclass(frozen=True)
class Run:
    """A client that has ended."""

    exit_code: int
    stdout: str
    stderr: str
    # Whether a first piece was shown while the upstream still held the rest back; None where that was not asked.
    streamed: bool | None


@dataclass(frozen=True)
class Transcript:
    """All that a client let us see."""

    run: Run
    # The answer as the client understood it; empty where it did not come to a proper end.
    text: str
    # Reply headers, where the client shows them.
    headers: str = ""


def run(world: World, command: list[str], hold: Hold | None = None, **environment: str) -> Run:
    """Runs a client to its end, in the world's home and with nothing on its standard input.

    With a `hold` the upstream stops in the middle of its reply until the client has shown what came before. So a proxy
    that keeps a reply back cannot pass, and nothing is timed. A client that does not end by itself is ended when
    the pool's patience is over.
    """
    work = world.home / "work"
    work.mkdir(exist_ok=True)
    errors = world.home / "client.err"
    if hold is not None:
        world.hold_replies(hold.events)
    with errors.open("wb") as stderr:
        process = subprocess.Popen(command, cwd=work, env=world.environment(**environment), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=stderr, text=True, encoding="utf-8", errors="replace")
    output = _Output(process, hold)
    streamed = None
    if hold is not None:
        streamed = output.shows_its_first_piece()
        world.release_replies()
    try:
        code = process.wait(timeout=world.pool.patience)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    return Run(code, output.whole(), errors.read_text(errors="replace"), streamed)


def said(run: Run) -> str:
    """What a client left, for the detail of a finding."""
    return f"exit {run.exit_code}\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}"


def json_lines(text: str) -> list[dict]:
    """The JSON objects among the lines of a text, bare or as data of an event stream; the rest is the client's chatter."""
    found = []
    for line in text.splitlines():
        try:
            value = json.loads(line.removeprefix("data:"))
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def script(name: str) -> str:
    """A Python file of scripts/, to be run by the Python that has the SDKs."""
    return str(Path(__file__).resolve().parent / "scripts" / name)


class _Output:
    """Reads a client's standard output while the client runs."""

    def __init__(self, process: subprocess.Popen, hold: Hold | None) -> None:
        self._pipe = process.stdout
        self._hold = hold
        self._lines: list[str] = []
        self._shown = False
        self._decided = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def shows_its_first_piece(self) -> bool:
        """Waits for it, at most until the output ends or the limit is reached."""
        self._decided.wait(PIECE_SECONDS)
        return self._shown

    def whole(self) -> str:
        """Everything, once the client has ended. A grandchild that keeps the pipe open is not waited for."""
        self._reader.join(timeout=5)
        return "".join(self._lines)

    def _read(self) -> None:
        for line in self._pipe:
            self._lines.append(line)
            if self._hold is not None and self._hold.shows in line:
                self._shown = True
                self._decided.set()
        self._decided.set()
