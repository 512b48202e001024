"""`ocuseg.train` itself: turns of some steps of one long epoch, or the whole of a short run."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from line import Line

line = Line()

from clocks import Clock, Turns  # noqa: E402

import ocuseg  # noqa: E402
from ocuseg.errors import DeadNetworkError  # noqa: E402

ENDLESS = 100_000


def main() -> None:
    settings = line.settings
    if line.job == "steps":
        train(ENDLESS, Turns(line))
        return
    started, devices = float(settings["started"]), settings.get("devices", 1)
    clock = Clock(started)
    train(settings["steps"], clock, **({"devices": devices} if devices > 1 else {}))
    images = settings["batch"] * devices
    line.answer({**clock.times, "image_s": clock.times["step_s"] / images, "bundle_s": time.time() - started})


def train(steps: int, callback: Turns | Clock, **more: Any) -> None:
    settings = line.settings
    overrides = [*settings["overrides"], "epochs=1", f"steps_per_epoch={steps}"]
    with suppress(DeadNetworkError):  # so few steps teach little; everything is done and written all the same
        ocuseg.train(
            settings["data"], "retina-unet256", out=settings["out"], overrides=overrides, callbacks=[callback],
            cache="off", **more,  # nothing is kept from one turn to the next
        )  # fmt: skip


if __name__ == "__main__":
    main()
