"""For the tests of the service and its page: a real server on this machine."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ocuseg.commands.opening import open_bundle
from ocuseg.prediction import open_predictor


@contextlib.contextmanager
def running(models: Sequence[Path | str], **words: Any) -> Iterator[str]:
    """Serve bundles or shipped models on a free port of this machine; yields the address. `words` as of the app."""
    import uvicorn

    from ocuseg.service.application import create_app
    from ocuseg.service.guards import LOOPBACK_HOSTS
    from ocuseg.service.running import address_of, configuration, listen

    opened = [(bundle, open_predictor(bundle, threads=1)) for bundle in map(open_bundle, models)]
    listening = listen("127.0.0.1", 0)
    app = create_app(opened, **({"hosts": LOOPBACK_HOSTS} | words))
    server = uvicorn.Server(configuration(app))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield address_of(listening, "127.0.0.1")
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        listening.close()
        assert not thread.is_alive()
