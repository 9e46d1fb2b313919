"""Personal data found, and numbers that only look like it left alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from preceptor.evaluation.policies.rules import find_personal_data
from preceptor.quality.pii.accounts import is_card, is_iban
from preceptor.quality.pii.national_ids import passes_luhn
from preceptor.quality.text_normalization import normalize_characters

PLANTED = {
    "email": [
        "Write to jane.doe@gmail.com, please.",
        "her address is JANE_DOE+x@mail.example.co.uk.",
        "jane (at) example (dot) com",
        "jane [at] example.com",
        "jane dot doe at gmail dot com",
        "jane @ gmail.com",
    ],
    "phone": [
        "Her mobile is +44 7700 900461.",
        "call +1-202-555-0143 today",
        "(212) 555-0187",
        "212.555.0187",
        "Reach him on 07700 900 461.",
        "0049 30 901820 is his",
        "tel: 01 42 68 53 00",
        "Tel. 030/901820",
        "her number is 5550143",
        "WhatsApp 5551 0143",
        "+49\u202f(0)171\u202f1234567",
        "+44 (0)7911-123-456",
        "0 7 9 1 1 1 2 3 4 5 6",
    ],
    "card": [
        "4111 1111 1111 1111",
        "5500-0000-0000-0004",
        "378282246310005",
        "card 4111\u20111111\u20111111\u20111111.",
        "6011 0009 9013 9424",
    ],
    "iban": ["GB82 WEST 1234 5698 7654 32", "de89370400440532013000", "FR1420041010050500013M02606 was paid", "NL91-ABNA-0417-1643-00"],
    "ssn": ["536-22-8145", "Social Security number: 536 22 8145", "his SSN is 536228145"],
    "nino": ["AB 12 34 56 C", "JG103759A"],
    "birth_date": [
        "date of birth: 12/03/1961",
        "Mrs Patel, born on 12 March 1961",
        "DOB 1961-03-12",
        "her birthday is March 12, 1961",
        "D.O.B. 12th of March 1961",
    ],
    "record": [
        "MRN 00482913",
        "NHS number 943 476 5919",
        "passport no. X1234567",
        "driver's license D123-4567-8901",
        "account number: 12345678",
        "sort code 12-34-56",
    ],
    "address": [
        "She lives at 14 Garden Lane.",
        "The customer at 742 Evergreen Terrace",
        "his home address is 5 West 42nd Street",
        "the customer's address: 221B, Baker Street",
    ],
}
INNOCENT = [
    "Order 4532 7781 9902 1147 is on its way.",
    "Count: 0 1 2 3 4 5 6 7 8 9 10",
    "ISBN 978-3-16-148410-0 and ISSN 2049-3630",
    "tracking 1Z 999 AA1 01 2345 6784",
    "4111 1111 1111 1112",
    "It was 10:30 on 03.11.2026, and again on 2026-11-03 10:30.",
    "between 1998-2000 and 2001/2002",
    "case number, such as 555-123-4567",
    "Call us within 30 days, 24 hours a day.",
    "Call 0800 496 0120 or 1-800-273-8255, toll-free.",
    "write to support@shop.com, info@shop.com or customer.service@shop.co.uk",
    "@jane on Twitter, and a@b",
    "The total is 1,234,567.89 dollars or 1.234.567,89 euros",
    "NCT04280705, doi 10.1056/NEJMoa2007764, PMID 32445440",
    "GB00 BANK 0000 0000 0000 00 shows the form",
    "version 3.14.15.92653, build 202602110930",
    "x = 0.00333333(1 + 0.00333333)^240",
    "Your account number has eight digits.",
    "The shop is at 12 High Street.",
    "Mozart was born on 27 January 1756.",
    "Aged 120-80-1234567",
    "SSN fields have the form 000-12-3456",
]


def test_personal_data_is_found(subtests):
    for kind, text in [(kind, text) for kind, texts in PLANTED.items() for text in texts]:
        with subtests.test(kind=kind, text=text):
            assert kind in [found for found, _, _ in find_personal_data(normalize_characters(text).text)]


def test_other_numbers_are_left_alone(subtests):
    for text in INNOCENT:
        with subtests.test(text=text):
            assert find_personal_data(normalize_characters(text).text) == []


def test_what_is_found_is_marked():
    text = "Ask jane@mail.com or +1 202 555 0143."
    assert [(kind, text[start:end]) for kind, start, end in find_personal_data(text)] == [
        ("email", "jane@mail.com"),
        ("phone", "+1 202 555 0143"),
    ]


def test_ones_own_may_be_said():
    text = "Call 020 7946 0000 or write to jane@shop.com or joe@mail.com."
    assert [text[start:end] for _, start, end in find_personal_data(text, allow_list=["+(020) 7946-0000", "shop.com"])] == ["joe@mail.com"]
    assert [kind for kind, _, _ in find_personal_data(text, ["phone"])] == ["phone"]


@given(st.integers(10**14, 10**15 - 1))
def test_one_in_ten_numbers_passes_luhn(number):
    assert sum(passes_luhn(f"{number}{digit}") for digit in range(10)) == 1


def test_checksums_of_known_numbers():
    assert is_card("4242424242424242")
    assert not is_card("1234567812345670"), "no scheme begins with 1"
    assert not is_card("41111111111111"), "no such length"
    assert is_iban("CH9300762011623852957")
    assert not is_iban("CH9300762011623852958")
    assert not is_iban("CH930076201162385295")
    assert not is_iban("XX9300762011623852957")


def test_in_real_texts_hardly_anything_is_taken_for_personal_data_that_is_none(shared_rows):
    """Abstracts of papers and tables of annual reports, 1,277 texts full of numbers, of which one tells a phone number."""
    texts = ["\n".join([*row["contexts"], row["long_answer"]]) for row in shared_rows("tasks/pubmedqa")]
    texts += [f"{row['table']}\n{row['paragraphs']}" for row in shared_rows("tasks/tatqa_finance")]
    found = {text[start:end] for text in (normalize_characters(text).text for text in texts) for _, start, end in find_personal_data(text)}
    assert len(texts) > 1200
    assert found <= {"886-3-578-2258"}
