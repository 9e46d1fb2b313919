"""Targets in the base's own words: it is shown question and answer, and writes the answer anew; what says something else is dropped."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from preceptor.errors import UserError
from preceptor.models.chat import ChatModel
from preceptor.models.generation import Request, answers
from preceptor.models.sampling import Sampling
from preceptor.models.template import Rendered, Turn, Unfit, render, turns_of
from preceptor.recipes.examples import Examples, top_answer
from preceptor.recipes.folder import remembered
from preceptor.recipes.plan import Task
from preceptor.recipes.recipe import Progress

ROOM = 2.0  # a rewritten answer may be so many times as long
ALIKE = 0.6  # share of the reference's words that a longer answer must keep
SHORT = 5  # words up to which an answer must stand in the rewritten one as it is
_ASK = "Question: {asked}\n\nAnswer: {answer}\n\nWrite this answer again in your own words. Keep what it says. Write the answer only."


def rewritten(task: Task, tokenizer: Any) -> Examples:
    """The training rows, those whose rewritten answer survives (see `says_the_same`) with it. UserError when none does."""
    turns = {row.id: turns_of(row.content, top_answer(row)) for row in task.run.snapshot.rows("train")}
    asked = {id_: turns[id_] for id_ in task.train.ids if id_ in turns}
    found = remembered(task.run.folder / "rewritten.json", partial(_rewrite, task, asked))
    new = {id_: text for id_, text in found.items() if says_the_same(asked[id_][-1]["content"], text)}
    said = {id_: [*asked[id_][:-1], {"role": "assistant", "content": text}] for id_, text in new.items()}
    cut = {id_: _rendered(tokenizer, turns, task.max_tokens) for id_, turns in said.items()}
    tokens, targets = list(task.train.tokens), list(task.train.targets)
    first = {id_: row for row, id_ in reversed(list(enumerate(task.train.ids)))}  # the most probable of a row's answers
    survived = [(row, each) for id_, row in first.items() if (each := cut.get(id_)) is not None]
    if not survived:
        raise UserError("the base's own wording says something else than the answer in every row", "take another retention")
    for row, each in survived:
        tokens[row], targets[row] = each.tokens, np.array(each.supervised, dtype=bool)
    learnt = np.array([mask[1:].sum() for mask in targets], dtype=np.int64)
    return replace(task.train, tokens=tokens, targets=targets, learnt=learnt)


def says_the_same(reference: str, text: str) -> bool:
    """Whether a rewritten answer still says what the reference does: a short one word for word, of a longer one most words."""
    wanted, said = _words(reference), _words(text)
    if not wanted or not said:
        return False
    if len(wanted) <= SHORT:
        return f" {' '.join(wanted)} " in f" {' '.join(said)} "
    return (Counter(wanted) & Counter(said)).total() >= ALIKE * len(wanted)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _rendered(tokenizer: Any, turns: Sequence[Turn], max_tokens: int) -> Rendered | None:
    try:
        return render(tokenizer, turns, max_tokens)
    except Unfit:
        return None


def _rewrite(task: Task, asked: Mapping[str, Sequence[Turn]]) -> dict[str, str]:
    """The base's own wording of each answer, greedily, by row; those that the base can't read are left out."""
    chat = ChatModel(task.run.base)
    requests: dict[str, Request] = {}
    for id_, turns in asked.items():
        answer = turns[-1]["content"]
        wish = {"role": "user", "content": _ASK.format(asked=turns[-2]["content"], answer=answer)}
        room = int(ROOM * len(chat.tokenizer(answer)["input_ids"])) + 8
        with suppress(UserError):
            prompt = chat.prompt([*turns[:-2], wish])
            chat.room(prompt, room, room)
            requests[id_] = Request(prompt, room, Sampling(temperature=0.0))
    total = len(requests)
    told = answers(chat, list(requests.values()), progress=lambda done: task.run.progress(Progress("rewriting answers", done, total)))
    return {id_: answer.text.strip() for id_, (answer,) in zip(requests, told, strict=True)}
