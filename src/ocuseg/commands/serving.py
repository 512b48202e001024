"""The command that serves models to browsers and programs."""

from __future__ import annotations

import ipaddress
import logging
import math
from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from ocuseg.commands.opening import open_bundle
from ocuseg.errors import UsageError

if TYPE_CHECKING:
    from ocuseg.commands.opening import Model

__all__ = ["needs_token", "serve"]

_log = logging.getLogger("ocuseg")
_PACKAGES = ("fastapi", "prometheus_client", "python_multipart", "uvicorn")
_SHORTEST_TOKEN = 16


def serve(
    model: Model | Sequence[Model],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    image_mb: float = 32,
    image_megapixels: float = 50,
    batch_images: int = 16,
    upload_s: float = 60,
    compute_s: float = 120,
    workers: int = 2,
    waiting: int = 16,
    runtime: str = "auto",
    precision: str = "auto",
    flips: bool | None = None,
) -> None:
    """Serve one or more models at http://HOST:PORT/, with a page, until Ctrl-C; the first is the default.

    For a `host` that other machines can reach a `token` is needed, which every client then has to send; `port` 0 is any
    free one. An image may have `image_mb` million bytes and `image_megapixels`, a batch `batch_images` of them; it is
    uploaded within `upload_s` seconds, and predicted within `compute_s`. `workers` images are predicted at once, and
    `waiting` more requests wait; what is beyond is refused with 503. Images are kept in memory alone, and only while
    they are predicted. Raises UsageError where the address cannot be had, a token is missing, a limit is no limit, or
    the extra `serve` is not installed; ModelError for a model that cannot be used.
    """
    from ocuseg.machine import is_installed

    for package in _PACKAGES:
        if not is_installed(package):
            raise UsageError(f"{package} is not installed; run: pip install 'ocuseg[serve]'")
    from ocuseg.bundle import Bundle
    from ocuseg.prediction import open_predictor
    from ocuseg.service.application import create_app
    from ocuseg.service.guards import LOOPBACK_HOSTS
    from ocuseg.service.limits import Limits
    from ocuseg.service.running import address_of, listen, run

    alone = not needs_token(host)
    if token is not None and (len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable()):
        raise UsageError(f"the token is no good; give {_SHORTEST_TOKEN} or more letters, digits and signs")
    if token is None and not alone:
        raise UsageError(f"{host}: other machines can reach it, so a token is needed; give one, or host 127.0.0.1")
    for name, millions in (("image_mb", image_mb), ("image_megapixels", image_megapixels)):
        if not 1e-6 <= millions < math.inf:
            raise UsageError(f"{name}: {millions:g} is no limit; give the most millions that one image may have")
    limits = Limits(
        image_bytes=int(image_mb * 1e6), image_px=int(image_megapixels * 1e6), batch_images=batch_images,
        upload_s=upload_s, compute_s=compute_s, workers=workers, waiting=waiting,
    )  # fmt: skip
    given = [model] if isinstance(model, str | PathLike | Bundle) else list(model)
    if not given:
        raise UsageError("there is no model to serve; give one or more")
    listening = listen(host, port)
    with listening:
        opened: list[Any] = []
        for bundle in map(open_bundle, given):
            predictor = open_predictor(bundle, runtime, flips=flips, precision=precision)
            network: Any = predictor.network
            _log.info("%s: runtime %s, threads %d: %s", bundle.info.name, network.name, network.threads, network.reason)
            opened.append((bundle, predictor))
        hosts = LOOPBACK_HOSTS | {host} if alone else None
        app = create_app(opened, limits=limits, token=token, hosts=hosts)
        _log.info("serving at %s until Ctrl-C; research use, not a medical device", address_of(listening, host))
        run(app, listening)
    _log.info("stopped")


def needs_token(host: str) -> bool:
    """Return whether other machines may reach a service that listens at `host`, a name or an address."""
    if host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
