"""Online Dawid–Skene: posteriors updated judgment by judgment between refits."""

from __future__ import annotations

from typing import Any

import numpy as np

from preceptor.consensus.dawid_skene import ConfusionPrior, ConfusionTables, DawidSkene, FittedTables
from preceptor.consensus.em import build_truths, floored_log
from preceptor.consensus.judgments import Floats, GoldAnswers, Judgments
from preceptor.errors import UserError
from preceptor.types import Consensus


class OnlineDawidSkene:
    """One judgment at a time on top of a Dawid–Skene fit (incremental EM; Cappé & Moulines 2009 for online EM).

    `add` costs O(judgments of the item × answers), well under a millisecond: it updates the item's posterior and the tables of
    those who judged it. Other items' posteriors become stale, so `refit_due` says when to `refit`: after 50 judgments or 1 %.
    A second judgment of one item by the same annotator waits for the refit, which applies the rule for repeats.
    """

    def __init__(self, judgments: Judgments, gold: GoldAnswers | None = None, *, kinds: int = 1, start: Consensus | None = None) -> None:
        """Fit the judgments, resuming from `start` (an earlier consensus) where there is one."""
        self.judgments, self._gold, self._kinds = judgments, gold, kinds
        self.consensus = DawidSkene(DawidSkene.Options(kinds=kinds)).fit(judgments, gold, start=start)
        fitted: FittedTables = self.consensus.annotators.model  # type: ignore[attr-defined]
        truths = build_truths(judgments, gold, kinds=kinds)
        tables = ConfusionTables(truths, ConfusionPrior())
        self._posterior = truths.infer(tables.scores(floored_log(fitted.tables)), fitted.shares)[0]
        self._fixed = set(truths.clamp.item.tolist())
        self._prior = np.repeat(fitted.shares[: judgments.n_answers], kinds) * fitted.shares[judgments.n_answers :]
        self._counts = fitted.counts.copy()
        self._alpha = np.broadcast_to(fitted.alpha, fitted.counts.shape)
        self._tables = len(fitted.counts)
        self._newcomer = self._alpha.mean(axis=0)
        self._item: dict[Any, int] = dict(judgments.item_index)
        self._group: dict[Any, int] = dict(zip(judgments.annotators, fitted.group.tolist(), strict=True))
        self._answer = {answer: code for code, answer in enumerate(judgments.answers)}
        self._extra: dict[int, list[tuple[Any, int]]] = {}
        self._added: list[tuple[Any, Any, Any]] = []

    @property
    def refit_due(self) -> bool:
        """Whether so many judgments were added that the other items' posteriors need a refit."""
        return len(self._added) >= max(50, len(self.judgments) // 100)

    def posterior(self, item: Any) -> Floats:
        """Return the item's posterior over answers, shape (answers,); the class prior for an item not seen yet."""
        code = self._item.get(item)
        row = self._prior if code is None else self._posterior[code]
        return np.asarray(row.reshape(-1, self._kinds).sum(axis=1))

    def add(self, item: Any, annotator: Any, answer: Any) -> Floats:
        """Add a judgment and return the item's posterior after it. Raises UserError for an answer that isn't among the options."""
        if answer not in self._answer:
            raise UserError(f"answer {answer!r} is not among the options", f"known: {', '.join(map(str, self._answer))}")
        i, w, y = self._item_row(item), self._annotator_table(annotator), self._answer[answer]
        earlier = self._item_judgments(i)
        self._added.append((item, annotator, answer))
        if any(annotator == who for who, _ in earlier):
            return self.posterior(item)
        self._extra.setdefault(i, []).append((annotator, y))
        before = self._posterior[i].copy()
        table = self._counts[w] + (self._alpha[w] if w < len(self._alpha) else self._newcomer)
        after = before * (table[y] / table.sum(axis=0)) + 1e-300  # no answer gets probability 0: it may still turn out right
        after = before if i in self._fixed else after / after.sum()
        self._posterior[i] = after
        self._counts[w, y] += after
        for who, z in earlier:
            self._counts[self._group[who], z] += after - before
        return self.posterior(item)

    def refit(self) -> OnlineDawidSkene:
        """Return a fit of all judgments so far, resumed from where the last fit ended; itself where nothing was added."""
        if not self._added:
            return self
        item, annotator, answer = zip(*self._added, strict=True)
        judgments = self.judgments.extend(item=list(item), annotator=list(annotator), answer=list(answer))
        return OnlineDawidSkene(judgments, self._gold, kinds=self._kinds, start=self.consensus)

    def _item_judgments(self, i: int) -> list[tuple[Any, int]]:
        """Return (annotator, answer code) of each judgment of item i so far."""
        j, extra = self.judgments, self._extra.get(i, [])
        if i >= j.n_items:
            return list(extra)
        span = slice(j.item_start[i], j.item_start[i + 1])
        return [*((j.annotators[w], int(y)) for w, y in zip(j.annotator_code[span], j.answer_code[span], strict=True)), *extra]

    def _item_row(self, item: Any) -> int:
        """Return the item's row; a new item gets one, at the class prior."""
        code = self._item.setdefault(item, len(self._item))
        if code >= len(self._posterior):
            room = np.tile(self._prior, (max(len(self._posterior), 16), 1))
            self._posterior = np.concatenate([self._posterior, room])
        return code

    def _annotator_table(self, annotator: Any) -> int:
        """Return the annotator's table; a new annotator gets an empty one."""
        if annotator not in self._group:
            self._group[annotator] = self._tables
            self._tables += 1
        if self._tables > len(self._counts):
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        return self._group[annotator]
