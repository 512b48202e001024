"""The service as an application: its routes, and what a client may ask of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import Response
from starlette.types import ASGIApp

from ocuseg.bundle import Bundle
from ocuseg.machine import package_version
from ocuseg.prediction import Predictor
from ocuseg.service.answers import BatchAnswer, Part, Prediction, Row, mask_png, prediction
from ocuseg.service.guards import Guard, Patience
from ocuseg.service.limits import Limits
from ocuseg.service.metering import CONTENT_TYPE, Meter, Metered
from ocuseg.service.refusals import documented, only_known, refusal_of, refuse, refused
from ocuseg.service.seeing import Seen, see
from ocuseg.service.served import NOTICE, ServedModel, ServiceInfo, choose, describe_service, name_models
from ocuseg.service.uploads import Intake
from ocuseg.service.workroom import Check, Workroom

__all__ = ["create_app"]

_PAGE_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FILE = {"type": "string", "contentMediaType": "application/octet-stream"}
_IMAGE_BODY = {
    "required": True,
    "content": {
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        "image/*": {"schema": {"type": "string", "format": "binary"}},
        "multipart/form-data": {
            "schema": {"type": "object", "required": ["image"], "properties": {"image": _FILE}},
        },
    },
}
_BATCH_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["images"],
                "properties": {"images": {"type": "array", "items": _FILE, "minItems": 1}},
            }
        }
    },
}

_ModelName = Annotated[str | None, Query(alias="model", description="Its name; default: the first that is served.")]
_Threshold = Annotated[
    float | None,
    Query(ge=0, le=1, allow_inf_nan=False, description="Of two classes; default: the one chosen on validation."),
]
_routes = APIRouter()


def create_app(
    models: Sequence[tuple[Bundle, Predictor]],
    *,
    limits: Limits | None = None,
    token: str | None = None,
    hosts: frozenset[str] | None = None,
) -> ASGIApp:
    """Return the service of these models, the first of which is the default, as an ASGI application.

    `token` is asked of every client, `hosts` are the names that it answers for; see `ocuseg.service.guards`.
    """
    limits = limits or Limits()
    named = name_models(models)
    workroom, intake, meter = Workroom(limits), Intake(limits), Meter()
    meter.watch("ocuseg_requests_in_work", "Requests that are computed or wait.", lambda: workroom.taken)
    meter.watch("ocuseg_held_bytes", "Bytes of uploads in memory.", lambda: intake.held_bytes)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        workroom.close()

    version = package_version("ocuseg") or "unknown"
    app = FastAPI(
        title="ocuseg", version=version, description=f"Segments images of the eye. {NOTICE}",
        docs_url=None, redoc_url=None, lifespan=lifespan, redirect_slashes=False,
        exception_handlers=dict.fromkeys(refused, refuse),
    )  # fmt: skip
    app.state.models, app.state.limits = named, limits
    app.state.workroom, app.state.intake, app.state.meter = workroom, intake, meter
    app.state.info = describe_service(named, limits, version)
    if token is not None:
        _declare_token(app)
    app.include_router(_routes)
    _add_page(app)
    return Metered(Patience(Guard(app, token=token, hosts=hosts)), meter)


@_routes.post(
    "/v1/predict",
    dependencies=[Depends(only_known)],
    summary="What a model sees in one image",
    responses={
        200: {"model": Prediction, "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
        **documented(400, 401, 403, 404, 408, 413, 415, 422, 503),
    },
    openapi_extra={"requestBody": _IMAGE_BODY},
)
async def predict(
    request: Request,
    model_name: _ModelName = None,
    threshold: _Threshold = None,
    form: Annotated[
        Literal["json", "mask"] | None,
        Query(alias="format", description="JSON or the mask as PNG; default: by the Accept header, else JSON."),
    ] = None,
    parts: Annotated[
        list[Part] | None, Query(alias="with", description="What JSON also holds; default: masks.")
    ] = None,
) -> Response:
    """Predict the image that is the body, or the part `image` of a form; nothing of it is kept."""
    state = request.app.state
    model: ServedModel = choose(state.models, model_name)
    accepted = request.headers.get("accept", "")
    wants_mask = form == "mask" or (form is None and "image/png" in accepted and "json" not in accepted)
    wanted = frozenset[Part](["masks"] if parts is None else parts)
    state.workroom.require_place()  # before anything is read
    async with state.intake.images(request) as uploads:
        [upload] = uploads

        def work(check: Check) -> tuple[bytes, str]:
            with_steps = "probabilities" in wanted and not wants_mask
            seen = see(
                model, upload.content,
                max_px=state.limits.image_px, check=check, threshold=threshold, with_steps=with_steps,
            )  # fmt: skip
            if wants_mask:
                return mask_png(seen), "; ".join(seen.description.flags if seen.description else ())
            return prediction(seen, wanted).model_dump_json().encode(), ""

        with state.workroom.place(), _timed(state.meter, model):
            content, flags = await state.workroom.do(work)
    if wants_mask:
        return Response(content, media_type="image/png", headers={"Ocuseg-Flags": flags})
    return Response(content, media_type="application/json")


@_routes.post(
    "/v1/predict/batch",
    dependencies=[Depends(only_known)],
    summary="What a model sees in several images",
    response_model=BatchAnswer,
    responses=documented(400, 401, 403, 404, 408, 413, 415, 422, 503),
    openapi_extra={"requestBody": _BATCH_BODY},
)
async def predict_batch(
    request: Request,
    model_name: _ModelName = None,
    threshold: _Threshold = None,
    parts: Annotated[
        list[Literal["masks", "mask_png"]] | None, Query(alias="with", description="What a row also holds.")
    ] = None,
) -> Response:
    """Predict the parts `images` of a form; an image that cannot be predicted is a row with an error."""
    state = request.app.state
    model: ServedModel = choose(state.models, model_name)
    wanted = frozenset[Part](["masks"] if parts is None else parts)
    state.workroom.require_place()
    rows: list[str] = []
    async with state.intake.images(request, most=state.limits.batch_images) as uploads:
        with state.workroom.place():
            for index, upload in enumerate(uploads):
                row = Row(index=index, name=upload.name, status=200, error=None, prediction=None)
                ask = partial(see, model, upload.content, max_px=state.limits.image_px, threshold=threshold)
                with _timed(state.meter, model):
                    rows.append(await state.workroom.do(partial(_filled, row, wanted, ask)))
    return Response(f'{{"images":[{",".join(rows)}]}}', media_type="application/json")


@_routes.get("/v1/model", summary="The models and the limits", responses=documented(401, 403))
async def model(request: Request) -> ServiceInfo:
    """Return what is known of all models that are served, the default first, and what an upload may be."""
    info: ServiceInfo = request.app.state.info
    return info


@_routes.get("/healthz", summary="Whether the service runs", responses=documented(403))
async def healthz() -> dict[Literal["status"], Literal["ok"]]:
    """Return that the service runs; this needs no token."""
    return {"status": "ok"}


@_routes.get(
    "/metrics",
    summary="Numbers for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **documented(401, 403)},
)
async def metrics(request: Request) -> Response:
    """Return counts and times; none of them names a file or a client."""
    return Response(request.app.state.meter.text(), headers={"Content-Type": CONTENT_TYPE})


def _filled(row: Row, parts: frozenset[Part], ask: Callable[..., Seen], check: Check) -> str:
    """A row of a batch as JSON: what is seen in its image, or why that cannot be said."""
    try:
        row.prediction = prediction(ask(check=check), parts)
    except Exception as error:
        refusal = refusal_of(error)
        if refusal is None:
            raise
        row.status, row.error = refusal.status, str(refusal)
    return row.model_dump_json()


@contextlib.contextmanager
def _timed(meter: Meter, model: ServedModel) -> Iterator[None]:
    start_s = time.perf_counter()
    yield
    meter.image_seconds.labels(model.name).observe(time.perf_counter() - start_s)


def _declare_token(app: FastAPI) -> None:
    """Say in the description that a bearer token is needed."""
    describe = app.openapi

    def with_token() -> dict[str, Any]:
        description = describe()
        description["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        description["security"] = [{"token": []}]
        return description

    app.openapi = with_token  # type: ignore[method-assign]


def _add_page(app: FastAPI) -> None:
    """Add the files of the page, which are held in memory: `index.html` at `/`, the others below `/page/`."""
    for path in sorted(Path(__file__).with_name("page").iterdir()):
        where = "/" if path.name == "index.html" else f"/page/{path.name}"
        # What a system takes a suffix for differs; a browser runs no script of another type.
        answer = Response(path.read_bytes(), media_type=_PAGE_TYPES[path.suffix], headers={"Cache-Control": "no-cache"})
        app.add_api_route(where, _always(answer), include_in_schema=False, response_class=Response)


def _always(answer: Response) -> Any:
    async def give() -> Response:
        return answer

    return give
