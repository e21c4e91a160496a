"""Schema registries behind one small protocol: Confluent's REST API, and one in memory for tests.

Only two of the API's calls are needed, so they are made with the standard library:
GET /schemas/ids/{id} and POST /subjects/{subject}/versions
(https://docs.confluent.io/platform/current/schema-registry/develop/api.html).
"""

from __future__ import annotations

import base64
import json
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

import stamina

TIMEOUT_S = 5.0
ATTEMPTS = 3
LARGEST_ANSWER = 4 << 20
"""Bytes of an answer that are read; schemas are a few kilobytes."""
_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
_OURS_TO_MEND = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED}
    | {HTTPStatus.REQUEST_TIMEOUT}
)
"""Refusals that say nothing of what was asked for."""


class RegistryUnavailable(Exception):  # noqa: N818 - a state of the world: try again
    """The registry gave no answer. Nothing is wrong with the record: don't acknowledge it, try again."""


class RegistryRefused(Exception):  # noqa: N818 - its answer
    """The registry answered, and won't do what it was asked, such as take an incompatible schema.

    Attributes:
        status: of its answer, where that was one.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Registry(Protocol):
    """Where schemas are known by number."""

    def schema(self, schema_id: int) -> str | None:
        """Return the Avro schema with that number, as JSON text; None when there is none (or isn't Avro).

        Raises:
            RegistryUnavailable: no answer.
        """

    def register(self, subject: str, schema: str) -> int:
        """Return the number of a schema under a subject, registering it when it is new.

        Raises:
            RegistryUnavailable: no answer.
            RegistryRefused: the schema was rejected.
        """


class MemoryRegistry:
    """A registry within the process; equal texts share one number, as with Confluent's."""

    def __init__(self) -> None:
        self._schemas: dict[int, str] = {}
        self._ids: dict[str, int] = {}

    def schema(self, schema_id: int) -> str | None:
        """Return the schema with that number, or None."""
        return self._schemas.get(schema_id)

    def register(self, subject: str, schema: str) -> int:  # noqa: ARG002 - every subject takes every schema
        """Return the schema's number, a new one when the text is new."""
        schema_id = self._ids.setdefault(schema, len(self._ids) + 1)
        self._schemas[schema_id] = schema
        return schema_id


class HttpRegistry:
    """Confluent Schema Registry, or any that speaks its REST API (Apicurio, Karapace, Redpanda)."""

    def __init__(self, url: str) -> None:
        """Take a base URL; a user and a password in it become basic authentication."""
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        self._base = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        self._headers = {"Accept": _CONTENT_TYPE, "Content-Type": _CONTENT_TYPE}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()

    def schema(self, schema_id: int) -> str | None:
        """Return the Avro schema with that number; None when there is none, it isn't Avro or no such number can be.

        A password that has run out is no fault of the records: it counts as no answer.
        """
        try:
            answer = self._call("GET", f"/schemas/ids/{schema_id}")
        except RegistryRefused as error:
            if error.status in _OURS_TO_MEND:
                raise RegistryUnavailable(str(error)) from error
            return None
        if answer is None or answer.get("schemaType", "AVRO") != "AVRO":
            return None
        schema = answer.get("schema")
        return schema if isinstance(schema, str) else None

    def register(self, subject: str, schema: str) -> int:
        """Return the schema's number under the subject."""
        path = f"/subjects/{quote(subject, safe='')}/versions"
        answer = self._call("POST", path, json.dumps({"schema": schema}).encode())
        if answer is None or not isinstance(answer.get("id"), int):
            raise RegistryRefused(f"schema registry {self._base}: no number for subject {subject}")
        return int(answer["id"])

    @stamina.retry(on=RegistryUnavailable, attempts=ATTEMPTS, wait_initial=0.1, wait_max=1.0)
    def _call(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any] | None:
        """Make a call; None when the registry says that there is no such thing."""
        request = Request(self._base + path, data=body, headers=self._headers, method=method)  # noqa: S310
        try:
            with urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 - open_registry let http(s) in
                body = response.read(LARGEST_ANSWER + 1)
                if response.length:  # a read of so many bytes at most doesn't complain of too few
                    raise RegistryUnavailable(
                        f"schema registry {self._base}: half an answer, or too long a one"
                    )
        except HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            if error.code == HTTPStatus.TOO_MANY_REQUESTS or error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise RegistryUnavailable(f"schema registry {self._base}: HTTP {error.code}") from error
            refused = f"schema registry {self._base}: HTTP {error.code} on {path}"
            raise RegistryRefused(refused, error.code) from error
        except (URLError, OSError, HTTPException, ValueError) as error:
            raise RegistryUnavailable(f"schema registry {self._base}: {type(error).__name__}") from error
        return self._read(body)

    def _read(self, body: bytes) -> dict[str, Any]:
        """Read an answer; what is none comes from something else, in the registry's place for a while."""
        if len(body) > LARGEST_ANSWER:
            raise RegistryUnavailable(
                f"schema registry {self._base}: an answer of over {LARGEST_ANSWER} bytes"
            )
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise RegistryUnavailable(f"schema registry {self._base}: an answer that is no JSON") from error
        if not isinstance(answer, dict):
            raise RegistryUnavailable(f"schema registry {self._base}: an answer that is no JSON object")
        return answer


_MEMORY: dict[str, MemoryRegistry] = {}


def open_registry(url: str) -> Registry:
    """Open the registry at a URL: http(s)://[user:password@]host[:port][/path], or mock://scope.

    A mock registry lives in this process; the same scope gives the same one.

    Raises:
        ValueError: the URL has another scheme or no host.
    """
    parts = urlsplit(url)
    if parts.scheme == "mock":
        return _MEMORY.setdefault(parts.netloc, MemoryRegistry())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("a schema registry's URL is http://host, https://host or mock://scope")
    return HttpRegistry(url)


def subject_of(topic: str) -> str:
    """Return the registry's subject for a topic's values (Confluent's TopicNameStrategy)."""
    return f"{topic}-value"
