"""What the README shows is what happens: its curl lines are run, and their output compared."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.e2e.conftest import Serve
from tools.peers import Server

README = Path(__file__).parents[2] / "README.md"


def commands(text: str) -> list[tuple[str, str]]:
    """(command, output) of each ``$`` line in a console block; a command goes on while a quote is open."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines(keepends=True)
            command = lines.pop(0)
            while command.count("'") % 2:
                command += lines.pop(0)
            found.append((command.strip(), "".join(lines)))
    return found


def curl(server: Server, command: str) -> str:
    """What curl would print, for the few options that the README uses."""
    words = shlex.split(command)
    cut = None
    if "|" in words:
        at = words.index("|")
        assert words[at + 1 : -1] == ["head", "-c"]
        cut = int(words[-1])
        words = words[:at]
    assert words.pop(0) == "curl"
    method, target, body, headers, form = "GET", "", None, {}, ""
    while words:
        word = words.pop(0)
        if word.startswith("-X"):
            method = word[2:]
        elif word in ("--data", "--data-binary"):
            body = words.pop(0).encode()
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        elif word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name] = value
        elif word == "-w":
            form = words.pop(0)
        elif word == "-o":
            assert words.pop(0) == "/dev/null"
        elif word != "-s":
            target = word.removeprefix("http://localhost:8086")
    status, answer = server.request(method, target, body, headers)
    text = form.replace("%{http_code}", str(status)).replace("\\n", "\n") if form else answer.decode()
    return text[:cut]


def test_the_readme_prints_what_it_shows(serve: Serve) -> None:
    server = serve()
    shown = [pair for pair in commands(README.read_text()) if pair[0].startswith("curl")]
    assert len(shown) >= 4
    for command, output in shown:
        assert curl(server, command).rstrip("\n") == output.rstrip("\n"), command
