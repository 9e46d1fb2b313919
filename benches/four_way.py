"""Base, tuned, with sources, and tuned with sources, side by side: SmolLM2-135M on PubMedQA's and TAT-QA's questions over their documents.
`base` is the model as it is, `tuned` has learnt questions and answers by `sft`, `rag` is the base with sources before the question, `both`
has learnt the same questions with sources by `raft`. One training of each kind: intervals are over test questions, and say nothing of
other trainings. `citation_recall`: questions whose answer cites their own document; `citation_precision`: citations that are of it;
`sources_recall`: questions whose own document is among their sources at all; `citing_the_first`: those whose first source is of it, so
that citing [1] whatever it says would have that recall and precision. No hallucination rate: nobody has labelled these answers.
`support`: what the check by wording that marks an answer's sentences is worth beside people's verdicts on WiCE's claims.

Each abstract (PubMedQA) or report's page (TAT-QA, text and table; questions whose answer is a span of it, of at most 6 words) is a
document of a project, cut into chunks of at most 400 characters; the corpus holds the documents of all questions, of training as of test.
The 2 chunks that a question is shown with come from the project's own search (by words and by meaning, fused), the same for training and
test. No document of a test question is one of a training question. LoRA on the upper third, 2 epochs, one rate, no early stopping;
`raft`, which reads more, and all answers are in bfloat16. `accuracy`: PubMedQA by which of yes, no and maybe the model finds the most
probable beginning of its answer; TAT-QA by the greedy answer without its citation, equal to the reference but for case, articles and
punctuation. `majority` is the share of the most frequent answer. WiCE's claims are held against the first 4,000 characters of the page
that each cites; right is "supported" where people say that all of the claim is.

Each part is kept in bench-results/four_way; about half an hour each on an idle core. Run: python -m benches.four_way PART …
"""

from __future__ import annotations

import json
import re
import string
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benches._banking import KEPT
from benches._given import Given
from benches.soft_targets import plain

from preceptor import Project
from preceptor.documents.library import DocumentLibrary
from preceptor.errors import UserError
from preceptor.models.base_models import find_base_folder
from preceptor.models.causal_lm import ChatModel
from preceptor.models.loading import load_causal
from preceptor.retrieval.citations import SUPPORT_THRESHOLD, lexical_support
from preceptor.retrieval.grounded_prompt import GroundingSource, insert_sources
from preceptor.retrieval.text_analysis import locate_quote
from preceptor.statistics import compare_paired, estimate_mean
from preceptor.storage.snapshot_rows import SnapshotRow
from preceptor.training import TrainingRun, recipes
from preceptor.training.raft_sources import SourceSearch, strip_citation
from preceptor.training.run_folder import cached_json
from preceptor.types import Estimate

TASKS = Path(__file__).parents[2] / "shared" / "data" / "tasks"
FOLDER = KEPT / "four_way"
SOURCES, CHUNK = 2, 400
TRAIN, VALIDATION, TEST = 120, 16, 150
TUNING = {"adapter": "lora-top", "learning_rate": 5e-4, "epochs": 2, "dtype": "float32", "patience": 100, "max_tokens": 1024}
WAYS = {"base": (None, False), "tuned": ("sft", False), "rag": (None, True), "both": ("raft", True)}
CHOICES = ("yes", "no", "maybe")
SHORT = 6  # words of an answer, at most
LONGEST = {"pubmedqa": 6, "tatqa_finance": 16}  # tokens of an answer


@dataclass(frozen=True)
class Task:
    """Rows of each side, whose `sources` are their own document, and the search among all documents."""

    train: Sequence[SnapshotRow]
    validation: Sequence[SnapshotRow]
    test: Sequence[SnapshotRow]
    find: SourceSearch


@cache
def task(name: str) -> Task:
    """The rows of a set in a drawn order, a document on one side only."""
    path = TASKS / name / "items.jsonl"
    if not path.is_file():
        raise UserError(f"there is no {path}", "this bench needs the shared data")
    read = [json.loads(line) for line in path.read_bytes().splitlines()]
    rows = [row for each in read for row in (pubmedqa(each) if name == "pubmedqa" else tatqa(each))]
    texts = {row.group: row.content["sources"][0] for row in rows}
    groups = [[*texts][at] for at in np.random.default_rng(0).permutation(len(texts))]
    ordered = [row for group in groups for row in rows if row.group == group]
    sides: list[list[SnapshotRow]] = []
    for count in (TRAIN, VALIDATION, TEST):
        used = {row.group for side in sides for row in side}
        sides.append([row for row in ordered if row.group not in used][:count])
    return Task(*sides, search(name, texts))


