"""The service does what its OpenAPI description says, whatever is sent."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from ocuseg.service.limits import Limits
from servers import running


def test_every_refusal_is_declared(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/v1/predict", "/v1/predict/batch", "/v1/model", "/healthz", "/metrics"}
    for path in ("/v1/predict", "/v1/predict/batch"):
        answers = paths[path]["post"]["responses"]
        assert set(answers) == {"200", "400", "401", "403", "404", "408", "413", "415", "422", "503"}
        for status, answer in answers.items():
            if status != "200":
                assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/Problem")
        assert "Retry-After" in answers["503"]["headers"]


# Schemathesis and what it stands on warn of what is not ours.
@pytest.mark.filterwarnings("ignore")
def test_schemathesis_finds_no_fault(bundles: list[Path], png: bytes) -> None:
    pytest.importorskip("schemathesis", reason="Schemathesis is not installed")
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis import checks
    from schemathesis.specs.openapi import checks as openapi

    wanted = [
        checks.not_a_server_error, openapi.status_code_conformance, openapi.content_type_conformance,
        openapi.response_headers_conformance, openapi.response_schema_conformance,
    ]  # fmt: skip
    seen: dict[str, set[int]] = {}
    with running(bundles[:2], limits=Limits(image_bytes=100_000, image_px=40_000)) as address:
        schema = schemathesis.openapi.from_url(f"{address}openapi.json")
        for result in schema.get_all_operations():
            operation = result.ok()

            @settings(
                max_examples=25, deadline=None, derandomize=True, database=None, phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(case=operation.as_strategy())
            def probe(case: schemathesis.Case) -> None:
                answer = case.call_and_validate(checks=wanted)
                seen.setdefault(case.path, set()).add(answer.status_code)

            probe()
        for model in ("dark-lines", "bright-parts"):
            asked = {"model": model, "with": ["masks", "mask_png", "probabilities", "preview"]}
            good = schema["/v1/predict"]["POST"].Case(body=png, media_type="application/octet-stream", query=asked)
            assert good.call_and_validate(checks=wanted).status_code == 200
        assert httpx.get(f"{address}healthz").status_code == 200
    assert set(seen) == {"/v1/predict", "/v1/predict/batch", "/v1/model", "/healthz", "/metrics"}
    assert seen["/v1/predict"] - {200, 503}
    assert not [status for found in seen.values() for status in found if status >= 500]
