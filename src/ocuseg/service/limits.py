"""How much the service takes on: bytes, pixels, time, and work that waits."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ocuseg.errors import UsageError

__all__ = ["Limits"]

_BATCH_UPLOADS = 4
_HELD_UPLOADS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request, and all of them together, may ask for.

    One image has at most `image_bytes` as a file and `image_px` when decoded; a batch has at most `batch_images` of
    them. An upload is there within `upload_s` seconds, and an image computed within `compute_s`. `workers` images are
    computed at once, and `waiting` more requests wait; what is beyond that is refused. Raises UsageError for less than
    1 of anything, but for `waiting`, which may be 0.
    """

    image_bytes: int = 32 << 20
    image_px: int = 50_000_000
    batch_images: int = 16
    upload_s: float = 60.0
    compute_s: float = 120.0
    workers: int = 2
    waiting: int = 16

    def __post_init__(self) -> None:
        for field in fields(self):
            least = {"waiting": 0, "upload_s": 0.1, "compute_s": 0.1}.get(field.name, 1)
            value = getattr(self, field.name)
            if not value >= least:
                raise UsageError(f"{field.name}: {value:g} is too little to serve anything; give {least:g} or more")

    @property
    def batch_bytes(self) -> int:
        """The most bytes that the images of one batch have together."""
        return _BATCH_UPLOADS * self.image_bytes

    @property
    def held_bytes(self) -> int:
        """The most bytes of uploads that are in memory at once, of all requests."""
        return _HELD_UPLOADS * self.image_bytes
