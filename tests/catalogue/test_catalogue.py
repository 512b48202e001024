"""Public sets from a server on this machine: fetched, gone on with, verified, unpacked and laid out - or refused."""

from __future__ import annotations

import csv
import errno
import gzip
import hashlib
import io
import json
import stat
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import yaml
from PIL import Image

from catalogue.server import Site, serving
from ocuseg import commands, terminal
from ocuseg.catalogue import fetching, find_set, read_catalogue, unpacking
from ocuseg.catalogue.entries import RemoteFile
from ocuseg.catalogue.fetching import fetch
from ocuseg.cli import app
from ocuseg.errors import DataError, OutputError, UsageError
from ocuseg.images import read_image, read_mask


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PAUSES_S", (0.0, 0.0))
    monkeypatch.setattr(fetching, "TIMEOUT_S", 5.0)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site({})) as served:
        yield served


def picture(seed: int, *, mask: bool = False, form: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray((pixels[..., 0] > 127).astype(np.uint8) * 255 if mask else pixels).save(file, form)
    return file.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def eyes(count: int = 6) -> dict[str, bytes]:
    files = {f"set/images/{number}_R.png": picture(number) for number in range(count)}
    files |= {f"set/labels/{number}_R_mask.png": picture(100 + number, mask=True) for number in range(count)}
    return files | {"set/README.txt": b"hello", "__MACOSX/set/images/._0_R.png": b"litter"}


LAYOUT = {
    "images": r"images/(\d+)_R\.png",
    "masks": r"labels/(\d+)_R_mask\.png",
    "group": ".+",
    "splits": {"train": "^[0-3]", "val": "^4", "test": "^5"},
    "classes": [{"id": 0, "name": "background"}, {"id": 1, "name": "vessel"}],
}


def catalogue(folder: Path, site: Site, files: dict[str, bytes], count: int = 6, /, **more: Any) -> Path:
    """Serve files and describe them as the set `mine` in a catalogue."""
    site.files |= {f"/{name}": content for name, content in files.items()}
    entry: dict[str, Any] = {
        "title": "Mine", "for": "tests", "licence": "CC BY 4.0", "citation": "Nobody 2026.", "home": f"{site.url}/home",
        "images": count, "split": "published",
        "files": [
            {"url": f"{site.url}/{name}", "name": name, "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
        ],
        "layout": LAYOUT,
    }  # fmt: skip
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"mine": entry | more}))
    return path


def get(tmp_path: Path, path: Path, **more: Any) -> Any:
    return commands.get_public_set("mine", out=tmp_path / "data", accept_licence=True, catalogue=path, **more)