def search(name: str, texts: Mapping[str, str]) -> SourceSearch:
    """A project's own search, over documents named by their questions' groups; the project is made once."""
    folder = FOLDER / "projects" / name
    if not folder.exists():
        staged = Path(tempfile.mkdtemp(dir=FOLDER)) / "project"
        with closing(Project.create(staged, retrieval={"chunk_chars": CHUNK})) as project:
            documents = DocumentLibrary(project)
            for group, text in texts.items():
                documents.add(text.encode(), name=f"{group}.txt", index=False)
            documents.index_documents()
        folder.parent.mkdir(exist_ok=True)
        staged.rename(folder)
    documents = DocumentLibrary(Project.open(folder))

    def find(question: str, most: int) -> list[GroundingSource]:
        found = [GroundingSource.from_hit(hit) for hit in documents.search(question, k=most)]
        return [replace(each, document=each.document.removesuffix(".txt")) for each in found]

    return find


def pubmedqa(each: Mapping[str, Any]) -> list[SnapshotRow]:
    content = {"prompt": f"{each['question']} Answer yes, no or maybe.", "sources": ["\n".join(each["contexts"])]}
    return [SnapshotRow(each["id"], content, {each["label"]: 1.0}, 1.0, "train", each["id"])]


def tatqa(each: Mapping[str, Any]) -> list[SnapshotRow]:
    """Questions answered by one span that stands in the text or the table."""
    text = f"{each['paragraphs']}\n{each['table']}"
    spans = [
        one
        for one in each["questions"]
        if one["answer_type"] == "span" and len(one["answer"]) == 1 and locate_quote(one["answer"][0], text)
    ]
    return [
        SnapshotRow(one["id"], {"prompt": one["question"], "sources": [text]}, {one["answer"][0]: 1.0}, 1.0, "train", each["id"])
        for one in spans
        if len(one["answer"][0].split()) <= SHORT
    ]


