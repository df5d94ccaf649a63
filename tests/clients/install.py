"""Installs the clients below target/clients, each in the version named here. What is there already is left alone."""

import json
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
BASE = TOP / "target" / "clients"
NPM = BASE / "npm"
VENV = BASE / "venv"

# Pinned: npm silently picks an older client when the newest wants a newer node.
NPM_VERSIONS = {
    "@openai/codex": "0.169.0",
    "@anthropic-ai/claude-code": "2.1.329",
    "opencode-ai": "1.18.33",
}


class Missing(Exception):
    """A client that cannot be installed here. Says what to do."""


def venv_python() -> Path:
    """The Python that has the SDKs of requirements.txt."""
    python = VENV / "bin" / "python"
    stamp = VENV / "requirements.installed"
    wanted = (HERE / "requirements.txt").read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print("installing the Python SDKs", flush=True)
    venv.create(VENV, with_pip=True, clear=True)
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
          "--requirement", str(HERE / "requirements.txt")])
    stamp.write_text(wanted)
    return python


def npm_program(package: str, program: str) -> Path:
    """The command of an npm package, in the pinned version."""
    version = NPM_VERSIONS[package]
    manifest = NPM / "node_modules" / package / "package.json"
    if not manifest.exists() or json.loads(manifest.read_text())["version"] != version:
        print(f"installing {package} {version}", flush=True)
        NPM.mkdir(parents=True, exist_ok=True)
        _run(["npm", "install", "--prefix", str(NPM), "--no-audit", "--no-fund", "--no-save", "--loglevel=error",
              *_already_there(package), f"{package}@{version}"])
    return NPM / "node_modules" / ".bin" / program


def _already_there(wanted: str) -> list[str]:
    """Without --save npm prunes what it does not know of, so each install names what is there too."""
    return [f"{package}@{version}" for package, version in NPM_VERSIONS.items()
            if package != wanted and (NPM / "node_modules" / package).exists()]


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900)
    except FileNotFoundError:
        raise Missing(f"{command[0]} is not installed; README's \"Tests\" names the packages") from None
    except subprocess.TimeoutExpired:
        raise Missing(f"installing took longer than 15 minutes: {' '.join(command)}") from None
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
        raise Missing(f"installing failed: {' '.join(command)}")
