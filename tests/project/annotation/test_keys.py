"""Names and keys of what a file says: the same for the same file, each of its own within it."""

from __future__ import annotations

import random
from dataclasses import replace

from preceptor.annotation.row_parser import make_content_id, parse_item
from preceptor.annotation.table_import import DuplicateItemIds, ImportKeys, is_generated_id
from preceptor.types import Item, Question

TONE = Question("tone", "choice", ("calm", "angry"))


def test_what_is_said_again_has_a_key_of_its_own():
    rng = random.Random(0)
    said = [(f"i-{rng.randrange(3_000)}", rng.choice(("calm", "angry"))) for _ in range(20_000)]

    def keys() -> list[str]:
        made = ImportKeys("rows.csv")
        return [made.judgment_key(TONE, item, "ada", answer) for item, answer in said]

    first = keys()
    assert len(set(first)) == len(first)
    assert first == keys()


def test_a_changed_question_has_other_keys():
    assert ImportKeys("a").judgment_key(TONE, "i", "ada", "calm") != ImportKeys("a").judgment_key(
        replace(TONE, version=2), "i", "ada", "calm"
    )


def test_several_unnamed_answers_are_those_of_several_people():
    keys = ImportKeys("rows.csv")
    assert [keys.annotator_name("", "i", "tone") for _ in range(3)] == ["import:rows.csv", "import:rows.csv#2", "import:rows.csv#3"]
    assert keys.annotator_name("", "i", "stars") == "import:rows.csv"
    assert keys.annotator_name("ada", "i", "tone") == "ada"


def test_the_same_content_with_other_metadata_is_another_item():
    def item(**more: object) -> Item:
        return parse_item({"text": "same", **more})

    def ids() -> list[str]:
        twins = DuplicateItemIds()
        return [twins.assign_id(each).id for each in (item(), item(shop="a"), item(), item(shop="b"), item(shop="a"))]

    made = make_content_id({"text": "same"})
    assert ids() == [made, f"{made}-2", made, f"{made}-3", f"{made}-2"]
    assert ids() == ids()
    assert all(is_generated_id(id_, {"text": "same"}) for id_ in ids())
    assert not is_generated_id("i-7", {"text": "same"})
