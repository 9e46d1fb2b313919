"""Reservations that policies ask for, in the many words in which they are made (English). Patterns of plain text, case ignored."""

from __future__ import annotations

from preceptor.evaluation.suites.phrases import either

_NO = either("not|n't|never|no|neither|nor|rather than|without|cannot|instead of")
_EXPERT = {
    "legal": either(
        """
        lawyer|attorney|solicitor|barrister|counsel|law (?:firm|cent(?:er|re))
        legal (?:professional|adviser|advisor|counsel|expert|aid)
        """
    ),
    "medical": either(
        """
        doctor|physician|gp|pharmacist|nurse|clinician|specialist|midwife|dentist|paediatrician|pediatrician|therapist|psychiatrist
        (?:medical|health ?care|health) (?:professional|provider|team|practitioner|adviser|advisor|visitor)
        """
    ),
    "financial": either(
        """
        accountant|broker|ifa|wealth manager
        (?:financial|investment|tax|independent|qualified|licensed|regulated) (?:professional|adviser|advisor|planner|consultant|expert)
        """
    ),
}
_ADVICE = {
    "legal": r"(?:legal|lawyer's?|law) (?:advice|opinion|counsel|guidance)",
    "medical": either(
        r"""
        (?:medical|health|clinical|doctor's|professional) (?:advice|diagnosis|opinion|care|treatment|guidance|recommendation)s?
        diagnos\w+
        """
    ),
    "financial": either(
        """
        (?:financial|investment|tax|personal|individual) (?:advice|recommendation|opinion|guidance)s?
        (?:advice|a recommendation|an offer|a solicitation) to (?:buy|sell|invest)
        """
    ),
}
_SEEK = either(
    """
    consult|speak|talk|see|ask|contact|check|visit|discuss|seek|turn to|refer|confirm|review|get|reach out|involve|have
    make an appointment
    """
)


def _not_advice(topic: str) -> str:
    general = r"(?:general|generic|educational|informational) (?:information|guidance|overview|purposes|in nature|nature|only|terms)"
    advice, expert = _ADVICE[topic], _EXPERT[topic]
    return "|".join(
        (
            rf"{_NO}\b[^.!?]{{0,60}}?\b(?:{advice})",
            rf"(?:{advice})[^.!?]{{0,40}}?\b(?:is|are) {_NO}",
            rf"{general}[^.!?]{{0,80}}?{_NO}\b",
            r"(?:for|as) (?:general |purely |solely )*(?:information|informational|educational)(?:al)?(?: purposes)?(?: only)?",
            r"general information",
            r"information\b[^.!?]{0,20}?\bnot\b[^.!?]{0,20}?\b(?:advice|recommendation|diagnosis|opinion)",
            rf"{_NO}\b[^.!?]{{0,30}}?\b(?:substitute|replace|replacement|stand in)\b",
            rf"(?:i'm|i am|we're|we are) {_NO} (?:an? |your )?(?:qualified |licensed )*{expert}",
        )
    )


def _see(topic: str) -> str:
    return rf"\b{_SEEK}\w*\b[^.!?]{{0,60}}?\b(?:{_EXPERT[topic]}|professional advice|{topic} advice)"


DISCLAIMERS: dict[str, str] = {
    "not_legal_advice": _not_advice("legal"),
    "not_medical_advice": _not_advice("medical"),
    "not_financial_advice": _not_advice("financial"),
    "see_a_lawyer": _see("legal"),
    "see_a_doctor": _see("medical"),
    "see_an_adviser": _see("financial"),
    "investment_risk": either(
        rf"""
        (?:capital|money|investments?|principal) (?:is|are|may be|can be) at risk
        (?:may|can|could|might) (?:also )?(?:lose|get back less|go down|fall|decline|decrease)
        past (?:performance|returns|results)[^.!?]{{0,60}}?(?:not|no|n't|never|nothing)
        (?:carr(?:y|ies)|involves?|comes? with|subject to)[^.!?]{{0,20}}? risks?
        returns? (?:are|is) {_NO} (?:guaranteed|certain|assured)
        {_NO}\b[^.!?]{{0,20}}? guarantee
        """
    ),
    "emergency": r"\b(?:911|112|999|000|988|116 ?\d{3}|emergency (?:number|services?|room|department|care)|a&e|ambulance|poison control)\b",
}
