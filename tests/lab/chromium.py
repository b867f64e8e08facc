"""A headless Chromium, driven by its DevTools protocol over a websocket: no browser package is needed."""

from __future__ import annotations

import base64
import itertools
import json
import re
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1400,1000",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)


def executable() -> str | None:
    """Return the path of a Chromium or Chrome on this machine, or None."""
    return next(
        (p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))),
        None,
    )


class Page:
    """One tab: `evaluate` runs JavaScript and returns its value, `wait` repeats it until it is true."""

    def __init__(self, profile: Path):
        import websocket

        self.process = subprocess.Popen(
            [executable(), *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        self.console: list[str] = []
        self._number = itertools.count(1)
        port = self._port()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=20) as answer:
            target = next(t for t in json.load(answer) if t["type"] == "page")
        self.socket = websocket.create_connection(target["webSocketDebuggerUrl"], timeout=60)
        for domain in ("Page", "Runtime"):
            self.send(f"{domain}.enable")
        # without focus, widgets that follow it (JupyterLab's current tab) stay idle
        self.send("Page.bringToFront")
        self.send("Emulation.setFocusEmulationEnabled", enabled=True)

    def _port(self) -> int:
        for line in self.process.stderr:
            if found := re.search(r"DevTools listening on ws://[^:]+:(\d+)/", line):
                return int(found[1])
        raise RuntimeError("Chromium did not start")

    def send(self, method: str, **parameters):
        """Send one command and return its result; what the page reports meanwhile is kept."""
        number = next(self._number)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            if message.get("method") == "Runtime.exceptionThrown":
                self.console.append(json.dumps(message["params"]["exceptionDetails"])[:500])

    def evaluate(self, script: str):
        """Run JavaScript (promises are awaited) and return its value."""
        result = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(
                result["exceptionDetails"]
                .get("exception", {})
                .get("description", "JavaScript failed")
            )
        return result["result"].get("value")

    def wait(self, script: str, *, seconds: float, what: str):
        """Repeat JavaScript until it gives something true and return that. Raises TimeoutError saying `what`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if value := self.evaluate(script):
                    return value
            except RuntimeError:
                pass  # the page is still loading: its objects are not there yet
            time.sleep(0.5)
        raise TimeoutError(f"{what}: not within {seconds:.0f} s")

    def screenshot(self, path: Path) -> Path:
        """Write what the page shows as a PNG."""
        path.write_bytes(
            base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])
        )
        return path

    def close(self) -> None:
        """End this Chromium, and no other."""
        self.socket.close()
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()
