"""What the two processes say to each other: one JSON object per packet, over a socket that keeps packets apart."""

from __future__ import annotations

import json
import socket
from typing import Any

from facelab.camera import _errors
from facelab.camera._contract import Contract, Difference, Mode, Request
from facelab.camera._frame import Frame
from facelab.camera._ledger import LedgerReport
from facelab.core import errors as core_errors
from facelab.core.errors import FacelabError
from facelab.core.files import dumps

LARGEST = 1 << 18


def send(channel: socket.socket, kind: str, **fields: Any) -> bool:
    """Send a message; return False where the other side is gone or its queue is full."""
    try:
        channel.send(dumps({"kind": kind, **fields}).encode())
        return True
    except (BlockingIOError, OSError):
        return False


def receive(channel: socket.socket) -> dict[str, Any] | None:
    """Return the next message, {} where none is there, or None where the other side is gone."""
    try:
        data = channel.recv(LARGEST)
    except BlockingIOError:
        return {}
    except OSError:
        return None
    return json.loads(data) if data else None


def frame_fields(frame: Frame) -> dict[str, Any]:
    """Return everything of a frame but its pixels; rendered truth is reduced to plain values."""
    truth = None
    if frame.truth is not None:
        truth = json.loads(dumps(dict(frame.truth)))
    return {
        **frame.to_dict(),
        "shape": list(frame.array.shape),
        "dtype": str(frame.array.dtype),
        "truth": truth,
    }


def contract_fields(contract: Contract) -> dict[str, Any]:
    """Return a contract as plain JSON that `contract_of` reads."""
    return {
        **contract.__dict__,
        "asked": dict(contract.asked.__dict__),
        "differences": [dict(d.__dict__) for d in contract.differences],
        "offers": [dict(m.__dict__) for m in contract.offers],
    }


def contract_of(fields: dict[str, Any]) -> Contract:
    """Return the contract of `contract_fields`."""
    asked = fields["asked"]
    plain: dict[str, Any] = {
        **fields,
        "asked": Request(
            asked["format"], tuple(asked["size"]) if asked["size"] else None, asked["rate"]
        ),
        "differences": tuple(Difference(**d) for d in fields["differences"]),
        "offers": tuple(mode_of(m) for m in fields["offers"]),
    }
    return Contract(**plain)


def mode_of(fields: dict[str, Any]) -> Mode:
    """Return a mode from plain JSON."""
    size_range = fields["size_range"]
    plain: dict[str, Any] = {
        **fields,
        "rates": tuple(fields["rates"]),
        "size_range": tuple(size_range) if size_range else None,
    }
    return Mode(**plain)


def report_of(fields: dict[str, Any]) -> LedgerReport:
    """Return a ledger's report from plain JSON."""
    return LedgerReport(
        fields["name"], fields["arrived"], fields["waiting"], fields["outcomes"], fields["events"]
    )


def error_of(fields: dict[str, Any]) -> FacelabError:
    """Return the error that another process met, of the same class."""
    kind = getattr(_errors, fields["error"], None) or getattr(core_errors, fields["error"], None)
    if not (isinstance(kind, type) and issubclass(kind, FacelabError)):
        kind = _errors.CameraError
    return kind(
        fields["what"],
        where=fields["where"],
        expected=fields["expected"],
        got=fields["got"],
        fix=fields["fix"],
    )
