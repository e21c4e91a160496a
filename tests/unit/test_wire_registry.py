"""Confluent's wire format: registries, writers of other versions, and what a registry may do to us."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest
import stamina

import schemas
from stream_app.domain.event import ChannelEvent
from stream_app.domain.refusal import Reason, Refused
from stream_app.wire import (
    Decoder,
    RegistryRefused,
    RegistryUnavailable,
    encode_payload,
    open_registry,
    read_payload,
    subject_of,
)
from stream_app.wire.avro_writer import write_long, write_string
from stream_app.wire.registry import LARGEST_ANSWER, MemoryRegistry

EVENT = ChannelEvent("e-1", 1_700_000_000_000, "web", "Page Viewed", {"cookie": "c"}, {"path": "/"})


def framed(number: int, payload: bytes) -> bytes:
    return b"\x00" + number.to_bytes(4, "big") + payload


def writer(**changes: Any) -> str:
    """The event's schema without its optional fields, with changed or further ones."""
    document = json.loads(schemas.avro("channel_event"))
    document["fields"] = [
        changes.pop(field["name"], field) for field in document["fields"] if "default" not in field
    ]
    document["fields"] += changes.values()
    return json.dumps(document)


def refusal(registry: Any, number: int, payload: bytes = b"") -> str:
    with pytest.raises(Refused) as caught:
        Decoder(registry).decode(framed(number, payload or encode_payload(EVENT)))
    assert caught.value.reason is Reason.UNKNOWN_SCHEMA
    return caught.value.detail


def test_a_mock_registry_is_shared_by_its_scope():
    number = open_registry("mock://a").register("s", '"int"')
    assert open_registry("mock://a").schema(number) == '"int"'
    assert open_registry("mock://a").register("t", '"int"') == number
    assert open_registry("mock://b").schema(number) is None


@pytest.mark.parametrize("url", ["", "registry:8081", "ftp://x", "http://", "file:///etc"])
def test_a_url_that_is_none_is_refused(url):
    with pytest.raises(ValueError, match="http://host"):
        open_registry(url)


def test_a_topics_subject_is_named_after_it():
    assert subject_of("channel.web") == "channel.web-value"


def test_a_writer_of_another_version_is_read_as_the_current_one():
    registry = MemoryRegistry()
    note = {"name": "note", "type": ["null", "string"]}
    number = registry.register("s", writer(note=note))
    head = [write_string("e-1"), write_long(EVENT.time), write_string("web"), write_string("Page Viewed")]
    payload = b"".join([*head, b"\x02", write_string("cookie"), b"\x02", write_string("c"), b"\x00\x00"])
    decoded = Decoder(registry).decode(framed(number, payload))
    assert decoded.event == ChannelEvent("e-1", EVENT.time, "web", "Page Viewed", {"cookie": "c"}, {})
    assert read_payload(decoded.payload) == decoded.event
    for broken in (payload[:-1], payload + b"\x00", b""):
        with pytest.raises(Refused) as caught:
            Decoder(registry).decode(framed(number, broken))
        assert caught.value.reason is Reason.UNDECODABLE


def test_a_writer_that_is_not_compatible_is_an_unknown_schema():
    registry = MemoryRegistry()
    time = {"name": "time", "type": "string"}
    assert "long not compatible" in refusal(registry, registry.register("s", writer(time=time)))
    assert "not compatible" in refusal(registry, registry.register("s", '"int"'))
    assert "no Avro schema" in refusal(registry, registry.register("s", "{"))
    assert "no Avro schema" in refusal(registry, registry.register("s", '{"type": "nothing"}'))


def test_a_writer_that_could_describe_an_endless_value_is_an_unknown_schema():
    registry = MemoryRegistry()
    nulls = {"name": "extra", "type": {"type": "array", "items": "null"}}
    assert "no bytes" in refusal(registry, registry.register("s", writer(extra=nulls)))
    empty = {"type": "record", "name": "Empty", "fields": []}
    empties = {"name": "extra", "type": {"type": "array", "items": empty}}
    assert "no bytes" in refusal(registry, registry.register("s", writer(extra=empties)))
    node = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}
    for kind in ("record", "error"):  # an error is a record by another name
        nodes = {"name": "extra", "type": {**node, "type": kind}}
        assert "recursive" in refusal(registry, registry.register("s", writer(extra=nodes)))


class Counting(MemoryRegistry):
    calls = 0

    def schema(self, schema_id: int) -> str | None:
        self.calls += 1
        return super().schema(schema_id)


