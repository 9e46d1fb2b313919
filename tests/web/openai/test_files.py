"""Files as the official client sends and reads them."""

from __future__ import annotations

import http.client
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

import openai
import pytest

LINE = '{"messages": [{"role": "user", "content": "hi %d"}, {"role": "assistant", "content": "hello"}]}\n'
CONTENT = "".join(LINE % number for number in range(20)).encode()


def objects(server) -> set[str]:
    """The names of all files under objects/files."""
    return {path.name for path in (server.folder / "objects" / "files").rglob("*") if path.is_file()}


def test_a_file_is_uploaded_listed_read_back_and_deleted(server):
    client = server.client()
    made = client.files.create(file=("rows.jsonl", CONTENT), purpose="fine-tune")
    assert (made.object, made.bytes, made.filename, made.purpose, made.status) == (
        "file", len(CONTENT), "rows.jsonl", "fine-tune", "processed",
    )  # fmt: skip
    assert abs(made.created_at - time.time()) < 60
    assert client.files.retrieve(made.id) == made
    assert made.id in {each.id for each in client.files.list()}
    assert client.files.content(made.id).read() == CONTENT
    deleted = client.files.delete(made.id)
    assert deleted.deleted
    assert deleted.id == made.id
    with pytest.raises(openai.NotFoundError, match=made.id):
        client.files.retrieve(made.id)


def test_two_uploads_of_a_file_are_two_ids_of_one_object(server):
    client = server.client()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: client.files.create(file=("twice.jsonl", b"twice " + CONTENT), purpose="fine-tune"), range(4)))
    assert len({each.id for each in made}) == 4
    before = objects(server)
    for each in made[:3]:
        client.files.delete(each.id)
    assert objects(server) == before
    assert client.files.content(made[3].id).read() == b"twice " + CONTENT
    client.files.delete(made[3].id)
    assert len(objects(server)) == len(before) - 1


def test_lists_come_in_pages(server):
    client = server.client()
    ids = [client.files.create(file=(f"{n}.jsonl", b"page %d" % n), purpose="fine-tune").id for n in range(5)]
    page = client.files.list(limit=2)
    assert [each.id for each in page.data] == ids[:2:-1]
    assert page.has_more
    assert [each.id for each in client.files.list(limit=2)][:5] == ids[::-1]
    assert [each.id for each in client.files.list(limit=2, order="asc")][-5:] == ids
    with pytest.raises(openai.NotFoundError):
        client.files.list(after="file-nothing")
    for id_ in ids:
        client.files.delete(id_)


def test_names_in_any_language_stay_and_paths_dont(server):
    client = server.client()
    made = client.files.create(file=("../../données 💩.jsonl", CONTENT), purpose="fine-tune")
    assert made.filename == "données 💩.jsonl"
    client.files.delete(made.id)


def test_a_file_may_expire(server):
    made = server.client().files.create(
        file=("short.jsonl", CONTENT), purpose="fine-tune", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert made.expires_at == pytest.approx(made.created_at + 3600, abs=1)
    with pytest.raises(openai.BadRequestError) as refused:
        server.client().files.create(file=("x", CONTENT), purpose="fine-tune", expires_after={"anchor": "created_at", "seconds": 5})
    assert refused.value.param == "expires_after[seconds]"


@pytest.mark.parametrize(
    ("who", "status", "words"),
    [("annotator", 403, "scope train"), ("chatter", 403, "scope train"), ("nonsense", 401, "not valid")],
)
def test_files_take_a_token_with_its_scope(server, who, status, words):
    client = server.client(who)
    with pytest.raises(openai.APIStatusError, match=words) as refused:
        client.files.list()
    assert refused.value.status_code == status


def test_what_is_not_taken_is_refused_by_name(server):
    client = server.client()
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(file=("x.jsonl", CONTENT), purpose="vision")
    assert refused.value.param == "purpose"
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(file=("x.jsonl", b""), purpose="fine-tune")
    assert refused.value.code == "empty_file"


def raw(server, method: str, path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
    """A request as no client would send it."""
    connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=120)
    names = {"Authorization": f"Bearer {server.tokens['owner']}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    with closing(connection):
        connection.request(method, path, body, names)
        response = connection.getresponse()
        return response.status, response.read()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b"nonsense"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhalf'),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n--x--\r\n'),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"a" * 20_000 + b"\r\n--x--\r\n"),
    ],
)
def test_a_broken_form_is_a_400_in_openais_form(server, kind, body):
    before = objects(server)
    status, said = raw(server, "POST", "/v1/files", body, Content_Type=kind)
    assert status == 400
    assert b'"error":{"message":' in said
    assert objects(server) == before


def test_too_large_an_upload_is_refused_before_it_is_sent(server):
    with socket.create_connection(("127.0.0.1", int(server.address.rpartition(":")[2]))) as line:
        line.sendall(
            b"POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 600000000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n" % server.tokens["owner"].encode()
        )
        assert b" 413 " in line.recv(100)


def test_an_upload_that_breaks_off_leaves_nothing(server):
    before = objects(server)
    with socket.create_connection(("127.0.0.1", int(server.address.rpartition(":")[2]))) as line:
        line.sendall(
            b"POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 100000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' % server.tokens["owner"].encode()
        )
        line.sendall(os.urandom(50_000))
        time.sleep(0.3)
        assert len(objects(server)) == len(before) + 1  # it lies in incoming/, under a name that nothing refers to
    until = time.monotonic() + 120
    while objects(server) != before and time.monotonic() < until:
        time.sleep(0.05)
    assert objects(server) == before


def test_an_unknown_address_answers_in_openais_form(server):
    status, said = raw(server, "GET", "/v1/nothing", b"")
    assert status == 404
    assert b"unknown_url" in said
    assert raw(server, "GET", "/login", b"")[0] == 200  # the pages are still there
