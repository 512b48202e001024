from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

import ocuseg.folders
from ocuseg.errors import OutputError
from ocuseg.folders import folder_written_whole, require_replaceable, safe_name


def write(folder: Path, text: str) -> None:
    with folder_written_whole(folder) as staging:
        (staging / "below").mkdir()
        (staging / "below" / "file").write_text(text, encoding="utf-8")


@pytest.fixture(params=[True, False], ids=["one step", "two renames"])
def _either_way(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(ocuseg.folders, "_exchanged", lambda first, second: False)


@pytest.mark.usefixtures("_either_way")
def test_a_folder_is_new_or_replaced_with_nothing_left_beside_it(tmp_path):
    folder = tmp_path / "new" / "folder"
    for text in ("first", "second"):
        write(folder, text)
        assert (folder / "below" / "file").read_text(encoding="utf-8") == text
        assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.usefixtures("_either_way")
def test_an_error_inside_leaves_what_was_there(tmp_path):
    folder = tmp_path / "folder"
    write(folder, "first")
    with pytest.raises(TypeError):
        write(folder, 1)  # no text: fails with a folder made and a file begun
    assert (folder / "below" / "file").read_text(encoding="utf-8") == "first"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    write(tmp_path / "folder", "first")
    link = tmp_path / "link"
    try:
        link.symlink_to(tmp_path / "folder", target_is_directory=True)
    except OSError:
        pytest.skip("links are not permitted here")
    write(link, "second")
    assert link.is_symlink()
    assert (tmp_path / "folder" / "below" / "file").read_text(encoding="utf-8") == "second"


@pytest.mark.skipif(os.name != "posix", reason="permissions of another kind")
def test_a_folder_is_as_readable_as_any_new_one(tmp_path):
    write(tmp_path / "folder", "first")
    (tmp_path / "other").mkdir()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("folder", "other")]
    assert modes[0] == modes[1]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="folder: cannot be written"):
        write(tmp_path / "file" / "folder", "text")


@pytest.mark.parametrize(
    ("name", "part"),
    [("../../home/me", "_.._home_me"), ("..", "_"), ("a b/c", "a_b_c"), ("größe-1.2", "größe-1.2"), ("C:\\x", "C_x")],
)
def test_a_name_becomes_one_part_of_a_path(name, part):
    assert safe_name(name) == part
    assert len(Path(part).parts) == 1


def test_only_an_earlier_result_may_be_replaced(tmp_path):
    def ask(folder: Path) -> None:
        require_replaceable(
            folder, ("a", "b"), lambda place: (place / "a").exists(), result="the thing", foreign="which is foreign"
        )

    ask(tmp_path / "new" / "folder")
    (tmp_path / "Thumbs.db").touch()
    ask(tmp_path)
    (tmp_path / "b").touch()  # without the mark of a result even its own names are somebody's
    with pytest.raises(OutputError, match="holds b, which is foreign; give a new"):
        ask(tmp_path)
    (tmp_path / "a").touch()
    ask(tmp_path)
    with pytest.raises(OutputError, match="is a file; give a folder for the thing"):
        ask(tmp_path / "a")
