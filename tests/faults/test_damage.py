"""What lies in a project and was altered or cut short on disk is told in one line, or is a cache that is made again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from preceptor import Project
from preceptor.errors import UserError
from preceptor.formats import durable_files
from preceptor.formats.durable_files import (
    CHECKSUMS_FILE,
    dump_sealed_json,
    file_digest,
    load_sealed_json,
    rewrite_with_checksum,
    verify_checksums,
    write_checksums,
)
from preceptor.types import json_digest


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_cache, write_reviews) -> Path:
    """A project with a snapshot, a model that was trained, and its report."""
    import os

    from preceptor.pipeline.quickstart import run_quickstart

    folder = tmp_path_factory.mktemp("trained")
    before = os.environ.get("PRECEPTOR_CACHE")
    os.environ["PRECEPTOR_CACHE"] = str(tiny_cache)
    try:
        run_quickstart(
            write_reviews(folder / "reviews.csv"), folder / "shop", text="review", label="sentiment", annotator="who", epochs=1.0
        )
    finally:
        os.environ.pop("PRECEPTOR_CACHE") if before is None else os.environ.__setitem__("PRECEPTOR_CACHE", before)
    return folder / "shop"


@pytest.fixture
def shop(trained, tmp_path, tiny_cache, monkeypatch) -> Path:
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    return Path(shutil.copytree(trained, tmp_path / "shop"))


def flip(path: Path, part: float) -> None:
    """Turn one bit of a file, so far into it."""
    data = bytearray(path.read_bytes())
    data[min(int(part * len(data)), len(data) - 1)] ^= 1
    path.write_bytes(data)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


HARM = {"first bit": lambda path: flip(path, 0), "middle bit": lambda path: flip(path, 0.5), "halved": halve, "emptied": empty}


def model_of(folder: Path) -> tuple[str, Path]:
    project = Project.open(folder)
    (model,) = project.models()
    project.close()
    return model["model"], project.objects.path(json_digest(model["model"]))


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("name", ["model.safetensors", "parity.json", "config.json", "manifest.json", "tokenizer.json", CHECKSUMS_FILE])
def test_a_model_that_was_damaged_is_not_evaluated(shop, run, name, harm):
    """One bit of the weights passed; a truncated file ended in a traceback."""
    model, folder = model_of(shop)
    HARM[harm](folder / name)
    ran = run("evaluate", model, "--project", shop)
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1), ran
    assert str(folder) in ran.err
    checked = run("doctor", "--check", shop, "--json")
    assert (checked.code, checked.document["damaged"]) == (1, 1)


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("name", ["rows.jsonl", "manifest.json", CHECKSUMS_FILE])
def test_a_snapshot_that_was_damaged_is_not_used(shop, run, name, harm):
    project = Project.open(shop)
    (snapshot,) = project.snapshots()
    project.close()
    folder = project.objects.path(snapshot["digest"])
    HARM[harm](folder / name)
    ran = run("snapshot", "show", snapshot["digest"][:12], "--project", shop)
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1), ran
    assert str(folder / ("" if name == CHECKSUMS_FILE else name)) in ran.err


def test_every_object_is_read_by_the_check(shop, run):
    assert run("doctor", "--check", shop, "--json").document["damaged"] == 0
    files = [path for path in sorted((shop / "objects").rglob("*")) if path.is_file()]
    assert len(files) > 8
    for path in files:
        whole = path.read_bytes()
        flip(path, 0.9)
        ran = run("doctor", "--check", shop)
        assert ran.code == 1, path
        assert str(path.parent) in ran.out.replace("\n", " "), path
        path.write_bytes(whole)
    assert run("doctor", "--check", shop).code == 0


def test_a_file_is_hashed_once_and_again_when_it_was_replaced(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    path.write_bytes(b"x" * 1000)
    read = []
    digest = durable_files.hashlib.file_digest
    monkeypatch.setattr(durable_files.hashlib, "file_digest", lambda file, name: read.append(file.name) or digest(file, name))
    first = file_digest(path)
    assert [file_digest(path) for _ in range(3)] == [first] * 3
    assert len(read) == 1
    flip(path, 0.5)
    assert file_digest(path) != first
    assert len(read) == 2


def test_a_file_is_replaced_with_what_the_list_says_of_it(tmp_path, monkeypatch):
    """A kill between the list, the file and the list leaves a folder that is whole."""
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "a.json").write_bytes(b"one")
    (tmp_path / "b.json").write_bytes(b"two")
    write_checksums(tmp_path)
    verify_checksums(tmp_path)
    done = 0

    def steps(write):
        def step(*args):
            nonlocal done
            done += 1
            if done == stop:
                raise KeyboardInterrupt
            return write(*args)

        return step

    monkeypatch.setattr(durable_files, "_write_digests", steps(durable_files._write_digests))
    for stop in (1, 2, 0):
        done = 0
        if stop:
            with pytest.raises(KeyboardInterrupt):
                rewrite_with_checksum(tmp_path / "adapter" / "a.json", b"three")
        else:
            rewrite_with_checksum(tmp_path / "adapter" / "a.json", b"three")
        verify_checksums(tmp_path)
    (tmp_path / "adapter" / "a.json").write_bytes(b"one")  # what stood there before holds no more
    with pytest.raises(UserError, match="altered"):
        verify_checksums(tmp_path)
    (tmp_path / "adapter" / "a.json").unlink()
    with pytest.raises(UserError, match="missing"):
        verify_checksums(tmp_path)


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, "é\ud800"]}, [], "text", {"1": {"b": True}}])
def test_a_sealed_value_is_whole_or_refused(value):
    data = dump_sealed_json(value)
    assert load_sealed_json(data) == value
    for place in range(len(data)):
        harmed = bytes([*data[:place], data[place] ^ 1, *data[place + 1 :]])
        try:
            assert load_sealed_json(harmed) == value  # a space that became another sign of its kind
        except ValueError:
            continue
    for end in range(len(data)):
        with pytest.raises(ValueError):  # noqa: PT011 (of several kinds)
            load_sealed_json(data[:end])


@pytest.mark.parametrize("harm", HARM)
def test_a_part_of_an_index_that_was_damaged_is_not_loaded(tmp_path, harm):
    """The index then makes itself anew, as where a part is gone (`tests/retrieval`)."""
    from preceptor.documents.library import DocumentLibrary
    from preceptor.retrieval.index import IndexSegment

    project = Project.create(tmp_path / "shop", retrieval={"encoder": ""})
    documents = DocumentLibrary(project)
    documents.add(b"The rule about groats and ledgers.", name="rule.txt")
    documents.search("groats")
    (segment,) = (path for path in (project.folder / "retrieval").rglob("segment-*") if path.is_dir())
    copy = Path(shutil.copytree(segment, tmp_path / "copy"))  # what is in memory keeps the files of its own open
    for path in sorted(copy.iterdir()):
        whole = path.read_bytes()
        if not whole:
            continue
        HARM[harm](path)
        with pytest.raises(UserError, match=r"altered|missing"):
            IndexSegment.load(copy)
        path.write_bytes(whole)
    assert len(IndexSegment.load(copy)) == 1
    project.close()
