"""Documents in versions, found at once and never when they no longer stand; by filters; by several processes; on both databases."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preceptor import Project
from preceptor.documents.library import ActiveDocuments, DocumentLibrary, add_files, open_index
from preceptor.documents.relevance import measure_retrieval, pool_passages
from preceptor.errors import NotFoundError, UserError
from preceptor.retrieval.index import ChunkIndex
from preceptor.retrieval.search import matches_filters, parse_filters
from preceptor.storage import documents as rows_of
from preceptor.storage import events, items

REFUNDS = b"# Refunds\n\nA refund is paid within 30 days.\n\n## Exceptions\n\nGift cards are never refunded.\n"


@pytest.fixture
def words_only(tmp_path: Path, database_url: str) -> Iterator[Project]:
    """A project whose documents are found by words, on either database."""
    made = Project.create(tmp_path / "support", database=database_url, retrieval={"encoder": ""})
    yield made
    made.close()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Project]:
    """The same on SQLite, for what no database does otherwise."""
    made = Project.create(tmp_path / "support", retrieval={"encoder": ""})
    yield made
    made.close()


@pytest.fixture
def with_meaning(tmp_path: Path, tiny_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project whose documents are found by a tiny encoder, too."""
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    made = Project.create(tmp_path / "support")
    yield made
    made.close()


def names(documents: DocumentLibrary, query: str, **filters: Any) -> list[str]:
    return [hit.document for hit in documents.search(query, 10, filters)]


def test_a_hit_stands_where_it_says(local: Project):
    documents = DocumentLibrary(local)
    assert documents.add(REFUNDS, name="refunds.md", metadata={"jurisdiction": "EU"})["version"] == 1
    hit = documents.search("gift card")[0]
    assert (hit.document, hit.version, hit.chunk, hit.heading) == ("refunds.md", 1, 1, "Refunds > Exceptions")
    assert documents.text("refunds.md")[hit.start : hit.end] == hit.text == "Gift cards are never refunded."
    assert hit.metadata == {"jurisdiction": "EU"}


def test_another_text_is_a_new_version_and_the_old_one_is_never_found(words_only: Project):
    documents = DocumentLibrary(words_only)
    documents.add(REFUNDS, name="refunds.md", metadata={"jurisdiction": "EU"})
    again = documents.add(REFUNDS, name="refunds.md")
    assert (again["version"], again["new"]) == (1, False)
    changed = documents.add(REFUNDS.replace(b"30", b"60"), name="refunds.md")
    assert (changed["version"], changed["new"], changed["metadata"]) == (2, True, {"jurisdiction": "EU"})
    assert {hit.version for hit in documents.search("refund paid days", 10)} == {2}
    assert "30 days" in documents.text("refunds.md", 1)
    assert documents.add(REFUNDS.replace(b"30", b"60"), name="refunds.md", metadata={"jurisdiction": "US"})["version"] == 3
    assert names(documents, "refund", jurisdiction="EU") == []
    assert [row["version"] for row in documents.list()] == [3]


def test_what_was_removed_isnt_found_and_may_come_back(words_only: Project):
    documents = DocumentLibrary(words_only)
    documents.add(REFUNDS, name="refunds.md")
    documents.remove("refunds.md", by="ann")
    assert documents.search("refund") == documents.list() == []
    with pytest.raises(NotFoundError, match=r"there is no document 'refunds.md'; list those there are"):
        documents.remove("refunds.md")
    assert documents.add(REFUNDS, name="refunds.md")["version"] == 2
    assert names(documents, "gift") == ["refunds.md"]


def test_what_was_erased_leaves_nothing_to_find(words_only: Project):
    documents = DocumentLibrary(words_only)
    documents.add(REFUNDS, name="refunds.md", metadata={"author": "Ann"})
    digest = documents.add(b"Only a refund.", name="refunds.md")["digest"]
    documents.add(b"Only a refund.", name="other.txt")
    with words_only.database.writing() as connection:
        gone = rows_of.erase(connection, "refunds.md")
        assert rows_of.filter_unreferenced(connection, [row["digest"] for row in gone]) == [gone[0]["digest"]]
        assert [row["name"] for row in rows_of.list_by_digest(connection, digest)] == ["refunds.md", "other.txt"]
        assert {row["metadata"] for row in rows_of.list_versions(connection, "refunds.md")} == {"{}"}
        assert rows_of.list_chunks(connection, gone[0]["pk"]) == []
    assert names(documents, "refund") == ["other.txt"]
    assert documents.add(REFUNDS, name="refunds.md")["version"] == 3


