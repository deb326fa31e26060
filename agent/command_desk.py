"""Executes the commands that come over MQTT, each once, and answers them. What is a command: agent/commands.py.

Everything here runs in the publisher's thread; only the end of a job (agent/jobs.py) is told from another one. Answers
are kept beside the journal, so that a repeated command gets the answer of the first time, also after a restart.
"""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paho.mqtt import client as mqtt

from agent.broker import publish_properties
from agent.commands import JOBS, Command, parse_command
from agent.hooks import Hooks
from agent.log import Logger
from agent.outbox import Outbox


@dataclass(frozen=True, slots=True)
class _Reply:
    """Where an answer goes; `to` None: nobody wants it."""

    to: str | None
    correlation: bytes | None


class CommandDesk:
    """Takes commands over whatever connection there is. `wake`: a job has ended, `answer_jobs` has something to do."""

    def __init__(self, outbox: Outbox, hooks: Hooks, wake: Callable[[], None], log: Logger) -> None:
        self._outbox = outbox
        self._hooks = hooks
        self._wake = wake
        self._log = log
        self._finished: queue.SimpleQueue[tuple[str, _Reply, str]] = queue.SimpleQueue()  # id, where to, answer
        self._resend_from: int | None = None

    def take(self, client: mqtt.Client, message: mqtt.MQTTMessage) -> None:
        """Execute and answer what came on `commands/NAME`, if it is a command."""
        command = parse_command(message.topic.rsplit("/", 1)[-1], bytes(message.payload), time.time())
        if message.retain or command is None:
            self._log.warning("command.ignored", topic=message.topic, retained=message.retain)
            return
        reply = _Reply(
            getattr(message.properties, "ResponseTopic", None), getattr(message.properties, "CorrelationData", None)
        )
        answer = self._outbox.command_result(command.id)  # of the first time
        if answer is None:
            answer = self._begin_job(command, reply) if command.name in JOBS else self._execute(command)
        if answer is not None:
            self._answer(client, reply, answer)

    def answer_jobs(self, client: mqtt.Client) -> None:
        """Answer those that have ended, perhaps begun over an earlier connection."""
        while not self._finished.empty():
            identity, reply, answer = self._finished.get()
            self._outbox.keep_command_result(identity, answer, time.time_ns())
            self._log.info("command.executed", id=identity)
            self._answer(client, reply, answer)

    def resend_asked(self) -> int | None:
        """From which event on everything is to be sent again; told once."""
        asked, self._resend_from = self._resend_from, None
        return asked

    def _begin_job(self, command: Command, reply: _Reply) -> str | None:
        """A command that takes long: the answer when it could not begin."""

        def done(error: str | None, result: Any) -> None:
            answer = {"id": command.id, "ok": error is None, "error": error, "result": result}
            self._finished.put((command.id, reply, json.dumps(answer, ensure_ascii=False)))
            self._wake()

        error = "expired" if command.expired else self._hooks.job(command, done)
        self._log.info("command.begun", name=command.name, id=command.id, error=error)
        # Not kept: a job that could not begin now may be asked for again.
        return None if error is None else json.dumps({"id": command.id, "ok": False, "error": error})

    def _execute(self, command: Command) -> str:
        error = None
        if command.expired:
            error = "expired"
        elif command.name == "resend" and command.sequence:
            self._resend_from = command.sequence
        elif command.name == "confirm":
            said = self._hooks.confirm(command.transaction) if command.transaction else "not_pending"
            error = None if said == "asking" else said
        elif command.level is None or not self._hooks.log_level(command.level):
            error = "unknown_level"
        answer = json.dumps({"id": command.id, "ok": error is None, "error": error})
        self._outbox.keep_command_result(command.id, answer, time.time_ns())
        self._log.info("command.executed", name=command.name, id=command.id, error=error)
        return answer

    def _answer(self, client: mqtt.Client, reply: _Reply, answer: str) -> None:
        if not reply.to:
            return
        properties = publish_properties()
        if reply.correlation:
            properties.CorrelationData = reply.correlation
        try:
            client.publish(reply.to, answer, 1, properties=properties)
        except ValueError as error:  # a topic that is none: who asked gets no answer, and we go on
            self._log.warning("command.unanswerable", topic=reply.to[:200], detail=str(error))
