"""Uploads into memory: never onto a disk, and no further than the limits of bytes and time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from ocuseg.service.limits import Limits
from ocuseg.service.refusals import Refusal, busy

__all__ = ["Intake", "Upload"]

_RAW = ("", "application/octet-stream")
_PART_NAMES = ("image", "images")
_LONGEST_NAME = 200
_SPARE_BYTES = 1 << 16  # for the headers of a form's parts


class Upload(NamedTuple):
    """One file of a request: its `name`, empty where none was given, and its content."""

    name: str
    content: bytes


class Intake:
    """Reads the images of requests, and knows how many bytes of them are held at the moment."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.held_bytes = 0

    @contextlib.asynccontextmanager
    async def images(self, request: Request, most: int = 1) -> AsyncIterator[list[Upload]]:
        """Yield the images of a request, one or more and at most `most`, which are held until the block ends.

        They are the body itself, or the parts `image` or `images` of a form. Raises Refusal where they are too large,
        too many, too slow, cut off, or no such thing.
        """
        limit = self.limits.image_bytes if most == 1 else self.limits.batch_bytes
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        body: _Form | _Raw
        if kind == "multipart/form-data":
            body = _Form(request.headers["content-type"], most, self.limits.image_bytes)
            limit += most * _SPARE_BYTES
        elif kind in _RAW or kind.startswith("image/"):
            body = _Raw()
            limit = min(limit, self.limits.image_bytes)
        else:
            raise Refusal(415, f"the content type {kind!r} is no image; send image/png or the like, or a form of files")
        if int(request.headers.get("content-length", "0")) > limit:
            raise _too_many_bytes(limit)
        taken = 0
        try:
            async with asyncio.timeout(self.limits.upload_s):
                async for chunk in request.stream():
                    taken += len(chunk)
                    self.held_bytes += len(chunk)
                    if taken > limit:
                        raise _too_many_bytes(limit)
                    if self.held_bytes > self.limits.held_bytes:
                        raise busy("too many uploads are being read; ask again in a moment", 2)
                    body.write(chunk)
            yield body.finish()
        except TimeoutError as error:
            raise Refusal(408, f"the upload took more than {self.limits.upload_s:g} s; send a smaller file") from error
        except ClientDisconnect as error:
            raise Refusal(400, "the upload was cut off; send it again") from error
        finally:
            self.held_bytes -= taken


class _Raw:
    """A body that is one image."""

    def __init__(self) -> None:
        self._content = bytearray()

    def write(self, chunk: bytes) -> None:
        self._content += chunk

    def finish(self) -> list[Upload]:
        content, self._content = bytes(self._content), bytearray()  # held once while it is predicted
        return [Upload("", content)]


class _Form:
    """A body that is a form of files, by the callbacks of a parser that knows no disk."""

    def __init__(self, content_type: str, most: int, image_bytes: int) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            raise Refusal(400, "the form has no boundary; let the program that sends it set the content type")
        self._most, self._image_bytes = most, image_bytes
        self._uploads: list[Upload] = []
        self._part, self._field, self._value = bytearray(), bytearray(), bytearray()
        self._name = ""
        self._ended = False
        with _understood():
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": lambda data, start, end: self._field.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                    "on_header_end": self._header,
                    "on_headers_finished": self._headers,
                    "on_part_data": self._data,
                    "on_part_end": self._end,
                    "on_end": self._finished,
                },
            )

    def write(self, chunk: bytes) -> None:
        with _understood():
            self._parser.write(chunk)

    def finish(self) -> list[Upload]:
        if not self._ended:
            raise Refusal(400, "the form ends too early; send it again")
        if not self._uploads:
            raise Refusal(400, f"the form holds no image; name its part {_PART_NAMES[self._most > 1]!r}")
        return self._uploads

    def _begin(self) -> None:
        if len(self._uploads) == self._most:
            if self._most == 1:
                raise Refusal(413, "there is more than one image; send them one by one, or to /v1/predict/batch")
            raise Refusal(413, f"there are more than {self._most} images; send fewer at once")
        self._part, self._disposition = bytearray(), b""

    def _header(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def _headers(self) -> None:
        options = parse_options_header(self._disposition)[1]
        part = options.get(b"name", b"").decode("utf-8", "replace")
        if part not in _PART_NAMES:
            raise Refusal(400, f"the form has a part {part[:40]!r}; name each image {_PART_NAMES[self._most > 1]!r}")
        name = options.get(b"filename", b"").decode("utf-8", "replace").replace("\\", "/")
        self._name = name.rpartition("/")[2][:_LONGEST_NAME]

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._part += memoryview(data)[start:end]
        if len(self._part) > self._image_bytes:
            raise _too_many_bytes(self._image_bytes)

    def _end(self) -> None:
        self._uploads.append(Upload(self._name, bytes(self._part)))
        self._part = bytearray()

    def _finished(self) -> None:
        self._ended = True


@contextlib.contextmanager
def _understood() -> Iterator[None]:
    try:
        yield
    except FormParserError as error:
        raise Refusal(400, "the form is not as a form should be; send it by a browser, curl -F or the like") from error


def _too_many_bytes(limit: int) -> Refusal:
    return Refusal(413, f"the upload has more than {limit / 1e6:.3g} million bytes; send a smaller file")