def test_what_stands_is_followed_as_it_would_be_read_anew(words_only: Project):
    """Documents come, change, go and are erased, some of them unseen: what is kept is what somebody finds who reads everything."""
    database, chance = words_only.database, random.Random(7)
    standing: dict[str, int] = {}
    for step in range(60):
        with database.writing() as connection:
            for _ in range(chance.randrange(4)):
                name, what = f"d{chance.randrange(12)}", chance.choice(["add", "add", "remove", "erase"])
                if what == "add":
                    row = {"digest": "x", "media": "text", "title": "", "metadata": {"even": step % 2}, "ranges": []}
                    standing[name] = rows_of.add(connection, name, **row)["pk"]
                elif name in standing:
                    (rows_of.erase if what == "erase" else rows_of.remove)(connection, name)
                    del standing[name]
        now = ActiveDocuments.load(database)
        with database.reading() as connection:
            assert sorted(rows_of.list_active_keys(connection)) == sorted(standing.values())
            erased, anew = rows_of.list_erased_keys(connection), ActiveDocuments(now.state, dict(now.metadata), [])
        assert sorted(now.select_keys()) == sorted(standing.values())
        assert now.erased_keys.tolist() == erased
        for filters in ({}, {"even": 1}):
            assert sorted(now.select_keys(filters)) == sorted(anew.select_keys(filters))


def test_another_server_lets_go_of_what_was_erased_when_it_next_searches(words_only: Project, tmp_path: Path):
    documents, folder = DocumentLibrary(words_only), tmp_path / "second"
    documents.add(b"The ledger tells of Zwetschgenbaum.", name="ledger.txt")
    documents.add(b"The rule about groats.", name="rule.txt")
    folder.mkdir()
    shutil.copy(words_only.folder / "preceptor.toml", folder)
    (folder / "objects").symlink_to(words_only.folder / "objects")
    second = Project.open(folder)
    other = DocumentLibrary(second)
    assert names(other, "zwetschgenbaum") == ["ledger.txt"]
    assert b"zwetschgenbaum" in _terms(second)
    documents.remove("ledger.txt")  # what stands is the same before and after it is erased
    assert names(other, "groats") == ["rule.txt"]
    assert b"zwetschgenbaum" in _terms(second)
    with words_only.database.writing() as connection:
        rows_of.erase(connection, "ledger.txt")
    assert names(other, "groats") == ["rule.txt"]
    assert b"zwetschgenbaum" not in _terms(second)
    second.close()


def _terms(project: Project) -> bytes:
    return b" ".join(path.read_bytes() for path in (project.folder / "retrieval").rglob("terms.txt"))


def test_any_text_is_a_question(with_meaning: Project):
    documents = DocumentLibrary(with_meaning)
    documents.add(REFUNDS, name="refunds.md")
    for query in ("", "?", '"AND (OR* NEAR/3 -x:', "the of and", "x" * 5000, "Ünïcode 退款 😀", "\0", "a\ud800"):
        for way in ("lexical", "dense", "fused"):
            assert len(documents.search(query, way=way)) <= 2
    assert names(documents, "GIFT CARD") == names(documents, "gift card")


def test_only_new_chunks_are_encoded(with_meaning: Project, monkeypatch: pytest.MonkeyPatch):
    documents, index = DocumentLibrary(with_meaning), open_index(with_meaning)
    encoded: list[str] = []
    encode = index.encode
    monkeypatch.setattr(index, "encode", lambda texts: encoded.extend(texts) or encode(texts))
    documents.add(REFUNDS, name="refunds.md")
    assert len(encoded) == 2
    documents.add(REFUNDS.replace(b"30", b"60"), name="refunds.md")
    assert encoded[2:] == ["Refunds\nA refund is paid within 60 days."]


