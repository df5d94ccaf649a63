"""Asks a real rota whatever its OpenAPI document allows, and much that it does not, and holds every answer against it.

The tool (schemathesis) is installed below target/api-check. Providers are at a closed port, so nothing leaves the machine.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
VENV = TOP / "target" / "api-check"
TOOL = "schemathesis==4.32.5"
# Of one operation, at most.
EXAMPLES = os.environ.get("EXAMPLES", "40")
CHECKS = ("not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
          "response_schema_conformance,negative_data_rejection,missing_required_header,unsupported_method,"
          "allow_header_conformance,ignored_auth")
# What is asked of accounts is asked of one there is; only what removes one is asked of another. Of answers above 499, those
# that say of a provider, of the disk or of the pool that it is not there (502, 503) are meant; 500 never is.
TOOL_CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "4xx", 502, 503]

[parameters]
"path.alias" = "work"

[[operations]]
include-path = "/api/accounts/{alias}"
include-method = "DELETE"
[operations.parameters]
"path.alias" = "home"
"""
# Streams that end when the reader leaves.
ENDLESS = ("/api/events", "/api/runs/{id}")
NOWHERE = "http://127.0.0.1:9"
GUARD = 60


def tool() -> Path:
    program = VENV / "bin" / "schemathesis"
    stamp = VENV / "installed"
    if not (stamp.exists() and stamp.read_text() == TOOL):
        print(f"installing {TOOL}", flush=True)
        venv.create(VENV, with_pip=True, clear=True)
        pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", TOOL]
        subprocess.run(pip, check=True)
        stamp.write_text(TOOL)
    return program


def configuration() -> str:
    """Every provider nowhere, and its token endpoint too."""
    presets = sorted(path.stem for path in (TOP / "config" / "providers").glob("*.toml"))
    text = "[features]\nantigravity = true\n"
    for preset in presets:
        if preset.startswith("_"):
            continue
        text += f'[providers.{preset}]\norigin = "{NOWHERE}"\n'
        if "[token]" in (TOP / "config" / "providers" / f"{preset}.toml").read_text():
            text += f'token_url = "{NOWHERE}/oauth/token"\n'
    return text


def call(admin: str, token: str, path: str, body: dict) -> None:
    head = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    request = urllib.request.Request(f"http://{admin}{path}", json.dumps(body).encode(), head)
    urllib.request.urlopen(request, timeout=GUARD).close()


def main() -> int:
    rota = str(Path(sys.argv[1]).resolve())
    program = tool()
    with tempfile.TemporaryDirectory() as home:
        root = Path(home)
        config = root / "rota.toml"
        config.write_text(configuration())
        env = {"HOME": home, "ROTA_LISTEN": "127.0.0.1:0", "ROTA_ADMIN_LISTEN": "127.0.0.1:0", "ROTA_CONFIG": str(config)}
        info = root / "info.json"
        log = (root / "log").open("wb")
        daemon = subprocess.Popen([rota, "serve", "--server-info", str(info)], env=env, stderr=log)
        try:
            for _ in range(GUARD * 20):
                if info.exists() or daemon.poll() is not None:
                    break
                time.sleep(0.05)
            admin = json.loads(info.read_text())["admin"]
            token = (root / ".local/state/rota/admin-token").read_text()
            for alias in ("work", "home"):
                call(admin, token, "/api/accounts", {"alias": alias, "provider": "openai", "secret": f"sk-{alias}"})
            (root / "schemathesis.toml").write_text(TOOL_CONFIG)
            document = root / "openapi.json"
            document.write_bytes(subprocess.run([rota, "openapi"], env=env, check=True, capture_output=True).stdout)
            run = [str(program), "run", str(document), "--url", f"http://{admin}", "--checks", CHECKS,
                   "--header", f"Authorization: Bearer {token}", "--max-examples", EXAMPLES,
                   "--request-timeout", str(GUARD), "--seed", "1", "--generation-database", "none"]
            run += [word for path in ENDLESS for word in ("--exclude-path", path)]
            found = subprocess.run(run, cwd=home, check=False).returncode
            if daemon.poll() is not None:
                print("rota has ended:", (root / "log").read_text()[-4000:])
                return 1
            return found
        finally:
            daemon.terminate()
            daemon.wait(timeout=GUARD)


if __name__ == "__main__":
    sys.exit(main())
