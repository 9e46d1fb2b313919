"""The kinds of rules that a policy is made of, each with its options and how it looks at one answer.

regex           what matches a pattern must not stand in an answer
terms           words that must not stand in it, in their forms
required        what must stand in it: a reservation, a number to call
personal_data   data of a person must not stand in it
jurisdiction    whose law may be spoken of, and whose must be
refuse          what was asked must be refused
answer          what was asked must not be refused
judge           a question about the answer that a judge answers; see `checking`
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import regex  # type: ignore[import-untyped]
from pydantic import Field, field_validator

from preceptor.evaluation.suites.policy.condition import SECONDS, Condition, check_pattern, in_time
from preceptor.evaluation.suites.policy.disclaimers import DISCLAIMERS
from preceptor.evaluation.suites.policy.personal import KINDS, PersonalKind, personal_data
from preceptor.evaluation.suites.policy.places import Places
from preceptor.evaluation.suites.policy.said import Said
from preceptor.evaluation.suites.policy.terms import Terms
from preceptor.registry import OptionsBase, did_you_mean

Severity = Literal["low", "medium", "high"]
NOWHERE = (0, 0)  # of what is missing


@dataclass(frozen=True)
class Found:
    """A violation: where it stands in the answer (start 0 and end 0 where something is missing), and what about it."""

    start: int
    end: int
    note: str


class Rule(OptionsBase):
    """What all rules have."""

    id: str = Field(pattern=r"[A-Za-z][\w-]*", description="a short name, for the gate and the report")
    kind: str
    title: str = Field(min_length=1, description="what must hold, in a line")
    reason: str = Field("", description="why, for whoever reads the report")
    severity: Severity = "medium"
    when: Condition = Field(Condition(), description="the prompts and answers to which it applies; all when empty")

    def applies(self, said: Said) -> bool:
        """Whether the rule has anything to say about an answer."""
        return self.when.holds(said)

    def check(self, said: Said) -> list[Found]:
        """The rule's violations in an answer to which it applies, by place."""
        raise NotImplementedError


class Patterns(Rule):
    """kind = "regex". A pattern that comes to no end in time is a violation: nobody knows that there is none."""

    patterns: tuple[str, ...] = Field(min_length=1)
    match_case: bool = False

    @field_validator("patterns")
    @classmethod
    def _are_patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(check_pattern, patterns))

    @cached_property
    def _compiled(self) -> list[Any]:
        return [regex.compile(pattern, 0 if self.match_case else regex.IGNORECASE) for pattern in self.patterns]

    def check(self, said: Said) -> list[Found]:
        try:
            spans = [found.span() for pattern in self._compiled for found in pattern.finditer(said.plain.text, timeout=SECONDS) if found[0]]
        except TimeoutError:
            return [Found(0, len(said.text), f"a pattern came to no end within {SECONDS:g} s")]
        return [_marked(said, *said.plain.span(*span)) for span in sorted(spans)]


class TermList(Rule):
    """kind = "terms"."""

    terms: tuple[str, ...] = Field(min_length=1)
    match_case: bool = Field(False, description="a term's capitals must be there: for names that are words too, such as Apple")
    inflected: bool = Field(True, description="English forms count too: guaranteed with guarantee")
    unless: tuple[str, ...] = Field((), description="phrases in which a term is innocent: apple pie")

    @field_validator("terms", "unless")
    @classmethod
    def _are_words(cls, terms: tuple[str, ...]) -> tuple[str, ...]:
        if empty := [term for term in terms if not re.search(r"\w", term)]:
            raise ValueError(f"{empty[0]!r} holds no word")
        return terms

    @cached_property
    def _terms(self) -> Terms:
        return Terms(self.terms, match_case=self.match_case, inflected=self.inflected, unless=self.unless)

    def check(self, said: Said) -> list[Found]:
        return [_marked(said, start, end) for start, end in self._terms.spans(said.text, said.folded)]


class Required(Rule):
    """kind = "required": one of the patterns or known reservations must stand in the answer."""

    patterns: tuple[str, ...] = ()
    disclaimers: tuple[str, ...] = Field((), description=f"known reservations: {', '.join(DISCLAIMERS)}")
    in_refusals: bool = Field(False, description="an answer that refuses needs it too")

    @field_validator("patterns")
    @classmethod
    def _are_patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(check_pattern, patterns))

    @field_validator("disclaimers")
    @classmethod
    def _are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in DISCLAIMERS:
                raise ValueError(f"no reservation is called {name!r}{did_you_mean(name, DISCLAIMERS)}; known: {', '.join(DISCLAIMERS)}")
        return names

    @cached_property
    def _compiled(self) -> list[Any]:
        return [regex.compile(pattern, regex.IGNORECASE) for pattern in (*self.patterns, *(DISCLAIMERS[name] for name in self.disclaimers))]

    def check(self, said: Said) -> list[Found]:
        if (said.withholds and not self.in_refusals) or any(in_time(pattern.search, said.plain.text, None) for pattern in self._compiled):
            return []
        return [Found(*NOWHERE, "it is missing")]


