"""The index gives what exact search would, follows what stands, and survives kills, deletion and other processes."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from preceptor.retrieval import index as index_module
from preceptor.retrieval.index import ChunkIndex, normalize_vectors
from preceptor.retrieval.text_analysis import extract_terms

WORDS = [f"w{number}" for number in range(200)]


def encode(texts: Sequence[str]) -> np.ndarray:
    """A vector a text: the sum of its words' own."""
    rows = np.zeros((len(texts), 16))
    for row, text in enumerate(texts):
        for word in extract_terms(text):
            rows[row] += _vector(word)
    return rows


@cache
def _vector(word: str) -> np.ndarray:
    return np.random.default_rng(zlib.crc32(word.encode())).standard_normal(16)


class Counted:
    """An encoder that counts."""

    def __init__(self) -> None:
        self.texts = 0

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.texts += len(texts)
        return encode(texts)


def collection(count: int, seed: int = 0, first: int = 1) -> dict[int, list[tuple[int, str]]]:
    """Chunks (key, words) by document."""
    rng = random.Random(seed)
    return {
        key: [(100 * key + part, " ".join(rng.choices(WORDS, k=rng.randint(3, 20)))) for part in range(rng.randint(1, 6))]
        for key in range(first, first + count)
    }


def take_up(index: ChunkIndex, documents: Mapping[int, Sequence[tuple[int, str]]]) -> None:
    index.add(lambda: np.array(list(documents)), lambda key: documents[key])


def exact(documents: Mapping[int, Sequence[tuple[int, str]]], query: str, most: int) -> list[int]:
    chunks = [chunk for parts in documents.values() for chunk in parts]
    vectors, asked = normalize_vectors(encode([words for _, words in chunks])), normalize_vectors(encode([query]))[0]
    return [key for _, key in sorted((-float(vector @ asked), key) for (key, _), vector in zip(chunks, vectors, strict=True))][:most]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "retrieval"


