from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ocuseg.bundle import load_bundle
from ocuseg.classes import parse_classes
from ocuseg.errors import DataError, ModelError, OutputError, UsageError
from ocuseg.images import write_image, write_mask
from ocuseg.metrics import VESSEL_COLUMNS, area_rows
from ocuseg.prediction import open_predictor

fsspec = pytest.importorskip("fsspec", reason="no fsspec: pip install 'ocuseg[ray]'")
parquet = pytest.importorskip("pyarrow.parquet", reason="no pyarrow: pip install 'ocuseg[ray]'")

from ocuseg import scale  # noqa: E402
from ocuseg.scale import chunks, cluster, fetching, predicting  # noqa: E402
from ocuseg.scale.chunks import ChunkWorker  # noqa: E402
from ocuseg.scale.collection import Chunk, list_images, plan_chunks  # noqa: E402
from ocuseg.scale.job import Job, begin_job, pack_bundle  # noqa: E402
from ocuseg.scale.rows import area_columns  # noqa: E402
from ocuseg.scale.storage import Storage  # noqa: E402

SIZE = (20, 30)
Work = Callable[..., ChunkWorker]


@pytest.fixture(params=["disc", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A folder on a disc, or in a storage that is not one: a prefix in memory, named by a URI."""
    if request.param == "disc":
        yield str(tmp_path / "place")
        return
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    yield "memory:///bucket/place"
    memory.store.clear()


@pytest.fixture
def bundle(bright_red: Callable[..., Path]) -> Any:
    return load_bundle(bright_red(3))


@pytest.fixture
def work(bundle: Any, place: str) -> Work:
    """A function that makes a worker on the output `place`/out."""

    def make(**changes: Any) -> ChunkWorker:
        job = replace(Job("bright-red", bundle.digest, None, False, "onnxruntime", "auto", "table"), **changes)
        return ChunkWorker(job, pack_bundle(bundle), f"{place}/out", threads=1)

    return make


def _put(uri: str, content: bytes = b"") -> str:
    files, path = fsspec.core.url_to_fs(uri)
    files.makedirs(path.rpartition("/")[0], exist_ok=True)
    files.pipe_file(path, content)
    return uri


def _png(seed: int, size: tuple[int, int] = SIZE) -> bytes:
    picture = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def _pictures(place: str, number: int) -> list[str]:
    return [_put(f"{place}/images/{index:02d}.png", _png(index)) for index in range(number)]


def _rows(place: str) -> list[dict[str, Any]]:
    out = Storage(f"{place}/out")
    return [
        row
        for name in sorted(out.names("rows"))
        for row in parquet.read_table(io.BytesIO(out.read(f"rows/{name}"))).to_pylist()
    ]


def _statuses(place: str) -> list[str]:
    return [row["status"] for row in _rows(place)]


class TestListing:
    def test_a_folder_is_searched_with_all_that_lies_below_it(self, place: str) -> None:
        for name in ("b.PNG", "a/c.jpg", "a.txt", ".hidden.png", ".cache/d.png", "a/._c.jpg"):
            _put(f"{place}/images/{name}")
        assert list_images([f"{place}/images"]) == [f"{place}/images/a/c.jpg", f"{place}/images/b.PNG"]

    def test_what_an_earlier_run_wrote_below_them_is_no_image(self, place: str) -> None:
        image, beside = _put(f"{place}/images/eye.png"), _put(f"{place}/images/results/eye.png")
        _put(f"{place}/images/result/masks/00000000/00000_eye.png")
        assert list_images([f"{place}/images"], f"{place}/images/result") == [image, beside]
        with pytest.raises(DataError, match="holds no image"):
            list_images([f"{place}/images/result"], f"{place}/images/result")

    def test_images_that_several_sources_name_are_there_once(self, place: str) -> None:
        one = _put(f"{place}/images/one")
        two = _put(f"{place}/images/two.png")
        assert list_images([one, f"{place}/images", two]) == [one, two]

    def test_a_list_has_paths_relative_to_itself_and_others(self, place: str, tmp_path: Path) -> None:
        text = _put(
            f"{place}/lists/all.txt", f"# mine\nsub/1.png\n\n{tmp_path}/2.png\nmemory:///other/3.png\n".encode()
        )
        assert list_images([text]) == sorted([f"{place}/lists/sub/1.png", f"{tmp_path}/2.png", "memory:///other/3.png"])

    def test_a_table_has_a_column_of_images(self, place: str) -> None:
        import pyarrow

        buffer = io.BytesIO()
        parquet.write_table(pyarrow.table({"eye": ["left"], "image": ["2.png"]}), buffer)
        tables = [
            _put(f"{place}/lists/a.csv", b"image,eye\n1.png,left\n"),
            _put(f"{place}/lists/b.parquet", buffer.getvalue()),
        ]
        assert list_images(tables) == [f"{place}/lists/1.png", f"{place}/lists/2.png"]

    def test_what_is_not_there_or_empty_is_said(self, place: str) -> None:
        with pytest.raises(UsageError, match=r"nowhere: does not exist; give images"):
            list_images([f"{place}/nowhere"])
        _put(f"{place}/texts/a.md")
        with pytest.raises(DataError, match=r"texts: holds no image"):
            list_images([f"{place}/texts"])
        table = _put(f"{place}/lists/a.csv", b"file,eye\n1.png,left\n")
        with pytest.raises(DataError, match=r"a\.csv: is no list of images; .* a column 'image'"):
            list_images([table])

    def test_a_storage_that_is_not_known_or_not_installed(self) -> None:
        with pytest.raises(UsageError, match=r"nfs5://eyes: cannot be opened \(Protocol not known.*; install"):
            list_images(["nfs5://eyes"])


class TestChunks:
    def test_they_are_the_same_after_a_restart_and_grow_with_the_collection(self, place: str) -> None:
        out = Storage(f"{place}/out")
        first = plan_chunks(out, ["b", "d", "f"], 2)
        assert first == [Chunk(0, ("b", "d")), Chunk(1, ("f",))]
        assert plan_chunks(Storage(f"{place}/out"), ["b", "d", "f"], 5) == first
        grown = plan_chunks(out, ["a", "b", "c", "d", "e"], 2)
        assert grown == [*first, Chunk(2, ("a", "c")), Chunk(3, ("e",))]
        assert plan_chunks(out, ["a"], 1) == grown

    def test_a_job_of_other_settings_is_refused(self, place: str) -> None:
        out = Storage(f"{place}/out")
        job = Job("vessels", "ab" * 32, 0.43, True, "auto", "auto", "table")
        begin_job(out, job)
        begin_job(out, job)
        with pytest.raises(
            OutputError, match=r"out: was begun with threshold 0\.43, not 0\.3; give .* or another --out"
        ):
            begin_job(out, replace(job, threshold=0.3))
        with pytest.raises(OutputError, match="was begun with model digest abababababab, not cdcdcdcdcdcd;"):
            begin_job(out, replace(job, model_digest="cd" * 32))

    def test_a_folder_with_other_files_is_refused(self, place: str) -> None:
        _put(f"{place}/out/thesis.txt", b"years")
        with pytest.raises(OutputError, match=r"holds files of something else \(no job\.json\)"):
            begin_job(Storage(f"{place}/out"), Job("vessels", "ab" * 32, 0.43, True, "auto", "auto", "table"))


class TestStorage:
    def test_a_file_is_there_whole_or_not_at_all(self, place: str) -> None:
        out = Storage(place)
        out.write("rows/1", b"old")

        def interrupted() -> None:
            with out.written_whole("rows/1") as path:
                path.write_bytes(b"ne")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert out.read("rows/1") == b"old"
        assert out.names("rows") == {"1"}

    def test_a_transfer_that_breaks_leaves_nothing_under_the_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(self: Any, local: str, path: str) -> None:
            self.pipe_file(path, Path(local).read_bytes()[:3])
            raise ConnectionError("reset by peer")

        out = Storage("memory:///bucket/breaks")
        monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "put_file", broken)
        with pytest.raises(OutputError, match=r"memory://.*/rows/1: cannot be written \(reset by peer\)"):
            out.write("rows/1", b"content")
        assert out.names("rows") == set()
        assert not out.has("rows/1")


class TestWorker:
    def test_rows_have_the_mask_and_the_areas_of_the_predictor(
        self, work: Work, place: str, bundle: Any, tmp_path: Path
    ) -> None:
        names = _pictures(place, 3)
        assert work()(Chunk(0, tuple(names))) == chunks.ChunkResult(0, 3, 0)
        predictor = open_predictor(bundle, "onnxruntime")
        rows = _rows(place)
        assert [row["image"] for row in rows] == names
        for index, row in enumerate(rows):
            (tmp_path / "one.png").write_bytes(_png(index))
            result = predictor(tmp_path / "one.png")
            expected = write_mask(tmp_path / "mask.png", result.mask, result.classes, software="ocuseg predict")
            assert row["mask"] == expected.read_bytes()
            for area in area_rows("", result.mask, result.classes):
                start = area["class"].replace(" ", "_")
                assert row[f"{start}_pixels"] == area["pixels"]
                assert row[f"{start}_share_of_image"] == area["share_of_image"]
            assert (row["status"], row["error"]) == ("done", None)
            assert (row["height"], row["width"], row["bytes"]) == (*SIZE, len(_png(index)))
            assert len(row["sha256"]) == 64
            assert (row["model_digest"], row["runtime"]) == (bundle.digest, "onnxruntime fp32")

    def test_rows_have_measures_and_flags_where_the_model_has_them(
        self, place: str, bright_red: Callable[..., Path]
    ) -> None:
        bundle = load_bundle(bright_red(measures=["vessels"], made_for=[{"brightness": -9.0}]))
        job = Job("bright-red", bundle.digest, 0.5, False, "onnxruntime", "auto", "none")
        (name,) = _pictures(place, 1)
        missing = f"{place}/images/none.png"
        ChunkWorker(job, pack_bundle(bundle), f"{place}/out", threads=1)(Chunk(0, (name, missing)))
        done, failed = _rows(place)
        assert done["flags"] == "brighter"
        assert done["vessel_density"] == round(done["foreground_pixels"] / (SIZE[0] * SIZE[1]), 6)
        assert set(VESSEL_COLUMNS) < set(done)
        assert (failed["status"], failed["flags"], failed["vessel_density"]) == ("missing", None, None)

    def test_rows_of_medical_files_have_square_millimetres_and_the_side(
        self, work: Work, place: str, tmp_path: Path
    ) -> None:
        pytest.importorskip("highdicom")
        from formats.dicom_files import photograph, save

        image = np.full((*SIZE, 3), (200, 10, 10), np.uint8)
        save(photograph(image, PixelSpacing=[0.1, 0.2], ImageLaterality="R"), tmp_path / "eye.dcm")
        name = _put(f"{place}/images/eye.dcm", (tmp_path / "eye.dcm").read_bytes())
        work()(Chunk(0, (name, *_pictures(place, 1))))
        medical, plain = _rows(place)
        starts = [column.removesuffix("_pixels") for column in medical if column.endswith("_pixels")]
        assert starts == ["background", "class_1", "class_2"]
        for start in starts:
            assert medical[f"{start}_area_mm2"] == pytest.approx(0.02 * medical[f"{start}_pixels"])
            assert plain[f"{start}_area_mm2"] is None
        assert (medical["laterality"], plain["laterality"]) == ("R", None)

    def test_masks_go_where_they_shall(self, work: Work, place: str) -> None:
        names = tuple(_pictures(place, 2))
        work()(Chunk(0, names))
        masks = [row["mask"] for row in _rows(place)]
        Storage(f"{place}/out").remove({"rows/00000000.parquet"})
        work(masks="files")(Chunk(0, names))
        files = [row["mask_file"] for row in _rows(place)]
        assert files == ["masks/00000000/00000_00.png", "masks/00000000/00001_01.png"]
        assert [Storage(f"{place}/out").read(name) for name in files] == masks
        Storage(f"{place}/out").remove({"rows/00000000.parquet"})
        work(masks="none")(Chunk(0, names))
        assert {"mask", "mask_file"} & set(_rows(place)[0]) == set()

    def test_whatever_is_wrong_with_an_image_is_a_row(
        self, work: Work, place: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fetching, "_MOST_BYTES", 5000)
        names = [
            f"{place}/images/none.png",
            _put(f"{place}/images/text.png", b"hello"),
            _put(f"{place}/images/cut.png", _png(1)[:900]),
            _put(f"{place}/images/large.png", _png(1, (50, 60))),
            _put(f"{place}/images/good.png", _png(1)),
            _put(f"{place}/images/odd.png", _png(2, (1, 1))),
        ]
        predict_files = chunks.predict_files

        def choosy(predictor: Any, images: list[Path], folder: Path) -> Any:
            if images[0].stat().st_size == len(_png(2, (1, 1))):
                raise ModelError(f"{images[0]}: the network fails")
            return predict_files(predictor, images, folder)

        monkeypatch.setattr(chunks, "predict_files", choosy)
        worker = work()
        worker(Chunk(0, tuple(names)))
        assert _statuses(place) == ["missing", "not an image", "unreadable", "too large", "done", "failed"]
        errors = [row["error"] for row in _rows(place)]
        assert errors[0] == "does not exist; correct the path, or restore the file"
        assert str(errors[1]).startswith("is not an image; give PNG")
        assert str(errors[2]).startswith("is a truncated or damaged PNG")
        assert errors[5].startswith("ModelError: ")
        assert [row["sha256"] is None for row in _rows(place)] == [True, False, False, True, False, False]

    def test_a_chunk_that_is_there_is_not_done_again(self, work: Work, place: str) -> None:
        names = tuple(_pictures(place, 1))
        worker = work()
        worker(Chunk(0, names))
        Storage(f"{place}/out").write("rows/00000000.parquet", b"as it was")
        assert worker(Chunk(0, names)).number == 0
        assert Storage(f"{place}/out").read("rows/00000000.parquet") == b"as it was"

    def test_another_version_of_the_program_is_refused(self, bundle: Any, place: str) -> None:
        job = Job("bright-red", bundle.digest, None, False, "onnxruntime", "auto", "table")
        with pytest.raises(ModelError, match=r"a worker has ocuseg .*, the command 0\.0\.9; install one version"):
            ChunkWorker(job, pack_bundle(bundle), place, threads=1, asked_by="0.0.9")

    def test_a_changed_byte_of_the_model_is_noticed(self, bundle: Any, place: str) -> None:
        job = Job("bright-red", bundle.digest, None, False, "onnxruntime", "auto", "table")
        files = pack_bundle(bundle)
        with pytest.raises(ModelError, match="was changed"):
            ChunkWorker(job, files | {"model.onnx": files["model.onnx"][:-1] + b"x"}, place, threads=1)

    def test_a_storage_that_fails_for_a_while_is_asked_again(
        self, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers: list[Any] = [ConnectionError("reset"), TimeoutError("slow"), tmp_path / "there"]

        def asked(image: str, folder: Path) -> Path:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(fetching, "_fetch", asked)
        monkeypatch.setattr(fetching, "_WAITS_S", (0.0, 0.0))
        assert fetching.fetch("a.png", tmp_path) == tmp_path / "there"
        answers += [ConnectionError("reset")] * 3
        with pytest.raises(fetching.FetchError, match=r"cannot be fetched \(reset\)"):
            fetching.fetch("a.png", tmp_path)


class Killed(BaseException):
    """What no worker can catch, as the end of its process."""


class TestPoison:
    @pytest.fixture
    def fragile(self, work: Work, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ChunkWorker]:
        """A function that makes a worker, as a new process has it, which dies of one image."""
        predict_files = chunks.predict_files

        def make(deadly: str, seen: list[str]) -> ChunkWorker:
            def predict(predictor: Any, images: list[Path], folder: Path) -> Any:
                content = images[0].read_bytes()
                seen.append(next(str(index) for index in range(5) if _png(index) == content))
                if seen[-1] == deadly:
                    raise Killed
                return predict_files(predictor, images, folder)

            monkeypatch.setattr(chunks, "predict_files", predict)
            return work()

        return make

    def test_an_image_that_kills_its_worker_is_a_row_in_the_end(
        self, fragile: Callable[..., ChunkWorker], place: str
    ) -> None:
        names = tuple(_pictures(place, 4))
        seen: list[str] = []
        deaths = 0
        for _ in range(10):
            try:
                result = fragile("2", seen)(Chunk(0, names))
                break
            except Killed:
                deaths += 1
                assert Storage(f"{place}/out").names("rows") == set()
        assert (deaths, result.lost) == (4, 4)
        assert _statuses(place) == ["done", "done", "killed", "done"]
        assert "killed the process that worked on it 2 times" in _rows(place)[2]["error"]
        assert Storage(f"{place}/out").names("attempts") == set()
        assert seen.count("3") == 1

    def test_a_worker_that_died_for_another_reason_costs_no_image(
        self, fragile: Callable[..., ChunkWorker], place: str
    ) -> None:
        names = tuple(_pictures(place, 4))
        for deadly in ("1", "3", "0", "2", "3"):  # as machines that are taken away at any moment
            with pytest.raises(Killed):
                fragile(deadly, [])(Chunk(0, names))
        assert fragile("none", [])(Chunk(0, names)).lost == 5
        assert _statuses(place) == ["done"] * 4


class TestWhole:
    """The whole prediction, with chunks done in this process instead of on Ray."""

    @pytest.fixture
    def begun(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The numbers of the chunks that were begun; at -1 the job stops."""
        begun: list[int] = []

        def here(
            job: Job, files: dict[str, bytes], out: str, todo: Sequence[Chunk], **options: Any
        ) -> Iterator[chunks.ChunkResult]:
            worker = ChunkWorker(job, files, out, threads=1)
            for chunk in todo:
                if begun[-1:] == [-1]:
                    raise KeyboardInterrupt
                begun.append(chunk.number)
                yield worker(chunk)

        monkeypatch.setattr(predicting, "run_chunks", here)
        return begun

    def test_it_goes_on_where_it_was_stopped(self, begun: list[int], bundle: Any, place: str) -> None:
        _pictures(place, 5)

        def predict(**options: Any) -> scale.Summary:
            settings: dict[str, Any] = {"chunk_images": 2, "runtime": "onnxruntime"}
            return scale.predict_collection(bundle, [f"{place}/images"], f"{place}/out", **settings | options)

        shown: list[tuple[int, int]] = []

        def stop_after_one(done: int, total: int) -> None:
            shown.append((done, total))
            begun.append(-1)

        with pytest.raises(KeyboardInterrupt):
            predict(progress=stop_after_one)
        assert (begun, shown) == ([0, -1], [(2, 5)])
        begun.clear()
        summary = predict()
        assert (begun, summary.images, summary.earlier, summary.failed) == ([1, 2], 5, 2, 0)
        assert len(_rows(place)) == len({row["image"] for row in _rows(place)}) == 5
        begun.clear()
        assert predict().earlier == 5
        _put(f"{place}/images/00a.png", b"no image")
        assert predict().statuses == {"done": 5, "not an image": 1}
        assert begun == [3]
        begun.clear()
        _put(f"{place}/images/00a.png", _png(9))
        assert predict().statuses == {"done": 5, "not an image": 1}
        assert begun == []
        assert predict(retry_failed=True).statuses == {"done": 6}
        assert begun == [3]
        with pytest.raises(OutputError, match="was begun with masks table, not none"):
            predict(masks="none")

    def test_rows_that_do_not_fit_the_images_are_noticed(self, begun: list[int], bundle: Any, place: str) -> None:
        _pictures(place, 2)
        scale.predict_collection(bundle, [f"{place}/images"], f"{place}/out", runtime="onnxruntime")
        out = Storage(f"{place}/out")
        out.write("rows/copy.parquet", out.read("rows/00000000.parquet"))
        with pytest.raises(OutputError, match="holds 4 rows for 2 images"):
            scale.predict_collection(bundle, [f"{place}/images"], f"{place}/out", runtime="onnxruntime")

    def test_lost_workers_are_counted(
        self,
        begun: list[int],
        bundle: Any,
        place: str,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.INFO, "ocuseg")
        here = predicting.run_chunks

        def with_a_loss(*arguments: Any, **options: Any) -> Iterator[chunks.ChunkResult]:
            for result in here(*arguments, **options):
                yield replace(result, lost=2 if result.number == 1 else 0)

        monkeypatch.setattr(predicting, "run_chunks", with_a_loss)
        _pictures(place, 6)
        scale.predict_collection(bundle, [f"{place}/images"], f"{place}/out", runtime="onnxruntime", chunk_images=2)
        assert caplog.messages[-1:] == ["1 chunk had to be begun again after a worker was lost"]

    def test_workers_that_write_elsewhere_are_noticed(
        self, bundle: Any, place: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _pictures(place, 2)
        monkeypatch.setattr(predicting, "run_chunks", lambda *_, **__: iter([chunks.ChunkResult(0, 2, 0)]))
        with pytest.raises(
            OutputError, match=r"the workers wrote rows/00000000\.parquet elsewhere; give a folder that"
        ):
            scale.predict_collection(bundle, [f"{place}/images"], f"{place}/out", runtime="onnxruntime")

    @pytest.mark.parametrize(
        ("options", "message"),
        [({"masks": "disc"}, "masks go to table, files, none"), ({"chunk_images": 0}, "a chunk has at least 1 image")],
    )
    def test_wrong_arguments(self, bundle: Any, place: str, options: dict[str, Any], message: str) -> None:
        with pytest.raises(UsageError, match=message):
            scale.predict_collection(bundle, [place], f"{place}/out", **options)


def test_columns_of_classes_with_odd_names() -> None:
    names = ["background", "Clear lens", "clear-lens", "虹膜", "+"]
    classes = parse_classes([{"id": index, "name": name} for index, name in enumerate(names)])
    assert area_columns(classes) == {0: "background", 1: "clear_lens", 2: "clear_lens_2", 3: "虹膜", 4: "class"}
    alike = parse_classes([{"id": index, "name": name} for index, name in enumerate(["x 2", "x", "X", "x_3"])])
    assert area_columns(alike) == {0: "x_2", 1: "x", 2: "x_3", 3: "x_3_3"}


def test_a_relative_output_is_the_same_folder_for_every_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Storage("out").uri == os.path.join(tmp_path, "out").replace(os.sep, "/")  # noqa: PTH118


def test_images_on_a_disc_are_not_copied(tmp_path: Path) -> None:
    image = write_image(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8))
    assert fetching.fetch(str(image), tmp_path / "copies") == image


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also where the tests run as a background job, in which it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interruption_that_a_library_swallows_is_raised_later() -> None:
    before = signal.getsignal(signal.SIGINT)
    with cluster._interruption() as require_none:
        require_none()
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("it is raised at once too")
        with pytest.raises(KeyboardInterrupt):
            require_none()
    assert signal.getsignal(signal.SIGINT) is before