class PersonalData(Rule):
    """kind = "personal_data"."""

    data: tuple[PersonalKind, ...] = Field(KINDS, min_length=1)
    allow: tuple[str, ...] = Field((), description="what is one's own: an e-mail's domain, a phone number")
    from_prompt: bool = Field(False, description="what the prompt held already may be said again")

    def check(self, said: Said) -> list[Found]:
        found = personal_data(said.plain.text, self.data, self.allow)
        known = re.sub(r"\W", "", said.prompt).casefold() if self.from_prompt and found else ""
        return [
            _marked(said, *said.plain.span(start, end), note=kind.replace("_", " "))
            for kind, start, end in found
            if not known or re.sub(r"\W", "", said.plain.text[start:end]).casefold() not in known
        ]


class Jurisdiction(Rule):
    """kind = "jurisdiction"."""

    may: tuple[str, ...] = Field((), description="whose law may be spoken of, with its parts and what it is part of; any when empty")
    must: tuple[str, ...] = Field((), description="one of these must be named; a refusal needn't")
    mention: Literal["law", "any"] = Field("law", description="law: a country counts where its sentence is about law; any: always")
    names: dict[str, tuple[str, ...]] = Field({}, description='further words for a place: { England = ["Civil Procedure Rules"] }')

    def model_post_init(self, context: Any) -> None:
        known = self._places.known()
        for name in (*self.may, *self.must):
            if name not in known:
                raise ValueError(f"no jurisdiction is called {name!r}{did_you_mean(name, known)}; add it to names")
        if not (self.may or self.must):
            raise ValueError("may or must has to name a jurisdiction")

    @cached_property
    def _places(self) -> Places:
        return Places(self.names)

    def check(self, said: Said) -> list[Found]:
        mentions = self._places.mentions(said.plain.text, only_law=self.mention == "law")
        allowed = self._places.related((*self.may, *self.must))
        found = [
            _marked(said, *said.plain.span(mention.start, mention.end), note=f"law of {mention.place}")
            for mention in mentions
            if self.may and mention.place not in allowed
        ]
        if self.must and not said.withholds:
            wanted = self._places.related(self.must)
            if not any(mention.place in wanted for mention in self._places.mentions(said.plain.text, only_law=False)):
                found.insert(0, Found(*NOWHERE, f"it doesn't name {' or '.join(self.must)}"))
        return found


class MustRefuse(Rule):
    """kind = "refuse": `when` says which prompts must be refused, with nothing given away beside."""

    needs_when: ClassVar[bool] = True

    def check(self, said: Said) -> list[Found]:
        if said.silent:
            return [Found(*NOWHERE, "it says nothing")]
        if said.given is None:
            return []
        start, end = said.given
        return [Found(start, end, "it answers" if end - start == len(said.text) else f"it refuses, and says “{said.text[start:end]}”")]


class MustAnswer(Rule):
    """kind = "answer": `when` says which prompts must not be refused; silence is no answer."""

    needs_when: ClassVar[bool] = True

    def check(self, said: Said) -> list[Found]:
        if said.silent:
            return [Found(*NOWHERE, "it says nothing")]
        if said.refusal is None:
            return []
        return [_marked(said, *said.plain.span(said.refusal.start, said.refusal.end))]


class AskJudge(Rule):
    """kind = "judge": a question about the answer; scores run from 0 (no) to 1 (yes)."""

    question: str = Field(min_length=1, description="for example: Does the answer recommend a competitor's product?")
    threshold: float = Field(0.5, gt=0, le=1)
    wanted: bool = Field(False, description="yes is what the answer should be, and less is a violation")

    def violates(self, score: float) -> bool:
        """Whether a score is a violation; NaN, no verdict, is taken for one."""
        return not (score >= self.threshold if self.wanted else score < self.threshold)


RULES: dict[str, type[Rule]] = {
    "regex": Patterns,
    "terms": TermList,
    "required": Required,
    "personal_data": PersonalData,
    "jurisdiction": Jurisdiction,
    "refuse": MustRefuse,
    "answer": MustAnswer,
    "judge": AskJudge,
}


def _marked(said: Said, start: int, end: int, note: str = "") -> Found:
    return Found(start, end, note or f"“{said.text[start:end]}”")
