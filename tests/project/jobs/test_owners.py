"""Files and jobs belong to programs, also while they change beneath who uses them."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from preceptor import Project
from preceptor.annotation.access_control import AccessControl
from preceptor.errors import NotFoundError, UserError
from preceptor.jobs.fine_tuning_jobs import FineTuningQueue, UploadStore
from preceptor.storage import jobs as kept

ASKED = {"base": "smollm2", "hyperparameters": {}, "seed": 1}


@pytest.fixture
def shop(tmp_path, database_url, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_DATABASE", database_url)
    project = Project.create(tmp_path / "shop")
    yield project
    project.close()


@pytest.fixture
def programs(shop):
    access = AccessControl(shop)
    return [access.authenticate_token(access.issue_application_token(name, ["train"])["token"]) for name in ("app", "other")]


def upload(shop, visitor, data: bytes = b"{}") -> str:
    uploads = UploadStore(shop)
    with uploads.temporary_file() as path:
        path.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        owner = visitor and visitor.annotator
        row = uploads.add(path, digest=digest, size=len(data), filename="a", purpose="fine-tune", by="a", owner=owner)
    return row["id"]


def test_what_nobody_owns_is_for_managers(shop, programs):
    file = upload(shop, None)
    boss = AccessControl(shop).authenticate_token(AccessControl(shop).invite("boss", "owner")["token"])
    assert UploadStore(shop).get(file, boss)["id"] == file
    for visitor in programs:
        with pytest.raises(NotFoundError):
            UploadStore(shop).get(file, visitor)


def test_the_same_bytes_of_two_programs_are_two_files(shop, programs):
    """The content is kept once; that another has uploaded it shows nowhere, and deleting one leaves the other's."""
    mine, theirs = (upload(shop, visitor, b"the same") for visitor in programs)
    assert mine != theirs
    uploads = UploadStore(shop)
    uploads.delete(mine, programs[0], by="app")
    size, pieces = uploads.open(theirs, programs[1])
    assert (size, b"".join(pieces)) == (8, b"the same")


def test_a_file_that_is_deleted_while_it_is_read_is_read_to_its_end(shop, programs):
    data = bytes(3 << 20)
    file = upload(shop, programs[0], data)
    _, pieces = UploadStore(shop).open(file, programs[0])
    first = next(pieces)
    UploadStore(shop).delete(file, programs[0], by="app")
    assert first + b"".join(pieces) == data


def test_a_job_never_begins_on_a_file_that_is_deleted_at_that_moment(shop, programs):
    """Either the job needs the file, which then can't be deleted, or the file is gone, and there is no job."""

    def begin(file: str) -> bool:
        try:
            FineTuningQueue(shop).create(programs[0], training_file=file, **ASKED)
        except NotFoundError:
            return False
        return True

    def delete(file: str) -> bool:
        try:
            UploadStore(shop).delete(file, programs[0], by="app")
        except UserError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        for number in range(30):
            file = upload(shop, programs[0], b"%d" % number)
            ways = (begin, delete) if number % 2 else (delete, begin)
            done = [pool.submit(way, file) for way in ways]
            assert sorted(each.result() for each in done) == [False, True], number


def test_a_page_goes_on_only_after_what_is_ones_own(shop, programs):
    mine, theirs = upload(shop, programs[0]), upload(shop, programs[1])
    rest = {"purpose": None, "limit": 10, "ascending": False}
    assert [row["id"] for row in UploadStore(shop).list_page(programs[0], after=None, **rest)[0]] == [mine]
    with pytest.raises(NotFoundError):
        UploadStore(shop).list_page(programs[0], after=theirs, **rest)


def test_the_model_of_the_same_training_has_for_each_program_its_own_name(shop, programs):
    """Two programs that ask for the same training share its model, and neither learns of the other's suffix."""
    from preceptor.release.model_catalog import ModelCatalog
    from preceptor.storage import artifacts
    from preceptor.types import Model, json_digest

    folder = shop.objects.path(json_digest("m-1"))
    folder.mkdir(parents=True)
    (folder / "demonstrations.json").write_text("{}")
    with shop.database.writing() as connection:
        artifacts.add_model(connection, Model("m-1", folder, {}), run="r", snapshot="s")
    for visitor in programs:
        job = FineTuningQueue(shop).create(visitor, training_file=upload(shop, visitor), **ASKED)
        with shop.database.writing() as connection:
            kept.update_fields(connection, job.id, model="m-1", fine_tuned_model=f"ft:smollm2:shop:{visitor.name}:m-1")
    for visitor in programs:
        names = {each.name for each in ModelCatalog(shop).list_offered(visitor) if each.fingerprint == "m-1"}
        assert names == {f"ft:smollm2:shop:{visitor.name}:m-1"}
