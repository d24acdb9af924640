"""Where the external data of a model may lie: which links are followed, and which are not."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from ir.diagnostics import InvalidModelError
from layercc.frontends.onnx import external, from_onnx
from tests.frontends.onnx_models import model_of

WEIGHTS = np.arange(6, dtype=np.float32).reshape(2, 3)
SECRET = np.full((2, 3), 7, np.float32)


def model_bytes(location: str) -> bytes:
    """A model whose weights lie in a file at `location`."""
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[2, 3])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    model = model_of([onnx.helper.make_node("Identity", ["w"], ["y"])], {}, ["y"])
    model.graph.initializer.append(tensor)
    return model.SerializeToString()


class Place:
    """Folders, files and links below a temporary folder; missing folders are made."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file("secret/w.bin", SECRET.tobytes())

    def path(self, name: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def file(self, name: str, data: bytes = WEIGHTS.tobytes()) -> None:
        self.path(name).write_bytes(data)

    def link(self, name: str, target: str | Path) -> None:
        self.path(name).symlink_to(target)

    def model(self, name: str = "m/one.onnx", location: str = "w.bin") -> Path:
        self.file(name, model_bytes(location))
        return self.path(name)

    def cached(self, data: str = "../../blobs/bb", location: str = "one.onnx_data") -> Path:
        """As Hugging Face keeps it: both names are links into a folder of blobs."""
        self.file("blobs/aa", model_bytes(location))
        self.file("blobs/bb")
        self.link("snapshots/x/one.onnx", "../../blobs/aa")
        if data:
            self.link(f"snapshots/x/{location}", data)
        return self.path("snapshots/x/one.onnx")


def beside(location: str) -> Callable[[Place], Path]:
    """The data in the model's folder, its name written in some way."""

    def make(place: Place) -> Path:
        place.file("m/w.bin")
        place.file("m/sub/v.bin")
        return place.model(location=location)

    return make


def linked(target: str) -> Callable[[Place], Path]:
    """The data as a link beside a model that is none."""

    def make(place: Place) -> Path:
        place.file("m/sub/v.bin")
        place.link("m/w.bin", target)
        return place.model()

    return make


def chain(place: Place) -> Path:
    place.link("snapshots/x/again", "../../blobs/cc")
    place.link("blobs/cc", "bb")
    return place.cached(data="again")


def model_by_two_links(place: Place) -> Path:
    place.cached()
    place.link("snapshots/x/latest.onnx", "one.onnx")
    return place.path("snapshots/x/latest.onnx")


def in_a_subfolder(place: Place) -> Path:
    """Data one folder down, its link leading to the same blobs."""
    place.link("snapshots/x/onnx/w.bin", "../../../blobs/bb")
    return place.cached(data="", location="onnx/w.bin")


def not_linked_beside_a_link(place: Place) -> Path:
    place.file("snapshots/x/one.onnx_data")
    return place.cached(data="")


def absolute_links(place: Place) -> Path:
    place.file("blobs/aa", model_bytes("w.bin"))
    place.file("blobs/bb")
    place.link("m/one.onnx", place.root / "blobs/aa")
    place.link("m/w.bin", place.root / "blobs/bb")
    return place.path("m/one.onnx")


def linked_folder_of_the_model(place: Place) -> Path:
    """The model by way of a folder that is a link."""
    place.cached()
    place.link("main", "snapshots/x")
    return place.path("main/one.onnx")


def linked_folder_to_the_blobs(place: Place) -> Path:
    place.link("snapshots/x/data", "../../blobs")
    return place.cached(data="", location="data/bb")


def linked_folder_inside(place: Place) -> Path:
    place.file("m/real/w.bin")
    place.link("m/sub", "real")
    return place.model(location="sub/w.bin")


def hard_link(place: Place) -> Path:
    place.file("elsewhere/w.bin")
    model = place.model()
    os.link(place.path("elsewhere/w.bin"), place.path("m/w.bin"))
    return model


FOUND: dict[str, Callable[[Place], Path]] = {
    "beside": beside("w.bin"),
    "./": beside("./w.bin"),
    "below": beside("sub/v.bin"),
    "down and up": beside("./sub/../w.bin"),
    "down, up and down": beside("sub/../sub/./v.bin"),
    "twice a slash": beside("sub//v.bin"),
    "a link to what is below": linked("sub/v.bin"),
    "a link up and down again": linked("../m/sub/v.bin"),
    "a cache": Place.cached,
    "a cache, a chain of links": chain,
    "a cache, the model by two links": model_by_two_links,
    "a cache, a subfolder": in_a_subfolder,
    "a cache, data that is no link": not_linked_beside_a_link,
    "a cache, absolute links": absolute_links,
    "a cache, a linked folder": linked_folder_of_the_model,
    "a cache, a link to the folder of blobs": linked_folder_to_the_blobs,
    "a link to a folder inside": linked_folder_inside,
    "a hard link": hard_link,
}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("make", FOUND.values(), ids=FOUND)
@pytest.mark.parametrize("where", ["absolute", "relative", "from the folder", "from above"])
def test_found(
    make: Callable[[Place], Path], where: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(place)
    if where == "relative":
        monkeypatch.chdir(place.root)
        model = model.relative_to(place.root)
    elif where == "from the folder":
        monkeypatch.chdir(model.parent)
        model = Path(model.name)
    elif where == "from above":
        monkeypatch.chdir(place.path("elsewhere/y").parent)
        model = Path("..") / model.relative_to(place.root)
    np.testing.assert_array_equal(from_onnx(model).constants["w"], WEIGHTS)


def absolute(place: Place) -> Path:
    place.file("m/w.bin")
    return place.model(location=str(place.root / "m/w.bin"))


def cache_with(data: str) -> Callable[[Place], Path]:
    def make(place: Place) -> Path:
        place.file("blobs/below/bb")
        place.link("blobs/out", "../secret/w.bin")
        return place.cached(data=data)

    return make


def by_way_of_another_folder(place: Place) -> Path:
    """A chain that ends well, and goes where anyone may have put a link."""
    place.link("secret/link", "../blobs/bb")
    return place.cached(data="../../secret/link")


def blobs_without_a_link(place: Place) -> Path:
    """The folder of blobs is nothing to a model that is not a link to there."""
    place.file("blobs/bb")
    place.link("m/w.bin", "../blobs/bb")
    return place.model()


def folder_outside(place: Place) -> Path:
    place.link("m/sub", "../secret")
    return place.model(location="sub/w.bin")


def up_from_a_linked_folder(place: Place) -> Path:
    """`sub/..` is not the model's folder where `sub` is a link."""
    place.file("w.bin", SECRET.tobytes())
    place.file("m/w.bin")
    place.link("m/sub", "../secret")
    return place.model(location="sub/../w.bin")


def special(kind: str, link: bool = False) -> Callable[[Place], Path]:
    """A pipe, a socket, a folder: opening one may wait for ever."""

    def make(place: Place) -> Path:
        path = place.path("m/real" if link else "m/w.bin")
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            folder = os.getcwd()
            os.chdir(path.parent)  # its name may not be long
            try:
                socket.socket(socket.AF_UNIX).bind(path.name)
            finally:
                os.chdir(folder)
        else:
            path.mkdir()
        if link:
            place.link("m/w.bin", "real")
        return place.model()

    return make


OUTSIDE = "lies outside the model's folder"
REFUSED: dict[str, tuple[Callable[[Place], Path], str]] = {
    "absolute": (absolute, OUTSIDE),
    "up": (beside("../secret/w.bin"), OUTSIDE),
    "down and up twice": (beside("sub/../../secret/w.bin"), OUTSIDE),
    "up and down again": (beside("../m/w.bin"), OUTSIDE),
    "of Windows": (beside("..\\secret\\w.bin"), OUTSIDE),
    "of Windows, absolute": (beside("C:\\secret\\w.bin"), OUTSIDE),
    "of Windows, rooted": (beside("\\secret\\w.bin"), OUTSIDE),
    "a share of Windows": (beside("\\\\host\\share\\w.bin"), OUTSIDE),
    "the folder": (beside("."), "names no file"),
    "the folder, down and up": (beside("sub/.."), "names no file"),
    "the folder above": (beside(".."), OUTSIDE),
    "nothing": (beside(""), "names no file"),
    "a zero": (beside("w.bin\0x"), "names no file"),
    "a folder": (beside("sub"), "not a regular file"),
    "missing": (beside("x.bin"), "No such file"),
    "a long name": (beside("x" * 5000), "cannot read external data"),
    "a link out": (linked("../secret/w.bin"), OUTSIDE),
    "a link to the folder above": (linked(".."), OUTSIDE),
    "a link to a system file": (linked("/etc/passwd"), OUTSIDE),
    "a link to a device": (linked("/dev/zero"), OUTSIDE),
    "a link to a terminal": (linked("/dev/tty"), OUTSIDE),
    "a link to memory": (linked("/proc/self/mem"), OUTSIDE),
    "a link to nothing": (linked("sub/missing"), "No such file"),
    "a circle": (linked("w.bin"), "circle"),
    "a cache, a link to a system file": (cache_with("/etc/passwd"), OUTSIDE),
    "a cache, a link above": (cache_with("../../secret/w.bin"), OUTSIDE),
    "a cache, a link below the blobs": (cache_with("../../blobs/below/bb"), OUTSIDE),
    "a cache, a blob that is a link out": (cache_with("../../blobs/out"), OUTSIDE),
    "a cache, a link to nothing": (cache_with("../../blobs/missing"), "No such file"),
    "a cache, a link to the blobs": (cache_with("../../blobs"), OUTSIDE),
    "a cache, by way of another folder": (by_way_of_another_folder, OUTSIDE),
    "blobs of others": (blobs_without_a_link, OUTSIDE),
    "a folder outside": (folder_outside, OUTSIDE),
    "up from a linked folder": (up_from_a_linked_folder, OUTSIDE),
    "a pipe": (special("pipe"), "not a regular file"),
    "a link to a pipe": (special("pipe", link=True), "not a regular file"),
    "a socket": (special("socket"), "cannot read external data"),
    "a link to a folder": (special("folder", link=True), "not a regular file"),
}


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
def test_refused(
    make: Callable[[Place], Path],
    words: str,
    relative: bool,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make(place)
    if relative:
        monkeypatch.chdir(model.parent)
        model = Path(model.name)
    with pytest.raises(InvalidModelError, match=f"initialiser 'w': .*{words}"):
        from_onnx(model)


@pytest.mark.parametrize("linux", [True, False], ids=["linux", "another system"])
def test_a_file_that_is_exchanged_while_it_is_opened(
    linux: bool, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was opened counts, not what lay there before."""
    place.file("m/w.bin")
    model = place.model()
    really_open, really_read = os.open, os.readlink

    def exchanged(path: object, *rest: int) -> int:
        return really_open(place.path("secret/w.bin"), *rest)

    def unknown(path: str) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(external.os, "open", exchanged)
    monkeypatch.setattr(external.os, "readlink", really_read if linux else unknown)
    with pytest.raises(InvalidModelError, match=OUTSIDE):
        from_onnx(model)


def test_a_model_in_memory_has_no_folder() -> None:
    with pytest.raises(InvalidModelError, match="give the path of the model"):
        from_onnx(onnx.load_model_from_string(model_bytes("w.bin")))


def test_a_path_in_bytes(place: Place) -> None:
    model = beside("w.bin")(place)
    np.testing.assert_array_equal(from_onnx(os.fsencode(model)).constants["w"], WEIGHTS)
