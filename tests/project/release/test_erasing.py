"""Erasing items: nothing of them remains in tables, snapshots, reports, caches or the database's files, and it is shown."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import update

from preceptor import Project
from preceptor.documents.library import DocumentLibrary
from preceptor.documents.relevance import pool_passages
from preceptor.errors import ConflictError, NotFoundError, UserError
from preceptor.monitoring.deferred_answers import DeferredAnswers
from preceptor.release.erasure import _erasure_lock, erase_document, erase_items
from preceptor.snapshots import curation
from preceptor.storage import access, answers, artifacts, erasures, events, feedback, items, people
from preceptor.types import Model, Run, json_digest

CANARY = "My neighbour Quirinalia Zwetschgenbaum owes 4711 groats"
NOTES = 24
WHY = {"by": "dpo", "reason": "asked to, case 17"}


@pytest.fixture
def filled(database_url, tmp_path):
    """A project on each database."""
    yield from _filled(tmp_path / "shop", database=database_url)


@pytest.fixture
def shop(tmp_path):
    """A project on SQLite, for what no database does otherwise."""
    yield from _filled(tmp_path / "shop")


def _filled(folder, **options):
    """A project of notes judged and written about by two people; i-7 is the canary."""
    project = Project.create(folder, **options)
    project.add_question("tone", "choice", ["calm", "cross"])
    project.add_question("reply", "write", instructions="What should be answered?")
    project.add_items(
        {"id": f"i-{n}", "text": CANARY if n == 7 else f"note {n} tells of {n * n} things", "group": f"g-{n // 2}"} for n in range(NOTES)
    )
    project.add_annotator("ann")
    for n in range(NOTES):
        for person in ("ann", "bob"):
            project.add_annotator(person)
            project.judge(f"i-{n}", "tone", annotator=person, answer=("calm", "cross")[n % 2], key=f"{person}/{n}")
        project.judge(f"i-{n}", "reply", annotator="ann", answer=f"Dear {'Quirinalia, you owe 4711 groats' if n == 7 else n}, thanks")
    yield project
    project.close()


def plant(project):
    """Copies wherever a project keeps any; what is found of the canary before."""
    tone, reply = project.snapshot("tone", name="tones"), project.snapshot("reply", name="replies")
    curation.curate_item(project, "i-7", "tone", "rewrite", text=f"{CANARY}!", answer="cross", by="zoe")
    curation.adjudicate_item(project, "i-7", "reply", "Dear Quirinalia, you owe nobody 4711 groats", by="zoe", explanation=f"see: {CANARY}")
    report = project.objects.put(json.dumps({"examples": [{"id": "i-7", "text": CANARY}, {"id": "i-8", "text": "fine"}]}).encode())
    with project.database.writing() as connection:
        artifacts.add_report(connection, digest=report, model="m-1", snapshot=tone.digest, split="test")
        document = json.dumps({"messages": [{"role": "user", "content": CANARY}], "answers": [{"text": "Oh."}]})
        row = {"id": "chatcmpl-1", "model": "m-1", "alias": "", "credential": None, "document": document}
        answers.add(connection, {**row, "confidence": None, "inclusion": 1.0}, seconds=None)
        feedback.add(connection, answer="chatcmpl-1", kind="text", document={"text": f"wrong: {CANARY}"}, by="app", key=None)
    for place in ("runs/abc/rollouts.jsonl", "answers/x.jsonl", "checks/vectors/texts.json", "side-by-side/r.json"):
        path = project.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"prompt": CANARY}) + ("\n" if place.endswith("l") else ""))
    return tone, reply, report


def in_files(project, text=b"Zwetschgenbaum"):
    return [str(path.relative_to(project.folder)) for path in project.folder.rglob("*") if path.is_file() and text in path.read_bytes()]


def test_nothing_of_an_item_remains(filled, tmp_path):
    tone, reply, report = plant(filled)
    assert in_files(filled)
    found = erase_items(filled, ["i-7"], **WHY)
    made_of_it = [each for each in found["items"] if each != "i-7"]
    assert len(made_of_it) == 1  # the rewriting
    assert found["judgments"] == {"ann": 2, "bob": 1, "zoe": 1}
    assert (found["search"]["found"], found["search"]["tables"], found["search"]["files"]) == (0, {}, [])
    assert found["search"]["texts"] >= 3
    assert in_files(filled) == []
    if filled.database.is_single_writer:
        assert not any(b"Zwetschgenbaum" in path.read_bytes() for path in tmp_path.glob("test.db*"))
    left = {each["before"]: each for each in found["left"]}
    assert left.keys() == {tone.digest, reply.digest}
    assert all(each["after"] != each["before"] and each["rows"] - each["rows_after"] == 1 for each in left.values())
    assert not filled.objects.path(tone.digest).exists()
    with filled.database.reading() as connection:
        (kept,) = [row["digest"] for row in artifacts.latest_reports(connection, "test").values()]
        list(events.read_events(connection))  # the log still hangs together
    assert kept != report
    assert json.loads(filled.objects.get(kept)) == {"examples": [{"id": "i-8", "text": "fine"}]}


def test_rows_that_a_model_shows_token_by_token_go_though_no_search_finds_them(shop):
    """Its manifest and its reports show a few rows of the training, each token by itself."""
    tones = shop.snapshot("tone", name="tones")
    shown = {"rendered": [{"id": "i-7", "tokens": [{"text": word, "learnt": False} for word in CANARY.split(" ")]}]}
    report = shop.objects.put(json.dumps({"model": "m-1", "training": {"summary": ["It fell."], **shown}}).encode())
    folder = shop.objects.path(json_digest("m-1"))
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"base": "x", **shown}))
    run = Run("r", "sft", tones.digest, "smollm2", {}, 0, "done")
    with shop.database.writing() as connection:
        artifacts.save_run(connection, run, {})
        artifacts.add_model(connection, Model("m-1", folder, {"base": "smollm2", **shown}), run=run.id, snapshot=tones.digest)
        artifacts.add_report(connection, digest=report, model="m-1", snapshot=tones.digest, split="test")
    assert erase_items(shop, ["i-7"], **WHY)["affected"]["models"] == ["m-1"]
    assert in_files(shop) == []
    assert json.loads((folder / "manifest.json").read_text()) == {"base": "x"}
    assert "rendered" not in shop.model("m-1").manifest


def test_the_other_rows_stay_as_they_were(shop):
    tone, *_ = plant(shop)
    rows = {row.id: row for row in tone.rows() if row.id != "i-7"}
    erase_items(shop, ["i-7"], **WHY)
    after = shop.load_snapshot("tones")
    assert {row.id: row for row in after.rows()} == rows
    assert shop.load_snapshot(tone.digest).digest == after.digest  # what models name still leads to what is left
    assert set(shop.consensus("tone").items) == {f"i-{n}" for n in range(NOTES) if n != 7}
    again = shop.snapshot("tone")
    assert "i-7" not in {row.id for row in again.rows()}


def test_what_is_erased_does_not_come_back(filled):
    filled.add_annotator("carl")
    newest = filled.judge("i-7", "tone", annotator="carl", answer="calm")
    erase_items(filled, ["i-7"], **WHY)
    with pytest.raises(ConflictError, match="doesn't come back"):
        filled.add_items([{"id": "i-7", "text": CANARY}])
    filled.add_annotator("ann")
    with pytest.raises(UserError, match="unknown item"):
        filled.judge("i-7", "tone", annotator="ann", answer="calm")
    assert filled.judge("i-8", "tone", annotator="carl", answer="calm") > newest  # no number is given twice
    filled.add_annotator("dora")
    assert filled.next("dora", "tone").item != "i-7"
    told = filled.lineage("i-7")
    assert (told["erased"], told["by"], told["search"]["found"]) == ("i-7", "dpo", 0)


def test_the_log_shows_when_something_is_taken_out_unseen(filled):
    filled.add_gold("tone", {"i-7": "cross"}, explanation="as it is")
    erase_items(filled, ["i-7"], **WHY)

    from preceptor.storage.migrations.insert_only import changes_allowed
    from preceptor.storage.schema import events as table

    with filled.database.writing() as connection, changes_allowed(connection, ["events"]):
        connection.execute(update(table).where(table.c.kind == "gold set").values(payload=json.dumps({"taken out": True})))
    with pytest.raises(UserError, match="the audit log was changed at event"), filled.database.reading() as connection:
        list(events.read_events(connection))


def test_what_would_be_is_told_first_and_the_same_again_changes_nothing(shop):
    shop.snapshot("tone", name="tones")
    shown = erase_items(shop, ["i-7"], **WHY, dry_run=True)
    assert shown["dry_run"]
    assert [each["name"] for each in shown["affected"]["snapshots"]] == ["tones"]
    assert shop.lineage("i-7")["item"] == "i-7"
    first, again = (erase_items(shop, ["i-7"], **WHY) for _ in range(2))
    assert again["erased_before"]
    assert again["search"] == first["search"]
    with shop.database.reading() as connection:
        assert erasures.find_erasure(connection, "item", "i-7")["left"] == first["left"]


def test_what_a_kill_has_left_of_one_erasing_the_next_one_ends(shop, monkeypatch):
    """A document's words in the index, too; what is noted of each is its own search."""
    object.__setattr__(shop.config.retrieval, "encoder", "")
    DocumentLibrary(shop).add(f"{CANARY}, says the ledger of the parish.".encode(), name="ledger.txt")
    monkeypatch.setattr("preceptor.release.erasure._finish_pending", lambda project: None)
    with pytest.raises(KeyError):
        erase_document(shop, "ledger.txt", **WHY)
    monkeypatch.undo()
    assert in_files(shop, b"zwetschgenbaum")
    erase_items(shop, ["i-8"], **WHY)
    assert in_files(shop, b"zwetschgenbaum") == []
    assert erase_document(shop, "ledger.txt", **WHY)["search"]["files"] == []
    assert not (shop.folder / "erasing.json").exists()


