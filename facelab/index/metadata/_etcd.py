"""Metadata in etcd, through its JSON gateway: for an index that several machines share."""

from __future__ import annotations

import base64
import importlib
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from facelab.core.errors import BadInputError, UnsupportedError
from facelab.index.metadata._contract import (
    Metadata,
    Outcome,
    Swap,
    Versioned,
    check_key,
    check_value,
)
from facelab.index.metadata._settle import UnreachableError

_NEVER_LEFT = ("NewConnectionError", "ConnectTimeoutError", "NameResolutionError")


class EtcdMetadata(Metadata):
    """Metadata in etcd (the extra `services`).

    Swaps compare `mod_revision`, never values: a value that came back would pass for one that stayed. A swap is sent
    once to one endpoint. Reads are linearizable and try the other endpoints too.

    Parameters
    ----------
    endpoints : sequence of str
        Such as `http://127.0.0.1:2379`; the first that answers is kept.
    prefix : str
        What stands before every key.
    timeout_s : float
        Seconds until an answer counts as lost.
    serializable : bool
        Read from the first member without asking the others. Such reads may be stale: for demonstrations only.
    tls : dict
        `ca_cert`, `cert_cert`, `cert_key`: files, for https.
    """

    name = "etcd"
    late = True

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        prefix: str = "facelab/index",
        timeout_s: float = 5.0,
        serializable: bool = False,
        **tls: str,
    ):
        if not endpoints:
            raise BadInputError("there are no etcd endpoints", fix="give http://host:2379")
        module = _need()
        self.prefix, self.serializable = prefix.strip("/"), serializable
        self.endpoints = tuple(endpoints)
        self._clients = [_client(module, url, timeout_s, tls) for url in endpoints]
        self._at = 0

    def get(self, key: str) -> Versioned | None:
        """Return the value and version of a key; see `Metadata.get`."""
        full = self._key(key)
        body: dict[str, Any] = {"key": full}
        if self.serializable:
            body["serializable"] = True
        answer = self._asked(
            lambda c: c.post(c.get_url("/kv/range"), json=body), first_only=self.serializable
        )
        found = answer.get("kvs") or []
        if not found:
            return None
        value = base64.b64decode(found[0].get("value", ""))
        return Versioned(value, int(found[0]["mod_revision"]))

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys that begin with a prefix, sorted."""
        first = f"/{self.prefix}/{prefix}".encode()
        last = first[:-1] + bytes([first[-1] + 1])
        body = {"key": _text(first), "range_end": _text(last), "keys_only": True}
        found = self._asked(lambda c: c.post(c.get_url("/kv/range"), json=body)).get("kvs") or []
        skip = len(self.prefix) + 2
        return sorted(base64.b64decode(kv["key"]).decode()[skip:] for kv in found)

    def swap(self, key: str, expected: int | None, value: bytes) -> Swap:
        """Replace a value if its version is still `expected`; see `Metadata.swap`."""
        full, where = self._key(key), self._at
        compare: dict[str, Any] = {"key": full, "result": "EQUAL", "target": "MOD"}
        compare["mod_revision"] = expected
        if expected is None:
            compare = {"key": full, "result": "EQUAL", "target": "CREATE", "create_revision": 0}
        put = {"request_put": {"key": full, "value": _text(check_value(value))}}
        client = self._clients[where]
        try:
            answer = client.transaction({"compare": [compare], "success": [put], "failure": []})
            done = answer.get("succeeded") is True
            version = int(answer["header"]["revision"]) if done else None
        except (
            Exception
        ) as e:  # whatever the HTTP library raises: what is known decides, not the class
            self._at = (where + 1) % len(self._clients)
            outcome = Outcome.NOT_DONE if never_left(e) else Outcome.UNKNOWN
            return Swap(outcome, reason=_reason(e))
        if done:
            return Swap(Outcome.DONE, version)
        return Swap(Outcome.NOT_DONE, compared=True, reason="another version is there")

    def _asked(
        self, ask: Callable[[Any], dict[str, Any]], *, first_only: bool = False
    ) -> dict[str, Any]:
        reasons = []
        for _ in range(
            2 * len(self._clients)
        ):  # a read may be repeated: a kept connection may be dead
            at = 0 if first_only else self._at
            try:
                return ask(self._clients[at])
            except Exception as e:
                reasons.append(f"{self.endpoints[at]}: {_reason(e)}")
                self._at = (self._at + 1) % len(self._clients)
        raise UnreachableError(
            "no etcd endpoint answers",
            where=", ".join(self.endpoints),
            got="; ".join(reasons)[:300],
            fix="check that etcd runs and has a quorum",
        )

    def _key(self, key: str) -> str:
        return _text(f"/{self.prefix}/{check_key(key)}".encode())

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            client.session.close()


def never_left(e: BaseException) -> bool:
    """Return whether a request certainly did not reach the server: its connection was refused or not made in time.

    etcd3gw raises one class for a refused and for a cut connection; the reason that requests kept separates them.
    Only that one step is looked at: further up the chain stands whatever the caller was handling at the time.
    """
    behind = e.__context__
    if behind is None or not type(behind).__module__.startswith("requests."):
        return False
    kept = behind.args[0] if behind.args else None
    return type(getattr(kept, "reason", None)).__name__ in _NEVER_LEFT


def _reason(e: Exception) -> str:
    behind = e.__context__ or e
    return f"{type(e).__name__}: {str(e) or str(behind)}"[:160]


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _client(module: Any, url: str, timeout_s: float, tls: dict[str, str]) -> Any:
    parts = urlsplit(url if "//" in url else f"http://{url}")
    try:
        port = parts.port or 2379
    except ValueError:
        port = 0
    if parts.scheme not in ("http", "https") or not parts.hostname or not port:
        raise BadInputError(
            "an etcd endpoint has the wrong form",
            expected="http://host:port or https://host:port",
            got=url[:120],
            fix="correct the address",
        )
    return module.client(
        host=parts.hostname,
        port=port,
        protocol=parts.scheme,
        timeout=timeout_s,
        api_path="/v3/",
        **tls,
    )


def _need() -> Any:
    try:
        return importlib.import_module("etcd3gw")
    except ImportError as e:
        raise UnsupportedError(
            "etcd needs the extra `services`",
            got=str(e),
            fix="install it: pip install 'facelab[services]', or use SQLite",
        ) from None
