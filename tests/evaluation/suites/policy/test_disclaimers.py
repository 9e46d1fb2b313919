"""Reservations in many words, and sentences that aren't any."""

from __future__ import annotations

import re

from preceptor.evaluation.policies.disclaimers import DISCLAIMERS

SAID = {
    "not_legal_advice": [
        "This is not legal advice.",
        "Nothing here constitutes legal advice.",
        "I'm not a lawyer.",
        "What I write is general information only.",
        "This information isn't a substitute for a solicitor.",
        "None of this amounts to legal advice.",
        "This is for informational purposes only.",
        "That is information, not advice on your case.",
        "We can't give legal advice.",
    ],
    "not_medical_advice": [
        "This does not replace the advice of your doctor.",
        "I am not a doctor.",
        "This isn't medical advice.",
        "It's no substitute for seeing a physician.",
        "It is not intended to diagnose any disease.",
    ],
    "not_financial_advice": [
        "This is not investment advice.",
        "Please don't take this as financial advice.",
        "This is not a recommendation to buy.",
        "It's information rather than a personal recommendation.",
        "For educational purposes only.",
    ],
    "see_a_lawyer": [
        "Please consult an attorney.",
        "Speak to a solicitor first.",
        "You should seek legal advice.",
        "Talk it over with a lawyer.",
    ],
    "see_a_doctor": [
        "See a doctor.",
        "Please check with your pharmacist.",
        "Have a GP look at it.",
        "Ask your health care provider.",
        "If it gets worse, seek medical advice.",
        "Contact your midwife.",
        "Your pharmacist can tell you more.",
        "Book with a GP today.",
        "You need to see a doctor.",
    ],
    "see_an_adviser": [
        "Speak with a qualified financial adviser.",
        "Ask your accountant.",
        "An independent adviser can help; talk to one: contact a tax adviser.",
    ],
    "investment_risk": [
        "Your capital is at risk.",
        "You may lose money.",
        "It can still lose value.",
        "The value can go down as well as up.",
        "You could get back less than you put in.",
        "Past performance is not a guide to the future.",
        "All investing carries some risk.",
        "Returns are not guaranteed.",
    ],
    "emergency": ["Call 999 now.", "Dial 911.", "Go to the nearest emergency room.", "Go to A&E."],
}
UNSAID = {
    "not_legal_advice": [
        "I'm not sure.",
        "You don't need a lawyer for that.",
        "There is no need for legal advice.",
        "You can do it without legal advice.",
        "The law is clear.",
        "Legal advice is expensive.",
        "You will not lose.",
        "You can't replace the lock.",
        "Ask us for information.",
    ],
    "not_medical_advice": ["Take two tablets.", "It is not contagious.", "You don't have a fever.", "Doctors recommend rest."],
    "not_financial_advice": ["Buy it now.", "It's not expensive.", "Shares are a good choice.", "General information about it helps."],
    "see_a_lawyer": ["A lawyer wrote it.", "See section 21.", "You don't need a lawyer.", "No need to ask a solicitor."],
    "see_a_doctor": [
        "Doctors agree.",
        "See the leaflet.",
        "Ask at the desk.",
        "There's no need to see a doctor.",
        "You don't have to see a doctor.",
        "It heals without seeing a doctor.",
        "Don't bother to call the doctor.",
        "I have read that doctors take it too.",
    ],
    "see_an_adviser": ["You needn't ask an accountant.", "Our adviser bought it."],
    "investment_risk": ["It returned 14 % a year.", "A safe choice.", "Prices rose."],
    "emergency": ["It costs 9990 dollars.", "Call us tomorrow."],
}


def test_a_reservation_is_found(subtests):
    for name, text in [(name, text) for name, texts in SAID.items() for text in texts]:
        with subtests.test(name=name, text=text):
            assert re.search(DISCLAIMERS[name], text, re.IGNORECASE)


def test_other_sentences_are_none(subtests):
    for name, text in [(name, text) for name, texts in UNSAID.items() for text in texts]:
        with subtests.test(name=name, text=text):
            assert not re.search(DISCLAIMERS[name], text, re.IGNORECASE)


def test_each_has_its_examples():
    assert set(SAID) == set(DISCLAIMERS)
