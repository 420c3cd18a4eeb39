"""What Apache Kafka does and the test broker does not: keep the note (metadata) that a member commits with an offset.

A proxy in front of the broker: it reads the notes out of OffsetCommit requests and puts them into OffsetFetch answers.
All else passes as it is.
"""

from __future__ import annotations

import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Any

from kafka.protocol.consumer import OffsetCommitRequest, OffsetFetchRequest, OffsetFetchResponse

from services.gateways.event_stream.kafka.place import KafkaPlace
from tests.kafka_broker import KafkaBroker

Where = tuple[str, str, int]
"""Group, topic, partition."""


@dataclass(slots=True)
class NotesProxy:
    """Listens where its broker says that it listens."""

    broker: KafkaBroker
    listener: socket.socket
    notes: dict[Where, str] = field(default_factory=dict)
    sockets: list[socket.socket] = field(default_factory=list)

    @classmethod
    def start(cls) -> NotesProxy:
        """With a broker of its own."""
        listener = socket.create_server(("127.0.0.1", 0))
        proxy = cls(KafkaBroker.start(advertised=listener.getsockname()[1]), listener)
        threading.Thread(target=proxy._accept, daemon=True).start()
        return proxy

    @property
    def bootstrap(self) -> str:
        """What a client is told."""
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    @property
    def place(self) -> KafkaPlace:
        """The same for the adapter."""
        return KafkaPlace((self.bootstrap,))

    def stop(self) -> None:
        """End it and its broker."""
        self.listener.close()
        for one in self.sockets:
            one.close()
        self.broker.kill()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.broker.port))
            except OSError:
                return
            self.sockets += [client, server]
            asked: dict[int, tuple[int, str]] = {}
            for pump in (_Pump(client, server, self._asked, asked), _Pump(server, client, self._answered, asked)):
                threading.Thread(target=pump.run, daemon=True).start()

    def _asked(self, frame: bytes, asked: dict[int, tuple[int, str]]) -> bytes:
        key, version, correlation = struct.unpack_from(">hhi", frame)
        if key == OffsetCommitRequest.API_KEY:
            commit: Any = OffsetCommitRequest.decode(frame, version=version, header=True)
            for topic in commit.topics:
                for one in topic.partitions:
                    self.notes[commit.group_id, topic.name, one.partition_index] = one.committed_metadata or ""
        elif key == OffsetFetchRequest.API_KEY:
            fetch: Any = OffsetFetchRequest.decode(frame, version=version, header=True)
            asked[correlation] = version, fetch.groups[0].group_id if version >= 8 else fetch.group_id
        return frame

    def _answered(self, frame: bytes, asked: dict[int, tuple[int, str]]) -> bytes:
        (correlation,) = struct.unpack_from(">i", frame)
        if correlation not in asked:
            return frame
        version, group = asked.pop(correlation)
        answer: Any = OffsetFetchResponse.decode(frame, version=version, header=True)
        for topic in answer.groups[0].topics if version >= 8 else answer.topics:
            for one in topic.partitions:
                one.metadata = self.notes.get((group, topic.name, one.partition_index), "")
        return bytes(answer.encode(header=True))


@dataclass(frozen=True, slots=True)
class _Pump:
    """Frames from one socket to the other."""

    source: socket.socket
    sink: socket.socket
    change: Any
    asked: dict[int, tuple[int, str]]

    def run(self) -> None:
        try:
            while head := self._exactly(4):
                frame = self._exactly(struct.unpack(">i", head)[0])
                changed = self.change(frame, self.asked)
                self.sink.sendall(struct.pack(">i", len(changed)) + changed)
        except OSError:
            pass
        finally:
            for one in (self.source, self.sink):
                one.close()

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            part = self.source.recv(size - len(found))
            if not part:
                return b""
            found += part
        return found