def test_servers_share_the_vectors_in_postgresql(tmp_path: Path, postgres: str, tiny_cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    local = Project.create(tmp_path / "local")
    scores: dict[str, list[dict[str, float]]] = {}
    first = Project.create(tmp_path / "first", database=postgres)
    (tmp_path / "second").mkdir()
    shutil.copy(tmp_path / "first" / "preceptor.toml", tmp_path / "second")
    (tmp_path / "second" / "objects").symlink_to(tmp_path / "first" / "objects")
    texts = {f"{number}.txt": f"{'good ' * number} bad cable box awful" for number in range(12)}
    for project in (local, first):
        for name, text in texts.items():
            DocumentLibrary(project).add(text.encode(), name=name)
        DocumentLibrary(project).remove("3.txt")
    second = Project.open(tmp_path / "second")
    assert open_index(first).vector_store is not None
    monkeypatch.setattr(open_index(second), "encode", lambda asked: _only_questions(open_index(first), asked))
    for project in (local, first, second):
        found = [DocumentLibrary(project).search(query, 20, way="dense") for query in ("good cable", "awful")]
        scores[project.folder.name] = [{hit.document: hit.score for hit in hits} for hits in found]
        assert [hit.score for hit in found[0]] == pytest.approx(sorted((hit.score for hit in found[0]), reverse=True))
    assert len(scores["local"][0]) == 11
    for name in ("first", "second"):
        assert scores[name] == [pytest.approx(each, abs=1e-5) for each in scores["local"]]
    with first.database.reading() as connection:
        gone = rows_of.get(connection, "5.txt")["pk"]
    open_index(first).remove_documents(np.array([gone]))
    assert "5.txt" not in [hit.document for hit in DocumentLibrary(second).search("good", 20, way="dense")]
    for project in (local, first, second):
        project.close()


def _only_questions(index: ChunkIndex, texts: Sequence[str]) -> Any:
    assert len(texts) == 1, "the other server has encoded these"
    assert index.encode is not None
    return index.encode(texts)


def _add(folder: Path, number: int) -> None:
    project = Project.open(folder)
    for each in range(5):
        DocumentLibrary(project).add(f"word{number} text{each}".encode(), name=f"{number}-{each}.txt")
    project.close()


def test_processes_add_at_once_and_each_search_sees_all(tmp_path: Path):
    project = Project.create(tmp_path / "p", retrieval={"encoder": ""})
    documents = DocumentLibrary(project)
    workers = [multiprocessing.get_context("fork").Process(target=_add, args=(project.folder, number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert len(documents.list()) == 15
    assert sorted(names(documents, "word1")) == [f"1-{each}.txt" for each in range(5)]
    project.close()


def test_an_index_that_was_deleted_is_made_again(with_meaning: Project):
    documents = DocumentLibrary(with_meaning)
    documents.add(REFUNDS, name="refunds.md")
    before = documents.search("gift card")
    shutil.rmtree(with_meaning.folder / "retrieval")
    assert documents.search("gift card") == before


def test_filters_are_equality_choices_and_ranges():
    metadata = {"jurisdiction": "EU", "date": "2026-03-01", "pages": 9, "public": True}
    for filters in (
        {"jurisdiction": "EU"},
        {"jurisdiction": ["US", "EU"]},
        {"date": {"after": "2026-03-01", "before": "2026-12-31"}},
        {"pages": {"after": 8, "before": "10"}},
        {"pages": "9", "public": "true"},
        {"date": {}},
    ):
        assert matches_filters(metadata, filters), filters
    for filters in (
        {"jurisdiction": "eu"},
        {"product": "x"},
        {"date": {"before": "2026-02-28"}},
        {"pages": {"after": 10}},
        {"missing": {}},
    ):
        assert not matches_filters(metadata, filters), filters
    assert parse_filters(["a=1", "a=2", "date>=2026-01-01", "date<=2026-02-01", "note=x=y"]) == {
        "a": ["1", "2"],
        "date": {"after": "2026-01-01", "before": "2026-02-01"},
        "note": "x=y",
    }
    with pytest.raises(UserError, match="a filter is written name=value"):
        parse_filters(["a"])


def test_what_isnt_valid_yet_or_no_longer_isnt_found(local: Project):
    documents = DocumentLibrary(local)
    documents.add(b"The fee is 5 euro.", name="old.txt", metadata={"valid_until": "2020-12-31"})
    documents.add(b"The fee is 7 euro.", name="now.txt", metadata={"valid_from": "2021-01-01"})
    documents.add(b"The fee is 9 euro.", name="next.txt", metadata={"valid_from": "2999-01-01"})
    assert names(documents, "fee") == ["now.txt"]
    assert names(documents, "fee", valid_on="2020-06-01") == ["old.txt"]
    with pytest.raises(UserError, match="valid_on isn't a day"):
        documents.search("fee", filters={"valid_on": "June"})


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"a": {}}, "no text, number"),
        ({"": "x"}, "can't have the name"),
        ({"valid_from": "1.2.2026"}, "isn't a day"),
        ({"valid_on": "x"}, "name"),
    ],
)
def test_metadata_that_cant_be_is_refused(local: Project, metadata: dict[str, Any], words: str):
    with pytest.raises(UserError, match=words):
        DocumentLibrary(local).add(REFUNDS, name="r.md", metadata=metadata)
    assert DocumentLibrary(local).list() == []