def test_a_document_that_came_again_after_a_kill_keeps_its_text(shop, monkeypatch):
    object.__setattr__(shop.config.retrieval, "encoder", "")
    documents, rule = DocumentLibrary(shop), b"Nobody owes more than seven groats to anybody."
    documents.add(rule, name="rule.txt")
    monkeypatch.setattr("preceptor.release.erasure._finish_pending", lambda project: None)
    with pytest.raises(KeyError):
        erase_document(shop, "rule.txt", **WHY)
    monkeypatch.undo()
    documents.add(rule, name="rule.txt")
    erase_items(shop, ["i-8"], **WHY)
    assert documents.text("rule.txt") == rule.decode()


def test_two_do_not_erase_at_once(shop):
    with _erasure_lock(shop), pytest.raises(ConflictError, match="another process erases"):
        erase_items(shop, ["i-7"], **WHY)


def test_the_same_text_elsewhere_is_told_of(shop):
    shop.add_items([{"id": "twin", "text": CANARY}])
    found = erase_items(shop, ["i-7"], **WHY)
    assert found["alike"] == ["twin"]
    assert (found["search"]["files"], found["search"]["tables"]) == (["preceptor.db"], {"items.content": 1})
    assert erase_items(shop, ["twin"], **WHY)["search"]["found"] == 0