def test_every_number_is_looked_up_once_whether_it_is_known_or_not():
    registry = Counting()
    number = registry.register("s", schemas.avro("channel_event"))
    decoder = Decoder(registry)
    for _ in range(3):
        assert decoder.decode(framed(number, encode_payload(EVENT))).event == EVENT
        with pytest.raises(Refused):
            decoder.decode(framed(77, encode_payload(EVENT)))
    assert registry.calls == 2


class Answers(BaseHTTPRequestHandler):
    """Confluent's API, as far as it is used."""

    store: ClassVar[MemoryRegistry] = MemoryRegistry()
    seen: ClassVar[list[tuple[str, str, str | None]]] = []
    statuses: ClassVar[list[int]] = []

    def answer(self) -> None:
        self.seen.append((self.command, self.path, self.headers["Authorization"]))
        status, body = self.statuses.pop(0) if self.statuses else 200, {}
        if status == 200 and self.command == "POST":
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = {"id": self.store.register("", request["schema"])}
        elif status == 200:
            schema = self.store.schema(int(self.path.rpartition("/")[2]))
            status, body = (404, {}) if schema is None else (200, {"schema": schema})
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    do_GET = do_POST = answer  # noqa: N815 - the base class calls them so

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def url():
    server = HTTPServer(("127.0.0.1", 0), Answers)
    Answers.seen.clear()
    Answers.statuses.clear()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    with stamina.set_testing(True, attempts=3):
        yield f"http://ana:s%2Fecret@127.0.0.1:{server.server_port}/base/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_registry_over_http_takes_and_gives_schemas(url):
    registry = open_registry(url)
    number = registry.register("channel.a/b-value", schemas.avro("channel_event"))
    assert Decoder(registry).decode(framed(number, encode_payload(EVENT))).event == EVENT
    assert registry.schema(999) is None
    user = "Basic " + base64.b64encode(b"ana:s/ecret").decode()
    assert Answers.seen[0] == ("POST", "/base/subjects/channel.a%2Fb-value/versions", user)
    assert Answers.seen[1] == ("GET", f"/base/schemas/ids/{number}", user)


def test_a_registry_that_is_busy_for_a_moment_is_asked_again(url):
    number = Answers.store.register("", schemas.avro("channel_event"))
    Answers.statuses += [503, 429]
    assert open_registry(url).schema(number) == schemas.avro("channel_event")


def test_a_registry_that_stays_away_is_no_fault_of_the_record(url):
    Answers.statuses += [503] * 3
    with pytest.raises(RegistryUnavailable, match="HTTP 503") as caught:
        Decoder(open_registry(url)).decode(framed(1, b"x"))
    assert "secret" not in str(caught.value)
    nobody = open_registry("http://127.0.0.1:1")
    with pytest.raises(RegistryUnavailable):
        nobody.schema(1)


def test_a_registry_that_refuses_says_so(url):
    Answers.statuses.append(409)
    with pytest.raises(RegistryRefused, match="HTTP 409"):
        open_registry(url).register("s", '"int"')


@pytest.mark.parametrize("status", [401, 403, 407, 408])
def test_a_password_that_has_run_out_is_no_fault_of_the_record(url, status):
    Answers.statuses += [status] * 3
    with pytest.raises(RegistryUnavailable, match=f"HTTP {status}"):
        Decoder(open_registry(url)).decode(framed(1, b"x"))


@pytest.mark.parametrize("status", [400, 422])
def test_a_number_that_the_registry_cannot_read_is_an_unknown_schema(url, status):
    Answers.statuses += [status] * 3
    assert "no Avro schema 4294967295" in refusal(open_registry(url), 0xFFFFFFFF)


OK = b"HTTP/1.0 200 OK\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x15\x03\x01\x00\x02\x02\x16",
        b"SSH-2.0-nobody\r\n",
        b"HTTP/1.1 200\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnone\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n{}",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n{}",
        OK + b"<html>",
        OK + b"\xff",
        OK + b"[]",
        OK + b"[" * 100_000,
        OK + b'{"schema": ' + b"9" * 5_000 + b"}",
        OK + b'{"schema": "' + b" " * LARGEST_ANSWER + b'"}',
    ],
)
def test_an_answer_that_is_none_is_no_fault_of_the_record(answer):
    with socket.create_server(("127.0.0.1", 0)) as server, stamina.set_testing(True, attempts=1):

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                with contextlib.suppress(OSError):  # nobody reads a long answer to its end
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        registry = open_registry(f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(RegistryUnavailable):
            Decoder(registry).decode(framed(1, b"x"))
        thread.join()