@pytest.mark.parametrize(
    "pack",
    [zipped, tarred, lambda files: tarred(files, "w:gz"), lambda files: tarred(files, "w:xz")],
    ids=["zip", "tar", "tar.gz", "tar.xz"],
)
def test_a_set_is_fetched_and_becomes_a_data_set(tmp_path, site, pack: Callable[[dict[str, bytes]], bytes]):
    path = catalogue(tmp_path, site, {"eyes.bin": pack(eyes())})
    told: list[tuple[int, int]] = []
    got = get(tmp_path, path, progress=lambda done, total: told.append((done, total)))
    data = tmp_path / "data"
    assert (got.images, got.was_there, got.unverified) == (6, False, ())
    assert told[-1] == (len(site.files["/eyes.bin"]),) * 2
    assert sorted(item.name for item in data.iterdir()) == [
        "README.md", "classes.yaml", "images", "masks", "origin.json", "split.csv",
    ]  # fmt: skip
    assert (data / "images" / "3.png").read_bytes() == picture(3)
    assert (data / "masks" / "3.png").read_bytes() == picture(103, mask=True)
    with (data / "split.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[4] == {"image": "images/4.png", "mask": "masks/4.png", "split": "val", "group": "4"}
    assert "Licence: CC BY 4.0" in (data / "README.md").read_text()
    findings = commands.check(data)
    assert [str(item) for item in findings if item.level == "error"] == []
    assert not (tmp_path / ".mine.fetched").exists()


def test_a_second_call_does_nothing(tmp_path, site):
    path = catalogue(tmp_path, site, {"eyes.zip": zipped(eyes())})
    get(tmp_path, path)
    asked, before = len(site.asked), (tmp_path / "data" / "split.csv").stat().st_mtime_ns
    (tmp_path / "data" / "images" / ".DS_Store").write_bytes(b"of a file manager")
    assert get(tmp_path, path).was_there
    assert len(site.asked) == asked
    assert (tmp_path / "data" / "split.csv").stat().st_mtime_ns == before


def test_nothing_is_sent_before_the_licence_is_accepted(tmp_path, site, capsys):
    path = catalogue(tmp_path, site, {"eyes.zip": zipped(eyes())})
    with pytest.raises(UsageError, match=r"its licence is 'CC BY 4.0'"):
        commands.get_public_set("mine", out=tmp_path / "data", catalogue=path)
    words = ["data", "get", "mine", "--catalogue", str(path), "--out", str(tmp_path / "data")]
    assert terminal.run(app, words) == 2
    said = capsys.readouterr()
    assert "CC BY 4.0" in said.out
    assert "Nobody 2026." in said.out
    assert "--yes" in said.err
    assert site.asked == []
    assert terminal.run(app, [*words, "--yes"]) == 0
    assert "data: 6 images" in capsys.readouterr().out
    agent = {headers["User-Agent"].split("/")[0] for _, headers in site.asked}
    assert agent == {"ocuseg"}


def test_listing_and_showing_send_nothing(tmp_path, site, capsys):
    path = catalogue(tmp_path, site, {"eyes.zip": zipped(eyes())})
    assert terminal.run(app, ["data", "list", "--catalogue", str(path)]) == 0
    assert terminal.run(app, ["data", "show", "mine", "--catalogue", str(path)]) == 0
    said = capsys.readouterr().out
    assert hashlib.sha256(site.files["/eyes.zip"]).hexdigest() in said
    assert site.asked == []
    assert terminal.run(app, ["data", "show", "mime", "--catalogue", str(path)]) == 2
    assert "did you mean 'mine'?" in capsys.readouterr().err


def remote(site: Site, content: bytes, **more: Any) -> RemoteFile:
    site.files["/f"] = content
    digest = hashlib.sha256(content).hexdigest()
    return RemoteFile(**({"url": f"{site.url}/f", "name": "f", "sha256": digest} | more))


CONTENT = bytes(range(256)) * 4000


def test_a_broken_connection_is_gone_on_from_where_it_broke(tmp_path, site):
    file = remote(site, CONTENT)
    site.break_after = [300_000, 200_000]
    assert fetch(file, tmp_path).read_bytes() == CONTENT
    ranges = [headers.get("Range") for _, headers in site.asked]
    assert ranges == [None, "bytes=300000-", "bytes=500000-"]
    assert site.asked[1][1]["If-Range"] == '"one"'
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_network_that_goes_away_is_no_full_disk(tmp_path, site, monkeypatch: pytest.MonkeyPatch):
    file = remote(site, CONTENT)
    opened = fetching._open
    attempts: list[int] = []

    def unreachable(*words: Any) -> Any:
        answer = opened(*words)
        attempts.append(1)
        if len(attempts) < 3:
            monkeypatch.setattr(answer, "read", mock.Mock(side_effect=OSError(errno.EHOSTUNREACH, "No route to host")))
        return answer

    monkeypatch.setattr(fetching, "_open", unreachable)
    assert fetch(file, tmp_path).read_bytes() == CONTENT
    assert len(attempts) == 3


def test_what_was_fetched_is_kept_for_a_later_call(tmp_path, site):
    file = remote(site, CONTENT)
    site.break_after = [300_000, 0, 0]
    with pytest.raises(DataError, match=r"ended after 300000 of 1024000 bytes; try again"):
        fetch(file, tmp_path)
    assert (tmp_path / "f.part").stat().st_size == 300_000
    site.asked.clear()
    assert fetch(file, tmp_path).read_bytes() == CONTENT
    assert [headers.get("Range") for _, headers in site.asked] == ["bytes=300000-"]


def test_a_file_that_changed_meanwhile_is_fetched_anew(tmp_path, site):
    file = remote(site, CONTENT)
    site.break_after = [300_000, 0, 0]
    with pytest.raises(DataError):
        fetch(remote(site, b"x" * 1_024_000), tmp_path)
    site.files["/f"], site.etag = CONTENT, '"two"'
    assert fetch(file, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_strong_validator_or_ranges_it_begins_again(tmp_path, site, etag):
    file = remote(site, CONTENT)
    site.etag, site.knows_ranges = etag, False
    site.break_after = [300_000]
    assert fetch(file, tmp_path).read_bytes() == CONTENT
    assert [headers.get("Range") for _, headers in site.asked] == [None, None]


def test_a_server_that_ignores_ranges_is_believed(tmp_path, site):
    file = remote(site, CONTENT)
    site.break_after, site.knows_ranges = [300_000], False
    assert fetch(file, tmp_path).read_bytes() == CONTENT
    assert [headers.get("Range") for _, headers in site.asked] == [None, "bytes=300000-"]


def test_a_part_that_is_longer_than_the_file_is_thrown_away(tmp_path, site):
    file = remote(site, CONTENT)
    (tmp_path / "f.part").write_bytes(CONTENT + b"more")
    (tmp_path / "f.part.json").write_text(json.dumps({"url": file.url, "etag": '"one"'}))
    assert fetch(file, tmp_path).read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(tmp_path, site):
    file = remote(site, CONTENT)
    site.files["/f"] = CONTENT[:-1] + b"!"
    with pytest.raises(DataError, match=r"has the sha256 .* it was changed or damaged, and nothing is kept"):
        fetch(file, tmp_path)
    assert list(tmp_path.iterdir()) == []
    path = catalogue(tmp_path, site, {"eyes.zip": zipped(eyes())})
    site.files["/eyes.zip"] = zipped(eyes(5))
    with pytest.raises(DataError, match="was changed or damaged"):
        get(tmp_path, path)
    assert not (tmp_path / "data").exists()


def test_md5_serves_where_no_more_is_published(tmp_path, site):
    digest = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    assert fetch(remote(site, CONTENT, sha256=None, md5=digest), tmp_path).read_bytes() == CONTENT
    (tmp_path / "again").mkdir()
    with pytest.raises(DataError, match="has the md5"):
        fetch(remote(site, CONTENT, sha256=None, md5="0" * 32), tmp_path / "again")


def test_refusals_and_troubles_of_a_server(tmp_path, site):
    file = remote(site, CONTENT)
    site.statuses = [404]
    with pytest.raises(DataError, match="answers 404; look at the home page"):
        fetch(file, tmp_path)
    assert len(site.asked) == 1
    site.statuses = [503, 502]
    assert fetch(file, tmp_path).read_bytes() == CONTENT
    (tmp_path / "f").unlink()
    site.statuses = [503] * 3
    with pytest.raises(DataError, match="answers 503; try again"):
        fetch(file, tmp_path)
    nobody = RemoteFile(url="http://127.0.0.1:9/f", name="f", sha256="0" * 64)
    with pytest.raises(DataError, match="try again"):
        fetch(nobody, tmp_path)


def test_more_bytes_than_expected_are_not_taken(tmp_path, site):
    file = remote(site, CONTENT, bytes=1000)
    with pytest.raises(DataError, match="more than the 1000 expected"):
        fetch(file, tmp_path)
    site.without_length = True
    with pytest.raises(DataError, match="is longer than the 1000 bytes expected"):
        fetch(file, tmp_path)
    assert not (tmp_path / "f.part").exists()
    site.without_length, site.claimed = False, 90_000_000_000_000
    with pytest.raises(DataError, match="was changed"):
        fetch(remote(site, CONTENT), tmp_path)


def test_redirects_lead_to_the_web_alone(tmp_path, site):
    file = remote(site, CONTENT)
    site.redirect["/f"] = "/g"
    site.files["/g"] = CONTENT
    assert fetch(file, tmp_path).read_bytes() == CONTENT
    (tmp_path / "f").unlink()
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    site.redirect["/f"] = secret.as_uri()
    with pytest.raises(DataError, match="answers 302"):
        fetch(file, tmp_path)


def link(name: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("images/0_R.png")
        entry.type, entry.linkname = (tarfile.SYMTYPE if name == "soft" else tarfile.LNKTYPE), "/etc/passwd"
        archive.addfile(entry)
    return file.getvalue()


def zip_link() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        entry = zipfile.ZipInfo("images/0_R.png")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    return file.getvalue()


EVIL = {
    "zip-up": (zipped({"../escaped.png": b"x"}), "leads out of its folder"),
    "zip-root": (zipped({"/tmp/escaped.png": b"x"}), "leads out of its folder"),
    "zip-drive": (zipped({"C:/escaped.png": b"x"}), "leads out of its folder"),
    "zip-backslash": (zipped({"images\\..\\..\\escaped.png": b"x"}), "leads out of its folder"),
    "zip-link": (zip_link(), "holds the link or device"),
    "zip-twice": (zipped({"images/A.png": b"x", "images/a.png": b"y"}), "twice"),
    "tar-up": (tarred({"images/../../escaped.png": b"x"}), "leads out of its folder"),
    "tar-root": (tarred({"/escaped.png": b"x"}), "leads out of its folder"),
    "tar-soft": (link("soft"), "holds the link or device"),
    "tar-hard": (link("hard"), "holds the link or device"),
    "tar-bomb": (tarred({"images/0_R.png": bytes(3_000_000)}, "w:gz"), "inflates to more than it may"),
    "zip-bomb": (zipped({"images/0_R.png": bytes(3_000_000)}), "inflates to more than it may"),
    "gz-bomb": (tarred({"images/0_R.png.gz": gzip.compress(bytes(3_000_000))}), "inflates to more than it may"),
    "cut": (zipped(eyes())[:-30], "neither zip nor tar"),
    "cut-tar": (tarred(eyes(), "w:gz")[:-2000], "damaged archive"),
    "text": (b"<html>please register</html>", "neither zip nor tar"),
    "few": (zipped(eyes(5)), "holds 5 images, the catalogue says 6"),
    "unpaired": (zipped({k: v for k, v in eyes().items() if k != "set/labels/2_R_mask.png"}), "do not go together"),
}


@pytest.mark.parametrize("name", EVIL)
def test_an_archive_that_is_not_what_it_seems_is_refused_and_leaves_nothing(tmp_path, site, name):
    content, message = EVIL[name]
    path = catalogue(tmp_path, site, {"eyes.zip": content}, layout=LAYOUT | {"inflated_bytes": 1_000_000})
    with pytest.raises(DataError, match=message) as error:
        get(tmp_path, path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "data").exists()
    assert not list(tmp_path.parent.glob("**/escaped*"))
    assert sorted(item.name for item in tmp_path.iterdir()) == [".mine.fetched", "mine.yaml"]


def test_a_zip_that_claims_what_its_bytes_cannot_hold_is_refused(tmp_path, site):
    content = bytearray(zipped({"images/0_R.png": b"x" * 100}))
    central = content.index(b"PK\x01\x02")
    content[central + 24 : central + 28] = (2_000_000_000).to_bytes(4, "little")
    path = catalogue(tmp_path, site, {"eyes.zip": bytes(content)})
    with pytest.raises(DataError, match="claims more than its bytes can hold"):
        get(tmp_path, path)


def test_too_many_files_are_refused(tmp_path, site, monkeypatch):
    monkeypatch.setattr(unpacking, "_MOST_MEMBERS", 5)
    for pack in (zipped, tarred):
        path = catalogue(tmp_path, site, {"eyes.zip": pack(eyes())})
        with pytest.raises(DataError, match="more than 5"):
            get(tmp_path, path)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_name_of_a_tar_that_would_fill_the_memory_is_refused_unread(tmp_path, kind):
    entry = tarfile.TarInfo("name")
    entry.type, entry.size = kind, 40_000_000
    path = tmp_path / "eyes.tar.gz"
    path.write_bytes(gzip.compress(entry.tobuf(tarfile.GNU_FORMAT) + bytes(40_000_000)))
    tracemalloc.start()
    with pytest.raises(DataError, match="holds a name of 40000000 bytes"):
        list(unpacking.members(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize("content", ["a: " + "[" * 5000, "a: 2024-13-45", "? {a: 1}\n: 1", '"\\e[31mx": 1'])
def test_a_catalogue_that_is_no_yaml_is_one_plain_line(tmp_path, content):
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(DataError) as error:
        read_catalogue(tmp_path / "mine.yaml")
    assert str(error.value).startswith(f"{tmp_path / 'mine.yaml'}: ")
    assert str(error.value).isprintable()


def test_nothing_of_somebody_else_is_replaced(tmp_path, site):
    path = catalogue(tmp_path, site, {"eyes.zip": zipped(eyes())})
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds no mine"):
        get(tmp_path, path)
    assert site.asked == []
    assert (tmp_path / "data" / "mine.txt").read_text() == "mine"


def test_archives_and_folders_that_one_has_need_no_server(tmp_path, site, capsys):
    content = zipped(eyes())
    path = catalogue(tmp_path, site, {"eyes.zip": content})
    (tmp_path / "eyes.zip").write_bytes(content)
    assert get(tmp_path, path, archives=[tmp_path / "eyes.zip"]).unverified == ()
    (tmp_path / "eyes.zip").write_bytes(zipped(eyes(5)))
    with pytest.raises(DataError, match="has not the sha256"):
        commands.get_public_set("mine", out=tmp_path / "b", catalogue=path, archives=[tmp_path / "eyes.zip"])
    for name, data in eyes().items():
        (tmp_path / "unpacked" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "unpacked" / name).write_bytes(data)
    words = ["--catalogue", str(path), "--archive", str(tmp_path / "unpacked"), "--out", str(tmp_path / "c")]
    assert terminal.run(app, ["data", "get", "mine", *words]) == 0
    assert "unpacked: no checksum is known for it" in capsys.readouterr().err
    assert len(list((tmp_path / "c" / "images").iterdir())) == 6
    assert site.asked == []
    with pytest.raises(UsageError, match="does not exist"):
        commands.get_public_set("mine", out=tmp_path / "d", catalogue=path, archives=[tmp_path / "none.zip"])


def test_lists_name_the_splits(tmp_path, site):
    lists = {"train.txt": b"0.png\r\n1.png\n2\n3", "test.txt": b"4.png\n5.png\n"}
    layout = LAYOUT | {"lists": {"train": r"train\.txt", "test": r"test\.txt"}, "splits": {}}
    path = catalogue(tmp_path, site, {"eyes.zip": zipped(eyes() | lists)}, layout=layout)
    get(tmp_path, path)
    with (tmp_path / "data" / "split.csv").open() as file:
        assert [row["split"] for row in csv.DictReader(file)] == ["train"] * 4 + ["test"] * 2
    path = catalogue(tmp_path, site, {"eyes.zip": zipped(eyes())}, layout=layout)
    with pytest.raises(DataError, match=r"the list of train is not in the archive|the list of test is not"):
        commands.get_public_set("mine", out=tmp_path / "e", accept_licence=True, catalogue=path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha265": 1}, "sha265"),
        ({"files": [{"url": "ftp://x/y", "name": "y", "sha256": "0" * 64}]}, "files.0.url"),
        ({"files": [{"url": "http://x/y", "name": "../y", "sha256": "0" * 64}]}, "files.0.name"),
        ({"files": [{"url": "http://x/y", "name": "y"}]}, "a file needs sha256"),
        ({"files": []}, "needs instructions"),
        ({"layout": LAYOUT | {"images": "("}}, "layout.images"),
        ({"images": None}, "needs the number of its images"),
    ],
)
def test_a_catalogue_of_ones_own_is_read_strictly(tmp_path, site, change, message):
    path = catalogue(tmp_path, site, {"eyes.zip": b"x"}, **change)
    with pytest.raises(DataError) as error:
        read_catalogue(path)
    assert str(error.value).startswith(f"{path}: mine: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_catalogue_is_refused(tmp_path):
    for name, content in (("a.yaml", "- 1"), ("b.yaml", "{"), ("c.yaml", "../x: {}")):
        (tmp_path / name).write_text(content)
        with pytest.raises(DataError, match=name):
            read_catalogue(tmp_path / name)
    with pytest.raises(DataError, match="cannot be read"):
        read_catalogue(tmp_path / "none.yaml")


def test_every_shipped_set_can_be_got_or_says_how():
    sets = read_catalogue()
    assert {"hrf", "stare", "fundus-avseg", "chase_db1", "fives", "drive"} <= set(sets)
    for name, one in sets.items():
        assert one.licence, name
        assert one.citation, name
        assert one.files or one.instructions, name
        assert all(file.checksum_by for file in one.files), name


PUBLISHED = {
    # Names as the publishers have them; what is in the files was drawn here.
    "hrf": lambda: {
        "hrf-all.zip": zipped(
            {
                f"images/{n:02}_{g}.{'JPG' if g == 'dr' else 'jpg'}": picture(
                    100 * ("h", "g", "dr").index(g) + n, form="JPEG"
                )
                for n, g in _hrf()
            }
            | {f"manual1/{n:02}_{g}.tif": picture(n, mask=True, form="TIFF") for n, g in _hrf()}
            | {f"mask/{n:02}_{g}_mask.tif": _white() for n, g in _hrf()}
        )
    },
    "stare": lambda: {
        f"{name}.tar": tarred(
            {
                f"im{n:04}{end}.ppm.gz": gzip.compress(picture(n + 50 * k, mask=bool(end), form="PPM"))
                for n in range(1, 21)
            }
        )
        for k, (name, end) in enumerate((("stare-images", ""), ("labels-ah", ".ah"), ("labels-vk", ".vk")))
    },
    "fundus-avseg": lambda: {
        "Fundus-AVSeg.zip": zipped(
            {f"Fundus-AVSeg/images/{n:03}_{'ADGN'[n % 4]}.png": picture(n) for n in range(1, 101)}
            | {f"Fundus-AVSeg/annotation/{n:03}_{'ADGN'[n % 4]}.png": _av(n) for n in range(1, 101)}
            | {
                "Fundus-AVSeg/training.txt": "\n".join(f"{n:03}_{'ADGN'[n % 4]}.png" for n in range(1, 81)).encode(),
                "Fundus-AVSeg/testing.txt": "\n".join(f"{n:03}_{'ADGN'[n % 4]}.png" for n in range(81, 101)).encode(),
            }
        )
    },
    "chase_db1": lambda: {
        "CHASEDB1.zip": zipped(
            {f"Image_{n:02}{s}.jpg": picture(n + (s == "R") * 30, form="JPEG") for n in range(1, 15) for s in "LR"}
            | {
                f"Image_{n:02}{s}_{o}HO.png": picture(n, mask=True)
                for n in range(1, 15)
                for s in "LR"
                for o in ("1st", "2nd")
            }
        )
    },
}


def _hrf() -> list[tuple[int, str]]:
    return [(number, group) for group in ("h", "g", "dr") for number in range(1, 16)]


def _white() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((12, 16), 255, np.uint8)).save(file, "TIFF")
    return file.getvalue()


def _av(seed: int) -> bytes:
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255], [0, 255, 0], [255, 255, 255]], np.uint8)
    file = io.BytesIO()
    Image.fromarray(colours[np.random.default_rng(seed).integers(0, 5, (12, 16))]).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_shipped_layout_makes_a_data_set_that_check_accepts(tmp_path, name):
    wanted, archives = find_set(name), PUBLISHED[name]()
    for file, content in archives.items():
        # Under another name, as the checksum is that of the real file.
        (tmp_path / f"drawn-{file}").write_bytes(content)
    got = commands.get_public_set(
        name, out=tmp_path / "data", archives=[tmp_path / f"drawn-{file}" for file in archives]
    )
    assert got.images == wanted.images
    assert len(got.unverified) == len(archives)
    findings = commands.check(tmp_path / "data")
    codes = {item.code for item in findings if item.level == "error"}
    assert codes <= {"image-copy", "image-duplicate"}, [str(item) for item in findings if item.level == "error"][:5]
    first = next(iter(sorted((tmp_path / "data" / "images").iterdir())))
    assert read_image(first).shape == (12, 16, 3)
    assert read_mask(next(iter(sorted((tmp_path / "data" / "masks").iterdir())))).size == (12, 16)
    with (tmp_path / "data" / "split.csv").open() as file:
        rows = list(csv.DictReader(file))
    if name == "chase_db1":
        assert "split" not in rows[0]
        assert len({row["group"] for row in rows}) == 14
    if name == "hrf":
        assert [sum(row["split"] == split for row in rows) for split in ("train", "test")] == [15, 30]
    if name == "fundus-avseg":
        assert [sum(row["split"] == split for row in rows) for split in ("train", "test")] == [80, 20]