@pytest.mark.parametrize("ids", [["nobody"], ["i-7", "nobody"]])
def test_an_unknown_item_erases_nothing(shop, ids):
    with pytest.raises(NotFoundError, match="no item 'nobody'"):
        erase_items(shop, ids, **WHY)
    assert shop.lineage("i-7")["item"] == "i-7"
    with pytest.raises(UserError, match="who decides"):
        erase_items(shop, ["i-7"], by=" ", reason="x")


def test_a_document_goes_with_its_index_and_the_answers_that_cite_it(filled):
    object.__setattr__(filled.config.retrieval, "encoder", "")
    documents = DocumentLibrary(filled)
    documents.add(b"The rule about groats is that nobody owes more than seven of them.", name="rule.txt")
    documents.add(f"# Ledger\n\n{CANARY}, says the ledger of the parish.".encode(), name="ledger.md")
    assert [hit.document for hit in documents.search("Zwetschgenbaum")] == ["ledger.md"]
    places = {name: {"document": name, "version": 1, "chunk": 0} for name in ("ledger.md", "rule.txt")}
    cited = {"citations": [{"start": 0, "end": 4, **places["ledger.md"]}], "sources": [*places.values()]}
    with filled.database.writing() as connection:
        row = {"id": "chatcmpl-9", "model": "m-1", "alias": "", "credential": None, "confidence": None, "inclusion": 1.0}
        answers.add(connection, {**row, "document": json.dumps({"messages": [], "answers": [{"text": "Yes."}], **cited})}, seconds=None)
    assert filled.lineage("ledger.md")["cited_by"] == ["chatcmpl-9"]
    told = filled.lineage("chatcmpl-9")
    assert (told["cited"], told["shown"]) == ([places["ledger.md"]], [places["rule.txt"]])
    told = filled.lineage("rule.txt")
    assert (told["cited_by"], told["shown_to"]) == ([], ["chatcmpl-9"]), "shown, and not cited"
    found = erase_document(filled, "ledger.md", **WHY)
    assert (found["answers"], found["alike"], found["search"]["found"]) == (1, [], 0)
    assert documents.search("Zwetschgenbaum") == []
    assert [hit.document for hit in documents.search("groats")] == ["rule.txt"]
    assert in_files(filled, b"ledger of the parish") == []
    assert in_files(filled, b"zwetschgenbaum") == []  # nor as a word of the index
    with pytest.raises(UserError, match="nothing here is called 'chatcmpl-9'"):
        filled.lineage("chatcmpl-9")
    assert erase_document(filled, "ledger.md", **WHY)["erased_before"]
    told = filled.lineage("ledger.md")
    assert (told["erased"], told["reason"], told["search"]["found"]) == ("ledger.md", WHY["reason"], 0)


