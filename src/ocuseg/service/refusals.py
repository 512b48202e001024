"""What the service answers where it cannot do what was asked: a status, and one line on what is wrong."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from ocuseg.errors import ImageError, UsageError

__all__ = ["Problem", "Refusal", "busy", "documented", "only_known", "refusal_of", "refuse", "refused"]

_MEANINGS = {
    400: "The upload is not whole, or is no form with images.",
    401: "The token is missing or wrong.",
    403: "The request comes from another site, or asks for another host.",
    404: "There is no such model or path.",
    408: "The upload took too long.",
    413: "There are too many bytes, pixels or images.",
    415: "The upload is not an image, or not sent as one.",
    422: "The image is damaged, or a parameter is not accepted.",
    503: "Too much is being done; ask again after `Retry-After` seconds.",
}
_IMAGE_STATUSES = {"not an image": 415, "too large": 413, "unreadable": 422}
_LONGEST_WAIT_S = 60


class Problem(BaseModel):
    """What every answer but a good one holds."""

    error: str = Field(description="One line: what is wrong, and what to do about it.")


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """An answer with a status of 400 or more."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}

    def response(self) -> Response:
        """Return the answer."""
        return JSONResponse({"error": str(self)}, self.status, self.headers)


def busy(message: str, wait_s: float) -> Refusal:
    """Return the refusal of what could be done a little later."""
    return Refusal(503, message, {"Retry-After": str(min(max(1, math.ceil(wait_s)), _LONGEST_WAIT_S))})


def only_known(request: Request) -> None:
    """Raise Refusal for a parameter of the query that the route does not have, such as a misspelt one."""
    known = [parameter.alias for parameter in request.scope["route"].dependant.query_params]
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise Refusal(422, f"{unknown[0]!r} is no parameter; accepted are {', '.join(known)}; see /openapi.json")


def refusal_of(error: Exception) -> Refusal | None:
    """Return the refusal that an error of the library or of FastAPI means to a client; None for a fault of our own."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, ImageError):
        return Refusal(_IMAGE_STATUSES[error.kind], str(error))
    if isinstance(error, UsageError):
        return Refusal(422, str(error))
    if isinstance(error, MemoryError):
        return busy("the image does not fit into the memory that is left; scale it down or ask again later", 10)
    if isinstance(error, HTTPException):
        reason = HTTPStatus(error.status_code).phrase.lower()
        return Refusal(error.status_code, f"{reason}; see /openapi.json", dict(error.headers or {}))
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        name = next(part for part in reversed(first["loc"]) if isinstance(part, str))  # a number is a place in a list
        return Refusal(422, f"{name}: {first['msg'].lower()}; see /openapi.json")
    return None


async def refuse(_: Request, error: Exception) -> Response:
    """Answer an error that some route raised."""
    refusal = refusal_of(error)
    if refusal is None:
        refusal = Refusal(500, "the service failed at this; see its log, and ask again")
    return refusal.response()


refused = (Refusal, ImageError, UsageError, MemoryError, HTTPException, RequestValidationError, Exception)
"""All that `refuse` answers."""


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the part of an OpenAPI description that declares these statuses."""
    found: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem, "description": _MEANINGS[status]} for status in statuses
    }
    if 503 in found:
        found[503]["headers"] = {"Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}}}
    return found
