"""The agent's local socket, `run_dir/agent.sock`: one JSON line asked, one JSON line answered.

Nothing that can be asked here moves money.

Who may open the socket file may ask; its folder and mode decide that.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.errors import UnreachableError

SOCKET_NAME = "agent.sock"
_LONGEST = 4096
_CLIENTS = 16


Answers = dict[str, Callable[[dict[str, Any]], Any]]


class ControlServer:
    """Serves the socket inside the agent's selector loop; a client that is slow or rude is dropped.

    Raises UnreachableError when the folder can't be used.
    """

    def __init__(self, run_dir: Path, selector: selectors.BaseSelector, answers: Answers) -> None:
        self.path = run_dir / SOCKET_NAME
        self._selector = selector
        self._answers = answers
        self._clients: dict[socket.socket, bytes] = {}
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            run_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
            self.path.unlink(missing_ok=True)  # the journal's lock has proven that no other agent lives
            self._listener.bind(str(self.path))
            os.chmod(self.path, 0o660)
            self._listener.listen(8)
        except OSError as error:
            self._listener.close()
            raise UnreachableError("control.folder", path=self.path, detail=error.strerror or error) from error
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def close(self) -> None:
        """End: the file goes too."""
        for client in list(self._clients):
            self._drop(client)
        self._selector.unregister(self._listener)
        self._listener.close()
        self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        client.setblocking(False)
        if len(self._clients) >= _CLIENTS:
            client.close()
            return
        self._clients[client] = b""
        self._selector.register(client, selectors.EVENT_READ, lambda: self._read(client))

    def _read(self, client: socket.socket) -> None:
        try:
            data = client.recv(_LONGEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        asked = self._clients[client] + data
        if not data or len(asked) > _LONGEST:
            self._drop(client)
            return
        *lines, self._clients[client] = asked.split(b"\n")
        try:
            for line in lines:
                client.sendall(json.dumps(self._answer(line), ensure_ascii=False).encode() + b"\n")
        except OSError:
            self._drop(client)

    def _answer(self, line: bytes) -> Any:
        try:
            asked = json.loads(line)
        except (ValueError, RecursionError):
            return {"error": "not JSON"}
        answer = self._answers.get(str(asked.get("op"))) if isinstance(asked, dict) else None
        return answer(asked) if answer else {"error": f"unknown op; known: {', '.join(self._answers)}"}

    def _drop(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        del self._clients[client]
        client.close()


def ask(run_dir: Path, op: str, timeout_s: float = 3.0, **values: Any) -> dict[str, Any]:
    """Ask the running agent. Raises UnreachableError when there is none, or when it may not be asked."""
    path = run_dir / SOCKET_NAME
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(json.dumps({"op": op, **values}).encode() + b"\n")
            with connection.makefile("rb") as lines:
                answer: dict[str, Any] = json.loads(lines.readline() or b"{}")
                return answer
    except PermissionError as error:
        raise UnreachableError("control.denied", path=path) from error
    except (OSError, ValueError) as error:
        raise UnreachableError("control.no_agent", path=path) from error
