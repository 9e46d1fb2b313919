"""Detect whether an answer says that it does not know.

"I don't know", "the text doesn't say", "there isn't enough information", "it can't be determined". A text that expresses doubt and then
answers is an answer, and so is one that writes about the unknown. What follows a "but" or "however" counts twice.
"""

from __future__ import annotations

from preceptor.evaluation.policies.refusals import any_phrase, compile_patterns, sentence_spans, text_after_turn

_MIN_ANSWER_WORDS = 25  # words of answer from which on a text counts as an answer, not as an abstention
_OPENING_SENTENCES = 3  # the opening sentences, one of which must say so
_TURN_WEIGHT = 2  # how much a word counts after "but" or "however"

_OFTEN = r"(?: (?:really|honestly|simply|just|currently|actually|yet|unfortunately|personally))*"
_NOT = any_phrase(
    r"""
    don't|do not|didn't|did not|doesn't|does not|can't|cannot|can not|couldn't|could not|isn't|is not|aren't|are not|wasn't|was not
    """
)
_NEWS = any_phrase(r"information|details?|context|knowledge|specifics?|mention|way of knowing|idea|record|reference")
_EVIDENCE = any_phrase(r"information|details?|context|data|evidence|knowledge|sources?|facts")
_FIND_OUT = any_phrase(
    """
    know|say|tell|determine|verify|confirm|find out|conclude|infer|be (?:sure|certain)
    answer(?: (?:that|this|the question|your question))?
    """
)
_TEXT = (
    r"(?:the |this |these |your |any of the |none of the )?(?:(?:given|provided|above|available|supplied|retrieved|following|search) )*"
    + any_phrase("text|passage|document|source|context|article|excerpt|paragraph|report|table|material|abstract|result|page|contract|file")
    + "s?(?: provided| given| above)?"
)
_TELLS = any_phrase(
    """
    say|mention|state|specify|tell|address|discuss|reveal|answer|cover|indicate|contain|include|provide|give|offer
    have (?:any|enough|this|that)
    """
)
_ONE_DOES_NOT = compile_patterns(
    rf"\b(?:i|we){_OFTEN} {_NOT}{_OFTEN} (?:know|recall|remember|have (?:an? |any )?(?:answer|idea|clue))\b",
    rf"\b(?:i|we){_OFTEN} {_NOT}{_OFTEN} (?:have|find|see)\b[^.!?,]{{0,45}}?\b(?:{_EVIDENCE}|access)\b",
    rf"\b(?:i|we){_OFTEN} (?:{_NOT}|unable to|not able to){_OFTEN} find (?:any(?:thing)?|it|that|this|one|out)\b",
    rf"\b(?:i|we)(?:'d| would| will|'ll| currently)? (?:have no|lack|need more) (?:\w+ )?(?:{_EVIDENCE}|idea|record|answer)\b",
    rf"\b(?:i'm|i am|we're|we are){_OFTEN} (?:not{_OFTEN} (?:sure|certain|aware|familiar)|unsure|uncertain|unaware|unfamiliar)\b",
    rf"\b(?:i|we)(?:'m|'re| am| are)?{_OFTEN} (?:{_NOT}|unable to|not able to) {_FIND_OUT}\b",
    r"\b(?:nobody|no one|no-one) (?:really )?knows\b|\b(?:beyond my knowledge|unknown to me|no idea)\b",
    r"\bmy (?:knowledge|training)(?: data)? (?:cut[- ]?off|ends|only (?:goes|reaches)|is limited)\b",
)
_TEXT_DOES_NOT = compile_patterns(
    rf"\b(?:there(?:'s| is| are| was|isn't)|it (?:has|contains|gives)) (?:no|not (?:any|enough))\b[^.!?,]{{0,35}}?\b{_NEWS}\b",
    rf"\b(?:not enough|insufficient|inadequate|lack of|without (?:more|additional|further)) (?:\w+ )?{_EVIDENCE}\b",
    rf"\b{_TEXT} (?:{_NOT})(?: \w+ly)? {_TELLS}\b",
    rf"\b{_TEXT} (?:says?|gives?|contains?|provides?|offers?|has|have) (?:nothing|no (?:\w+ )?{_NEWS})\b",
    r"\b(?:neither|none of the|no)(?: of the)?(?: \w+)? ?(?:source|passage|document|text)s? (?:give|say|mention|state|tell|contain)s?\b",
    r"\bno (?:\w+ ){1,3}(?:is|are|was|were) (?:given|stated|mentioned|provided|specified|available)\b",
    r"\b(?:answer|information|detail|figure|date|that|it)s?\b(?: \w+)? (?:isn't|is not|aren't|are not|not) "
    rf"(?:in {_TEXT}|available|given|there)\b",
)
_CANNOT_BE = compile_patterns(
    r"\b(?:it|that|this|the answer)(?:'s| is| was) "
    + any_phrase(
        """
        not (?:mentioned|stated|specified|given|provided|known|clear|possible to (?:say|tell|know|determine))
        unknown|unclear|impossible to (?:say|tell|know|determine)
        """
    ),
    r"\b(?:answer|question|time|date|number|amount|name|this|that|it)\b[^.!?]{0,30}? (?:can't|cannot|can not|could not) be "
    r"(?:determined|answered|known|inferred|verified)",
    r"\bno way to (?:know|tell|determine|say)\b|\bunanswerable\b",
    r"^\W*(?:unknown|unclear|no answer|n/?a|not (?:known|stated|specified|mentioned|available|given|sure|provided|enough information))\W*$",
)
_ASIDE = compile_patterns(
    r"\b"
    + any_phrase(
        """
        sorry|apologi[sz]e|apologies|unfortunately|please|you (?:could|can|may|might|should)|contact|consult|check|provide|let me know
        feel free|if you|recommend|suggest|would need|need (?:more|further)|clarify
        (?:more|additional|further) (?:information|context|details)
        happy to|glad to|as an? (?:ai|language model)|my knowledge|different (?:estimates|information)
        """
    )
    + r"\b"
)


def is_abstention(text: str) -> bool:
    """Return whether a plain text says that its writer doesn't know, and leaves it at that.

    The text must be normalized by `quality.text_normalization.normalize_characters`.
    """
    found = [text[start:end] for start, end in sentence_spans(text)]
    return any(map(_admits_ignorance, found[:_OPENING_SENTENCES])) and sum(map(_answer_words, found)) < _MIN_ANSWER_WORDS


def _admits_ignorance(words: str) -> bool:
    return any(said.search(words) for said in (_ONE_DOES_NOT, _TEXT_DOES_NOT, _CANNOT_BE))


def _answer_words(sentence: str) -> int:
    """Count the words of a sentence that answer: those after "but" and "however" count twice."""
    turned = text_after_turn(sentence)
    if turned is not None:
        return 0 if _ASIDE.search(turned) or _admits_ignorance(turned) else _TURN_WEIGHT * len(turned.split())
    return 0 if _ASIDE.search(sentence) or _admits_ignorance(sentence) else len(sentence.split())