LEDGER = f"{CANARY}, says the ledger of the parish. It names nobody else who would owe any groats to anybody."


def test_a_document_goes_with_all_that_people_and_models_made_of_its_passages(shop, tmp_path):
    object.__setattr__(shop.config.retrieval, "encoder", "")
    documents, query = DocumentLibrary(shop), "Who owes groats in this parish, and how many?"
    documents.add(LEDGER.encode(), name="ledger.txt")
    for number in range(3):  # a snapshot has three sides
        documents.add(f"Rule {number} about the groats of this parish is {number**5}.".encode(), name=f"rule-{number}.txt")
    (tmp_path / "q.csv").write_text(f'id,query\nq1,"{query}"\nq2,"{query} Now?"\nq3,"{query} Since when?"\n')
    assert pool_passages(shop, tmp_path / "q.csv")["new"] == 12
    with shop.database.reading() as connection:
        pooled = [(item.metadata["document"], item.id) for _, item in items.page(connection, purpose="relevance")]
    shop.add_annotator("ann")
    for _, id_ in pooled:
        shop.judge(id_, "relevance", annotator="ann", answer="relevant")
    frozen = shop.snapshot("relevance", name="relevant")
    told = {"model": "m-1", "alias": "", "credential": None, "confidence": None, "inclusion": 1.0}
    said = {"quotes": "So: It names nobody else who would owe any groats to anybody.", "other": "Ask the parish clerk."}
    with shop.database.writing() as connection:
        access.issue_secret(connection, people.find_key(connection, "ann"), "token")
        for id_, text in said.items():
            document = {"messages": [{"role": "user", "content": query}], "answers": [{"text": text}]}
            answers.add(connection, {**told, "id": id_, "document": json.dumps(document)}, seconds=None)
    deferral = DeferredAnswers(shop).defer(
        "late", "m-1", [{"role": "user", "content": query}], "draft", 0.1, 1, 60, sources=[{"title": "ledger.txt", "text": LEDGER}]
    )
    shop.add_annotator("bob")
    shop.judge("deferred-late", "live-answer", annotator="bob", answer=LEDGER)
    found = erase_document(shop, "ledger.txt", **WHY)
    theirs = {id_ for document, id_ in pooled if document == "ledger.txt"}
    assert set(found["items"]) == {*theirs, "deferred-late"}
    assert len(theirs) == 3
    assert (found["judgments"], found["answers"], found["alike"]) == ({"ann": 3, "bob": 1}, 2, [])
    assert (found["search"]["found"], found["search"]["whole"]) == (0, True)
    assert in_files(shop, b"says the ledger") == in_files(shop, b"names nobody else") == []
    assert documents.search("Zwetschgenbaum") == []
    (left,) = found["left"]
    assert (left["before"], left["rows"], left["rows_after"]) == (frozen.digest, 12, 9)
    assert not theirs & {row.id for row in shop.load_snapshot("relevant").rows()}
    with shop.database.reading() as connection:
        assert [row["id"] for row in answers.list_since(connection, 0)] == ["other"]
    with pytest.raises(NotFoundError, match="no deferral"):
        DeferredAnswers(shop).get(deferral)
    with pytest.raises(NotFoundError):
        documents.text("ledger.txt", 1)