def trained(name: str, recipe: str | None) -> Path:
    """The base, or the folder of the model that a recipe makes of it; done once."""
    base = find_base_folder("smollm2")
    if recipe is None:
        return base
    chosen, of = recipes.get(recipe), task(name)
    more = {"sources": SOURCES, "quotes": False, "dtype": "bfloat16"} if recipe == "raft" else {}
    run = TrainingRun(FOLDER / "runs" / f"{name}-{recipe}", base, Given(of.train, of.validation), 0, "smollm2", sources=of.find)
    began = time.perf_counter()
    model = chosen(run, chosen.Options.parse({**TUNING, **more}, of=recipe))
    print(f"{name} {recipe}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return Path(model.path)


def answered(name: str, way: str) -> list[dict[str, Any]]:
    """What a way says to each test question, and which documents stood before it."""
    recipe, grounded = WAYS[way]
    of, folder = task(name), trained(name, recipe)
    chat = ChatModel(folder, load_causal(folder, dtype=torch.bfloat16))
    model, find, found = chat.model.eval(), of.find, []
    most = LONGEST[name] if grounded or name != "pubmedqa" else 0  # there the answer is a choice, and only sources are cited
    for number, row in enumerate(of.test):
        sources = find(row.content["prompt"], SOURCES) if grounded else []
        turns = insert_sources([{"role": "user", "content": row.content["prompt"]}], sources, chat.special_tokens)
        said = greedy(chat, model, chat.encode_prompt(turns), most)
        found.append({"id": row.id, "group": row.group, "sources": [each.document for each in sources], **said})
        if number % 25 == 24:
            print(f"{name} {way}: {number + 1} answers", file=sys.stderr, flush=True)
    return found


@torch.inference_mode()
def greedy(chat: ChatModel, model: Any, prompt: Sequence[int], most: int) -> dict[str, Any]:
    """The greedy answer, and which of `CHOICES` is the most probable beginning (by its first token)."""
    firsts = [chat.tokenizer(choice, add_special_tokens=False)["input_ids"][0] for choice in CHOICES]
    out = model(input_ids=torch.tensor([list(prompt)]), use_cache=True, logits_to_keep=1)
    choice = CHOICES[int(out.logits[0, -1, firsts].argmax())]
    tokens: list[int] = []
    while len(tokens) < most:
        token = int(out.logits[0, -1].argmax())
        if token in chat.end_tokens:
            break
        tokens.append(token)
        out = model(input_ids=torch.tensor([[token]]), past_key_values=out.past_key_values, use_cache=True)
    return {"choice": choice, "text": chat.tokenizer.decode(tokens)}


def kept(name: str, way: str) -> list[dict[str, Any]]:
    FOLDER.mkdir(parents=True, exist_ok=True)
    return list(cached_json(FOLDER / f"{name}-{way}.json", partial(answered, name, way)))


def same(text: str, reference: str) -> bool:
    """Equal but for case, articles, punctuation and space."""
    return plainly(text) == plainly(reference)


def plainly(text: str) -> str:
    without = text.lower().translate(str.maketrans("", "", string.punctuation))
    return " ".join(re.sub(r"\b(?:a|an|the)\b", " ", without).split())


def measured(name: str, way: str) -> dict[str, Any]:
    """Of each test question: whether it is right, and what of the citations is of its own document."""
    rows = {row.id: next(iter(row.target)) for row in task(name).test}
    said = kept(name, way)
    cites = [[int(number) for number in re.findall(r"\[(\d+)\]", each["text"])] for each in said]
    own = [
        [number <= len(each["sources"]) and each["sources"][number - 1] == each["group"] for number in numbers]
        for each, numbers in zip(said, cites, strict=True)
    ]
    right = [
        each["choice"] == rows[each["id"]] if name == "pubmedqa" else same(strip_citation(each["text"]), rows[each["id"]]) for each in said
    ]
    return {
        "right": np.array(right, dtype=float),
        "groups": [each["group"] for each in said],
        "among": np.array([each["group"] in each["sources"] for each in said], dtype=float),
        "first": np.array([each["sources"][:1] == [each["group"]] for each in said], dtype=float),
        "recall": np.array([any(each) for each in own], dtype=float),
        "precision": [(float(yes), each["group"]) for each, found in zip(said, own, strict=True) for yes in found],
    }


def run() -> dict[str, Any]:
    """The table of what is measured, and paired differences of accuracy."""
    table, differences = [], []
    for name in LONGEST:
        there = {way: measured(name, way) for way in WAYS if (FOLDER / f"{name}-{way}.json").is_file()}
        for way, each in there.items():
            row: dict[str, Any] = {"questions": name, "way": way, "accuracy": estimate_mean(each["right"], clusters=each["groups"])}
            if WAYS[way][1]:
                row["sources_recall"] = estimate_mean(each["among"], clusters=each["groups"])
                row["citing_the_first"] = estimate_mean(each["first"], clusters=each["groups"])
                row["citation_recall"] = estimate_mean(each["recall"], clusters=each["groups"])
                row["citation_precision"] = precision(each["precision"])
            counts = Counter(next(iter(row.target)) for row in task(name).test)
            table.append(plain({**row, "majority": round(max(counts.values()) / counts.total(), 3), "test": len(each["right"])}))
        for one, other in (("both", "base"), ("both", "tuned"), ("both", "rag"), ("tuned", "base"), ("rag", "base")):
            if one in there and other in there:
                apart = compare_paired(there[one]["right"], there[other]["right"], clusters=there[one]["groups"])
                differences.append(plain({"questions": name, "way": one, "above": other, "accuracy": apart}))
    missing = [f"{name} {way}" for name in LONGEST for way in WAYS if not (FOLDER / f"{name}-{way}.json").is_file()]
    told = {"not_measured": ", ".join(missing)} if missing else {}
    return {"four_ways": table, "differences": differences, "support": [support()], **told}


def support() -> dict[str, Any]:
    """Accuracy of the check that marks sentences, how often its "supported" is people's, and how much of what people support it finds."""
    read = [json.loads(line) for line in (TASKS.parent / "claims" / "wice_claims" / "items.jsonl").read_bytes().splitlines()]
    people = np.array([each["label"] == "supported" for each in read])
    said = np.array(lexical_support([each["claim"] for each in read], [(each["evidence_excerpt"],) for each in read])) >= SUPPORT_THRESHOLD
    parts = {"accuracy": people == said, "precision": people[said], "recall": said[people], "of_unsupported_marked": ~said[~people]}
    shares = {part: estimate_mean(values.astype(float)) for part, values in parts.items()}
    return plain({"claims": "WiCE", "n": len(read), **shares, "majority": round(max(people.mean(), 1 - people.mean()), 3)})


def precision(found: Sequence[tuple[float, str]]) -> Estimate | str:
    values = [value for value, _ in found]
    return estimate_mean(values, clusters=[group for _, group in found]) if found else "nothing cited"


if __name__ == "__main__":
    wanted = sys.argv[1:]  # none: what has been measured
    for name in LONGEST:
        for way in WAYS:
            if any(f"{name}-{way}".startswith(each) for each in wanted):
                kept(name, way)
    print(json.dumps(run(), indent=2))