def test_search_by_meaning_is_exact_whatever_was_added_and_taken_out(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(index_module, "SEGMENT_CHUNKS", 16)
    index, documents = ChunkIndex(folder, "e", encode), dict[int, list[tuple[int, str]]]()
    for step in range(18):
        documents |= collection(4, seed=step, first=10 * step + 1)
        if step % 3 == 2:
            documents = {key: parts for key, parts in documents.items() if key % 3}
        take_up(index, documents)
        query = " ".join(random.Random(step).choices(WORDS, k=4))
        found = index.search(query, np.array(list(documents)), 10, way="dense")
        assert [key for key, _ in found] == exact(documents, query, 10)
    fresh = ChunkIndex(folder.with_name("anew"), "e", encode)
    take_up(fresh, documents)
    for way in ("lexical", "dense", "fused"):
        ours, theirs = (each.search("w1 w2 w3", np.array(list(documents)), 20, way=way) for each in (index, fresh))
        assert [key for key, _ in ours] == [key for key, _ in theirs]
        assert [score for _, score in ours] == pytest.approx([score for _, score in theirs])
    assert index.size()["segments"] < 16


def test_only_documents_that_are_asked_for_are_found(folder: Path):
    index, documents = ChunkIndex(folder, "e", encode), collection(30)
    take_up(index, documents)
    for way in ("lexical", "dense", "fused"):
        found = index.search("w1 w2 w3 w4 w5", np.array([3, 7]), 50, way=way)
        assert {key // 100 for key, _ in found} <= {3, 7}
    assert index.search("w1", np.zeros(0, dtype=np.int64), 5) == []
    assert index.search("?! ", np.array([3]), 5) == []


def test_what_was_encoded_once_is_not_again(folder: Path):
    counted = Counted()
    index, documents = ChunkIndex(folder, "e", counted), collection(10)
    take_up(index, documents)
    before = counted.texts
    assert before == len({words for parts in documents.values() for _, words in parts})
    documents[11] = [(1100 + number, words) for number, (_, words) in enumerate(documents[1])] + [(1199, "one that is new")]
    del documents[1]
    take_up(index, documents)
    assert counted.texts == before + 1
    take_up(index, documents)
    assert counted.texts == before + 1


def test_equal_chunks_stand_in_order_of_their_keys(folder: Path):
    documents = {key: [(key, "the same words")] for key in (5, 3, 9, 1)}
    index = ChunkIndex(folder, "e", encode)
    take_up(index, documents)
    for way in ("lexical", "dense", "fused"):
        assert [key for key, _ in index.search("same", np.array([1, 3, 5, 9]), 3, way=way)] == [1, 3, 5]


def test_without_an_encoder_words_are_searched(folder: Path):
    index, documents = ChunkIndex(folder, "", None), {1: [(1, "refunds in days")], 2: [(2, "shipping")]}
    take_up(index, documents)
    assert [key for key, _ in index.search("Refund?", np.array([1, 2]), 5)] == [1]
    assert index.search("refund", np.array([1, 2]), 5, way="dense") == []


@pytest.mark.parametrize("harm", ["folder", "segment", "file", "manifest", "torn"])
def test_an_index_that_was_deleted_or_harmed_is_made_again(folder: Path, harm: str):
    documents = collection(5)
    take_up(ChunkIndex(folder, "e", encode), documents)
    segment = next(folder.glob("segment-*"))
    if harm == "folder":
        shutil.rmtree(folder)
    elif harm == "segment":
        shutil.rmtree(segment)
    elif harm == "file":
        (segment / "rows.npy").unlink()
    elif harm == "manifest":
        (folder / "index.json").unlink()
    else:
        (folder / "index.json").write_text('{"form"')
    index = ChunkIndex(folder, "e", encode)
    assert list(index.find_missing(np.array([1, 2]))) == [1, 2]
    take_up(index, documents)
    assert [key for key, _ in index.search("w1 w2", np.array(list(documents)), 5, way="dense")] == exact(documents, "w1 w2", 5)


def test_another_encoder_makes_it_anew(folder: Path):
    documents = collection(3)
    take_up(ChunkIndex(folder, "e", encode), documents)
    assert len(ChunkIndex(folder, "other", encode).find_missing(np.array([1, 2, 3]))) == 3


def test_an_open_index_follows_what_others_add_and_merge(folder: Path):
    ours, theirs, documents = ChunkIndex(folder, "e", encode), ChunkIndex(folder, "e", encode), collection(2)
    take_up(ours, documents)
    for first in range(3, 24, 2):
        documents |= collection(2, seed=first, first=first)
        take_up(theirs, documents)
        keys = np.array(list(documents))
        assert len(ours.find_missing(keys)) == 0
        assert [key for key, _ in ours.search("w5 w6", keys, 5, way="dense")] == exact(documents, "w5 w6", 5)


_KILLED = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_index import collection, encode, take_up
from preceptor.retrieval import index as module
module.BATCH = 8
index, documents = module.Index(Path(sys.argv[1]), "e", encode), {}
print("ready", flush=True)
for step in range(1000):
    documents |= collection(3, seed=step, first=10 * step + 1)
    take_up(index, documents)
"""


def test_a_kill_leaves_an_index_that_goes_on(folder: Path):
    rng = random.Random(0)
    for _ in range(3):
        command = [sys.executable, "-c", _KILLED, str(folder), str(Path(__file__).parent)]
        killed = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
        assert killed.stdout is not None
        killed.stdout.readline()
        time.sleep(rng.uniform(0.05, 0.6))
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        killed.stdout.close()
        documents: dict[int, list[tuple[int, str]]] = {}
        for step in range(6):
            documents |= collection(3, seed=step, first=10 * step + 1)
        index = ChunkIndex(folder, "e", encode)
        take_up(index, documents)
        assert [key for key, _ in index.search("w1 w2", np.array(list(documents)), 9, way="dense")] == exact(documents, "w1 w2", 9)
        named = json.loads((folder / "index.json").read_text())["segments"]
        assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == sorted(named)
