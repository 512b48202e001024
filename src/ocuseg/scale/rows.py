"""The rows of the result: one for each image, with areas, measures and mask or with the reason why it has none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ocuseg.classes import Classes
from ocuseg.metrics import VESSEL_COLUMNS, listed_ids
from ocuseg.scale.job import Masks

__all__ = ["DONE", "RowWriter", "area_columns"]

DONE = "done"
"""The status of an image that has a mask; any other says why it has none."""

# Rows wait in memory until their masks have this many bytes.
_HELD_BYTES = 16 << 20


def area_columns(classes: Classes) -> dict[int, str]:
    """Return for each class that has areas how its columns begin: its name in letters, digits and `_`, no two equal."""
    starts: dict[int, str] = {}
    for class_id in listed_ids(classes):
        name = re.sub(r"\W+", "_", classes.names[class_id].casefold()).strip("_") or "class"
        wanted, number = name, class_id
        while name in starts.values():
            name, number = f"{wanted}_{number}", number + 1
        starts[class_id] = name
    return starts


def row_schema(classes: Classes, masks: Masks, measured: Sequence[str] | None) -> Any:
    """Return the `pyarrow.Schema` of the rows of a model with these classes.

    `measured` are the measures of the model, None for a model that neither measures nor flags.
    """
    import pyarrow as pa

    areas = []
    for class_id, start in area_columns(classes).items():
        areas += [(f"{start}_pixels", pa.int64()), (f"{start}_share_of_image", pa.float64())]
        areas.append((f"{start}_area_mm2", pa.float64()))
        if classes.items[class_id].parent is not None:
            areas.append((f"{start}_share_of_parent", pa.float64()))
    described = [] if measured is None else [("flags", pa.string())]
    if measured:
        described += [(column, pa.float64()) for column in VESSEL_COLUMNS]
    mask = {"table": [("mask", pa.binary())], "files": [("mask_file", pa.string())], "none": []}[masks]
    return pa.schema(
        [
            pa.field("image", pa.string(), nullable=False),
            pa.field("status", pa.string(), nullable=False),
            ("error", pa.string()),
            ("height", pa.int32()),
            ("width", pa.int32()),
            ("bytes", pa.int64()),
            ("sha256", pa.string()),
            *areas,
            ("laterality", pa.string()),
            *described,
            *mask,
            ("model", pa.string()),
            ("model_digest", pa.string()),
            ("runtime", pa.string()),
            ("ocuseg_version", pa.string()),
        ]
    )


def area_values(rows: Sequence[Mapping[str, Any]], classes: Classes) -> dict[str, Any]:
    """Return the columns of one image's areas for `row_schema`, from the rows of its `areas.csv`."""
    starts = area_columns(classes)
    values: dict[str, Any] = {
        f"{starts[row['class_id']]}_{key}": row.get(key)
        for row in rows
        for key in ("pixels", "share_of_image", "share_of_parent", "area_mm2")
    }
    return values | {"laterality": next((row.get("laterality") for row in rows), None)}


class RowWriter:
    """Writes rows to a local Parquet file, holding no more of them than a few masks need."""

    def __init__(self, path: Path, classes: Classes, masks: Masks, measured: Sequence[str] | None = None) -> None:
        from pyarrow import parquet

        self._schema = row_schema(classes, masks, measured)
        # PNG is compressed already.
        compression = {name: "none" if name == "mask" else "zstd" for name in self._schema.names}
        self._writer = parquet.ParquetWriter(
            path, self._schema, compression=compression, use_dictionary=["status", "model", "model_digest", "runtime"]
        )
        self._rows: list[Mapping[str, Any]] = []
        self._held = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Take one row; a column that it does not have is null."""
        self._rows.append(row)
        self._held += len(row.get("mask") or b"")
        if self._held >= _HELD_BYTES:
            self._flush()

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            columns = {name: [row.get(name) for row in self._rows] for name in self._schema.names}
            self._writer.write_table(pa.table(columns, schema=self._schema))
        self._rows, self._held = [], 0
