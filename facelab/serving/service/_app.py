"""The application: addresses, limits, and errors as one sentence of JSON."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from facelab.core import degraded
from facelab.core.errors import FacelabError, MissingAssetError, UnsupportedError
from facelab.core.files import dumps
from facelab.serving.canary._canary import Canary
from facelab.serving.degradation._matrix import Degradation
from facelab.serving.pools._lease import OverloadedError, PoolTimeoutError
from facelab.serving.pools._pool import Pool
from facelab.serving.releases._slot import ModelSlot
from facelab.serving.service._gate import RequestError, checked_text
from facelab.serving.service._limits import Bodies, Limits, require_type, two_images
from facelab.serving.service._metrics import Metrics
from facelab.serving.service._tasks import FaceTasks
from facelab.serving.workers._isolated import IsolatedTasks
from facelab.serving.workers._supervisor import InputLostError, WorkersDownError

LOG = logging.getLogger("facelab.serve")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Service:
    """The addresses' functions, with what they share."""

    def __init__(
        self,
        make: Callable[[], FaceTasks | IsolatedTasks],
        emotion: ModelSlot | Canary | None,
        limits: Limits,
        hosts: Sequence[str],
        degradation: Degradation | None = None,
    ) -> None:
        self.limits, self.emotion, self.hosts = limits, emotion, frozenset(hosts)
        self.degradation = degradation or Degradation()
        self.pool = Pool(
            make,
            size=limits.workers,
            name="workers",
            deadline_s=limits.wait_s,
            max_waiting=limits.waiting,
            age_alarm_s=60.0,
            on_alarm=lambda alarm: LOG.warning("%s", alarm),
        )
        self.bodies, self.metrics = Bodies(limits), Metrics()
        # one thread more than can wait, so that the pool and not the thread limit sheds
        self.threads = anyio.CapacityLimiter(limits.workers + limits.waiting + 1)

    def ready(self) -> str | None:
        """Return why the service cannot answer yet, or None."""
        slots = [self.emotion] if isinstance(self.emotion, ModelSlot) else []
        if isinstance(self.emotion, Canary):
            slots = [self.emotion.slots["stable"]]
        if any(s.release is None for s in slots):
            return "no release of the emotion classifier is loaded"
        if not self.pool.stats().made:
            return "the models are not loaded yet"
        return None

    async def work(self, call: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Run a call on a worker, in a thread."""

        def leased() -> dict[str, Any]:
            with self.pool.acquire("request") as lease:
                return call(lease.value)

        self._look_at_the_queue()
        try:
            answer = await anyio.to_thread.run_sync(leased, limiter=self.threads)
        except (OverloadedError, PoolTimeoutError) as e:
            self.degradation.trip("requests_shed", e.what)
            self.degradation.calm("requests_shed")
            raise
        return {**answer, "degraded": self.met(answer.get("degraded", ()))}

    def met(self, more: Iterable[str] = ()) -> list[str]:
        """Return the fallbacks that an answer names: those of the service, of its models, and its own ones."""
        here = degraded.active()
        names = {*more, *self.degradation.active()}
        rows = self.degradation.matrix.entries
        return [r.name for r in rows if r.name in names or (r.part == "models" and r.name in here)]

    def _look_at_the_queue(self) -> None:
        most = self.degradation.matrix.named("overload").limit * self.limits.waiting
        waiting = self.pool.stats().waiting
        if waiting >= max(1.0, most):
            self.degradation.trip("overload", f"{waiting} requests wait")
        else:
            self.degradation.calm("overload")

    async def image_task(self, request: Request, task: str) -> dict[str, Any]:
        """Answer `detect`, `embed` or `emotion` for the image in the body."""
        require_type(request, "image/", "application/octet-stream")
        options = _options(request, "unit" if task == "emotion" else "model")
        data = await self.bodies.read(request)

        return await self.work(lambda tasks: tasks.answer(task, [data], self.limits, options))

    async def verify(self, request: Request, task: str) -> dict[str, Any]:
        """Answer whether two images show one person."""
        require_type(request, "application/json")
        options: dict[str, Any] = _options(request, "model", "threshold")
        if "threshold" in options:
            options["threshold"] = _number(options["threshold"])
        files = two_images(await self.bodies.read(request), self.limits)
        return await self.work(lambda tasks: tasks.answer("verify", files, self.limits, options))


def _options(request: Request, *known: str) -> dict[str, str]:
    for name in request.query_params:
        if name not in known:
            raise RequestError(
                400,
                "the address has an unknown parameter",
                expected=", ".join(known),
                got=name[:60],
                fix="correct or remove it",
            )
    return {k: checked_text(v, what=k) for k, v in request.query_params.items()}


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 4:
        raise RequestError(
            400,
            "the threshold is out of range",
            expected="0 to 4",
            got=text[:40],
            fix="pass ?threshold= with a number from 0 to 4",
        )
    return value


def create_app(
    make: Callable[[], FaceTasks | IsolatedTasks],
    *,
    emotion: ModelSlot | Canary | None = None,
    limits: Limits | None = None,
    hosts: Sequence[str] = LOOPBACK,
    degradation: Degradation | None = None,
) -> Starlette:
    """Return the ASGI application.

    Parameters
    ----------
    make : callable
        Makes the models of one worker; called once per worker.
    emotion : ModelSlot or Canary, optional
        What the workers classify emotions with, for readiness and metrics.
    limits : Limits, optional
        Bounds on bodies, pixels, connections and waiting.
    hosts : sequence of str
        Names that the header Host may have. A page in a browser on the device that lets its own name lead to
        127.0.0.1 is refused by it. `*` takes any.
    degradation : Degradation, optional
        Which fallbacks are active; `Isolation` shares its own. Every answer names them in `degraded`.

    Returns
    -------
    Starlette
        The ASGI application.

    Raises
    ------
    RequestError
        Inside a request only: the application answers with its status.

    Examples
    --------
    >>> app = create_app(lambda: None)  # models are made when the first worker starts
    >>> [route.path for route in app.routes][3:]
    ['/v1/detect', '/v1/embed', '/v1/emotion', '/v1/verify']
    """
    service = Service(make, emotion, limits or Limits(), hosts, degradation)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        # fallbacks are known to the whole process; a state that was given is closed by its giver
        own = contextlib.nullcontext() if degradation else contextlib.closing(service.degradation)
        with service.pool, own:
            await service.work(lambda tasks: {})  # loads the first worker's models
            yield

    def task(name: str, answer: Callable[[Request, str], Awaitable[dict[str, Any]]]) -> Route:
        return Route(f"/v1/{name}", _guarded(service, name, answer), methods=["POST"])

    app = Starlette(
        routes=[
            Route("/healthz", _guarded(service, "healthz", _healthz)),
            Route("/readyz", _guarded(service, "readyz", functools.partial(_readyz, service))),
            Route("/metrics", _guarded(service, "metrics", functools.partial(_metrics, service))),
            *(task(name, service.image_task) for name in ("detect", "embed", "emotion")),
            task("verify", service.verify),
        ],
        exception_handlers={HTTPException: _not_here},
        lifespan=lifespan,
    )
    app.state.service = service
    return app


async def _healthz(request: Request, name: str) -> Response:
    return PlainTextResponse("ok\n")


async def _readyz(service: Service, request: Request, name: str) -> Response:
    why = service.ready()
    return PlainTextResponse(f"{why or 'ready'}\n", 503 if why else 200)


async def _metrics(service: Service, request: Request, name: str) -> Response:
    page = service.metrics.page(service.pool, service.emotion, service.degradation)
    return Response(page, media_type="text/plain; version=0.0.4")


def _guarded(
    service: Service, name: str, answer: Callable[[Request, str], Awaitable[Any]]
) -> Callable[[Request], Awaitable[Response]]:
    """Check the host, count the request, and turn whatever goes wrong into a status and a sentence."""

    async def endpoint(request: Request) -> Response:
        started, status = time.perf_counter(), 500
        try:
            _check_host(request, service.hosts)
            got = await answer(request, name)
            response = got if isinstance(got, Response) else _json(got, 200)
            status = response.status_code
            return response
        except Exception as e:
            response = _failed(e, service.met())
            status = response.status_code
            return response
        finally:
            service.metrics.saw(name, status, time.perf_counter() - started)

    return endpoint


def _check_host(request: Request, hosts: frozenset[str]) -> None:
    name = request.headers.get("host", "").lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    if "*" not in hosts and name not in hosts:
        raise RequestError(
            421,
            "the request is for another host",
            expected=", ".join(sorted(hosts)),
            got=name[:80] or "none",
            fix="use one of these names, or start the service with --allow-host",
        )


def _failed(e: Exception, met: list[str]) -> Response:
    """Return an error's answer; it names the fallbacks that were active, as every answer does."""
    if isinstance(e, RequestError):
        return _sentence(e, e.status, met)
    if isinstance(e, InputLostError):
        return _sentence(e, 422, met)
    if isinstance(e, (OverloadedError, PoolTimeoutError, WorkersDownError)):
        return _sentence(e, 503, met)
    if isinstance(e, UnsupportedError):
        return _sentence(e, 501, met)
    if isinstance(e, MissingAssetError):
        return _sentence(e, 404, met)
    if isinstance(e, FacelabError):
        return _sentence(e, 400 if e.exit_code == 2 else 500, met)
    LOG.error("a request failed: %s: %s", type(e).__name__, str(e)[:300])
    said = {"error": "the service failed on this request; its log says why", "degraded": met}
    return _json(said, 500)


def _sentence(e: FacelabError, status: int, met: list[str]) -> Response:
    fields = {k: v for k in ("expected", "got", "fix") if (v := getattr(e, k)) is not None}
    headers = {"Retry-After": "1"} if status == 503 else {}
    if status in (400, 408, 413, 415, 503):
        headers["Connection"] = (
            "close"  # the rest of the body would be read and dropped without end
        )
    return _json({"error": e.what, **fields, "degraded": met}, status, headers)


def _json(value: dict, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(dumps(value) + "\n", status, headers=headers, media_type="application/json")


async def _not_here(request: Request, e: Exception) -> Response:
    status = e.status_code if isinstance(e, HTTPException) else 500
    what = {404: "there is nothing at this address", 405: "this address takes another method"}
    fix = "POST an image to /v1/detect, /v1/embed or /v1/emotion, two to /v1/verify"
    return JSONResponse({"error": what.get(status, str(e)), "fix": fix}, status)