def test_a_pipe_is_refused_and_never_waited_for(local: Project, tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(UserError, match="isn't a file"):
        DocumentLibrary(local).add(tmp_path / "pipe.txt")


def test_a_folder_is_added_by_paths_and_says_what_it_left_out(tmp_path: Path):
    project, folder = Project.create(tmp_path / "p", retrieval={"encoder": "", "max_file_mb": 0.001}), tmp_path / "docs"
    for name, data in {
        "a/x.md": REFUNDS,
        "b/x.md": b"# Other\n\ntext",
        "c.png": b"\x89PNG",
        ".git/x.md": b"no",
        "big.txt": b"word " * 999,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    done = add_files(project, [folder], metadata={"set": "1"})
    assert [row["name"] for row in done.documents] == ["a/x.md", "b/x.md"]
    assert (done.skipped_files, [fault.where for fault in done.errors]) == (["c.png"], ["big.txt"])
    with pytest.raises(UserError, match=r"would both be called 'x.md'; add the folder above both"):
        add_files(project, [folder / "a" / "x.md", folder / "b" / "x.md"])
    with pytest.raises(UserError, match=r"is larger than 0.001 MB, which a document may be; divide it, or raise max_file_mb"):
        add_files(project, [folder / "big.txt"])
    project.close()


def test_commands(run: Any, tmp_path: Path, tiny_cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    Project.create(tmp_path / "p").close()
    (tmp_path / "refunds.md").write_bytes(REFUNDS)
    at = ("--project", tmp_path / "p")
    assert run("documents", "list", *at).out == "no documents\n"
    assert "metadata is written key=value, not 'EU'" in run("documents", "add", tmp_path / "refunds.md", "--meta", "EU", *at).err
    added = run(
        "documents", "add", tmp_path / "refunds.md", "--meta", "jurisdiction=EU", "--meta", "year=2026", *at, "--json", "--by", "ann"
    )
    assert added.document["documents"][0]["metadata"] == {"jurisdiction": "EU", "year": 2026}
    with Project.open(tmp_path / "p").database.reading() as connection:
        assert [each["actor"] for each in events.read_events(connection) if each["kind"] == "document added"] == ["ann"]
    assert "refunds.md  1        markdown  2       jurisdiction=EU, year=2026" in run("documents", "list", *at).out
    found = run("documents", "search", "gift card", "--filter", "jurisdiction=EU", "--filter", "year>=2026", "-k", "1", *at, "--json")
    assert found.document["hits"][0]["text"] == "Gift cards are never refunded."
    assert run("documents", "search", "gift card", "--filter", "year>=2027", *at).out == "nothing found\n"
    shown = run("documents", "show", "refunds.md", *at)
    assert "1      60     90   Refunds > Exceptions" in shown.out
    assert run("documents", "show", "refunds.md", "--text", *at).out == REFUNDS.decode() + "\n"
    assert run("documents", "remove", "refunds.md", "--by", "ann", *at).out == "refunds.md is no longer found\n"
    gone = run("documents", "show", "refunds.md", *at)
    assert (gone.code, gone.err) == (1, "error: there is no document 'refunds.md'; list those there are: preceptor documents list\n")


def test_relevance_by_people_and_by_file_measures_alike(run: Any, tmp_path: Path):
    project = Project.create(tmp_path / "p", retrieval={"encoder": ""})
    documents = DocumentLibrary(project)
    for name, text in {"a.txt": "refunds take days", "b.txt": "gift cards and refunds", "c.txt": "shipping to spain"}.items():
        documents.add(text.encode(), name=name)
    (tmp_path / "q.csv").write_text("id,query\nq1,refunds\nq2,spain gift\n")
    at = ("--project", tmp_path / "p")
    pooled = run("documents", "judge-pool", tmp_path / "q.csv", "--question", "relevance", *at, "--json").document
    assert (pooled["items"], pooled["new"]) == (4, 4)
    assert run("documents", "judge-pool", tmp_path / "q.csv", "--question", "relevance", *at, "--json").document["new"] == 0
    nothing = run("documents", "evaluate", *at)
    assert (nothing.code, "nobody has judged 'relevance' yet" in nothing.err) == (1, True)
    with project.database.reading() as connection:
        rows = [item for _, item in items.page(connection, purpose="relevance")]
    relevant = {("q1", "a.txt"), ("q2", "c.txt")}
    for item in rows:
        answer = "relevant" if (item.metadata["query"], item.metadata["document"]) in relevant else "not relevant"
        for person in ("ann", "bob"):
            project.add_annotator(person)
            project.judge(item.id, "relevance", annotator=person, answer=answer)
    project.close()
    people = run("documents", "evaluate", "-k", "1", "-k", "5", *at, "--json").document
    (tmp_path / "qrels.jsonl").write_text(
        "".join(json.dumps({"query": q, "document": d, "relevance": 1}) + "\n" for q, d in sorted(relevant))
    )
    filed = run(
        "documents", "evaluate", "--qrels", tmp_path / "qrels.jsonl", "--queries", tmp_path / "q.csv", "-k", "1", "-k", "5", *at, "--json"
    )
    assert people["queries"] == 2
    assert [row["recall"]["value"] for row in people["rows"]] == [row["recall"]["value"] for row in filed.document["rows"]]
    assert people["rows"][1]["recall"]["value"] == 1
    assert people["rows"][1]["recall"]["low"] < 1
    assert people["rows"][0]["unjudged"]["value"] == 0
    assert filed.document["rows"][1]["unjudged"]["value"] == 0.5
    wrong = run("documents", "evaluate", "--qrels", tmp_path / "qrels.jsonl", *at)
    assert (wrong.code, "relevance comes from people" in wrong.err) == (1, True)


def test_a_query_has_one_text_and_what_no_search_can_find_is_named(local: Project, tmp_path: Path):
    DocumentLibrary(local).add(b"refunds take days", name="a.txt")
    (tmp_path / "twice.csv").write_text("id,query\nq1,refunds\nq1,days\n")
    with pytest.raises(UserError, match="'q1' stands there twice"):
        pool_passages(local, tmp_path / "twice.csv")
    for name, text in (("one.csv", "refunds"), ("other.csv", "days")):  # one id, in two files that were pooled one after the other
        (tmp_path / name).write_text(f"id,query\nq1,{text}\n")
        pool_passages(local, tmp_path / name)
    with local.database.reading() as connection:
        asked = [item.id for _, item in items.page(connection, purpose="relevance")]
    local.add_annotator("ann")
    for id_ in asked:
        local.judge(id_, "relevance", annotator="ann", answer="relevant")
    assert measure_retrieval(local)["queries"] == 2
    (tmp_path / "qrels.csv").write_text("query,document,relevance\nq1,a.txt,1\nq1,gone.txt,1\nq1,worthless.txt,0\n")
    found = measure_retrieval(local, qrels=tmp_path / "qrels.csv", queries=tmp_path / "one.csv")
    assert found["lacking"] == ["gone.txt"]
    assert "no document here: gone.txt" in found["summary"]
    recall = found["rows"][0]["recall"]
    assert recall["value"] == 0.5
    assert 0 <= recall["low"] < 0.02  # one query says next to nothing, and a share stays one
    assert 0.98 < recall["high"] <= 1
