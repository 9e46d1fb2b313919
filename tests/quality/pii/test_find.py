"""Personal data found in texts as they are written, where it stands, and numbers that only look like it left alone."""

import random
from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.quality.pii import DEFAULT_PII_KINDS, PII_KINDS, find_pii
from preceptor.statistics import wilson_interval

PUBLISHED = {  # examples that the issuing offices print themselves, or that stand in their standards
    "es_dni": ["12345678Z", "X1234567L", "00000000-T"],
    "it_codice_fiscale": ["RSSMRA85T10A562S", "MRTMTT91D08F205J"],
    "de_steuer_id": ["86 095 742 719", "Steuer-ID: 47036892816"],
    "fr_nir": ["2 95 10 99 126 111 93", "255081416802538"],
    "nl_bsn": ["BSN 111222333"],
    "be_nrn": ["85.07.30-033.28"],
    "pl_pesel": ["PESEL 44051401359"],
    "se_personnummer": ["811228-9874", "670919-9530"],
    "fi_hetu": ["131052-308T", "010594Y9032"],
    "ch_ahv": ["756.9217.0769.85"],
    "cn_id": ["11010519491231002X"],
    "br_cpf": ["111.444.777-35"],
    "cl_rut": ["12.678.579-8"],
    "mx_curp": ["BOXW310820HNERXN09"],
    "sg_nric": ["S1234567D"],
    "hk_hkid": ["A123456(3)", "HKID AB9876543"],
    "uk_nhs": ["NHS number 943 476 5919"],
    "ca_sin": ["SIN 046 454 286"],
    "au_tfn": ["TFN 123 456 782"],
    "au_medicare": ["Medicare 2123 45670 1"],
    "za_id": ["ID number 8001015009087"],
    "passport": ["L898902C36UTO7408122F1204159ZE184226B<<<<<10"],
    "us_mbi": ["1EG4-TE5-MK73"],
    "iban": ["GB82 WEST 1234 5698 7654 32", "NO9386011117947"],
    "card": ["4111 1111 1111 1111", "3530111333300000"],
}
SAID = {
    "email": ["Write to jane.doe@gmail.com, please."],
    "ip": ["from 84.17.3.201 at noon", "2a02:8071:b5c1:1200::17 answered"],
    "mac": ["00:1B:44:11:3A:B7", "001b.4411.3ab7"],
    "url_login": ["git clone https://jana:s3cr3tPw@git.example.com/x.git"],
    "secret": [
        "password: Tr0ub4dor&3",
        "AKIAIOSFODNN7EXAMPLE",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7\n-----END RSA PRIVATE KEY-----",
    ],
    "postal_address": ["12 Maple Street\nSpringfield, IL 62704", "Hauptstraße 12, 10115 Berlin", "12 bis, rue de Rivoli, 75001 Paris"],
    "handle": ["my insta: @ann.miller", "Follow me on Twitter @ann_miller!", "DM me @annm", "Instagram handle is @annm."],
    "birth_date": [
        "geboren am 12.3.1961",
        "I was born on March 12, 1961",
        "DOB 19610312",
        "Mein Geburtstag ist der 12.03.1961",
        "生年月日:1961年3月12日",
        "née le 12 mars 1961",
    ],
    "record": ["Patientennummer: 4711987", "MRN 00482913"],
    "imei": ["IMEI 490154203237518"],
    "name": ["My name is Siobhán O'Brien.", "Mr. John Smith-Jones called", "Dear Dr. van der Berg,", "Best regards,\nŁukasz Kowalski"],
    "phone": ["电话:138 0013 8000", "Mi teléfono es 612 345 678."],
}
NOBODYS = [
    "@united thanks, as @JetBlue says on Twitter, tweet @VirginAmerica, follow @united on Instagram",
    "born on 12 March 1879 in Ulm",
    "Order 4532 7781 9902 1147 is on its way.",
    "EAN 4006381333931, ISBN 978-3-16-148410-0",
    "The enzyme (EC 3.1.1.11), version 1.2.3.4, host 192.168.1.10 and localhost 127.0.0.1",
    "It cost 12 345 678 901 yen, or 123.456.789,01 euros.",
    "ratio 3:4:5:6, at 10:20:30 on 2026-11-03",
    "Your password must have 8 characters; a token is a word; the key is 12345.",
    "api_key = <your-key>, password: ********, secret: xxxxxxxx",
    "https://user:password@example.com shows the form",
    "Dear Customer, dear Sir or Madam, Hi there, Best regards, The Support Team",
    "Mr and Mrs are titles; Dr. is short for doctor.",
    "Name: Everton Football Club",
    "Product Name: Gorgeous Goggles",
    "Dear Attendees,",
    "The patient number of the ward is high.",
    "SIN 746 454 287, 12345678A, GB82 WEST 1234 5698 7654 33",
    "[EMAIL-k3f7q2ma] and [PHONE-22334455] and [FR_NIR-aaaaaaaa]",
]


def test_personal_data_is_found(subtests):
    for kind, text in [(kind, text) for table in (PUBLISHED, SAID) for kind, texts in table.items() for text in texts]:
        with subtests.test(kind=kind, text=text):
            assert kind in {finding.kind for finding in find_pii([text])}


def test_what_is_nobodys_is_left_alone(subtests):
    for text in NOBODYS:
        with subtests.test(text=text):
            assert list(find_pii([text])) == []


def test_98_percent_of_planted_canaries_are_found(planting, shared_rows):
    """At least 40 kinds in many forms and languages, each in a real question or abstract: the interval of the share lies above 0.98."""
    texts = [row["text"] for row in shared_rows("tasks/banking77")] + [" ".join(row["contexts"]) for row in shared_rows("tasks/pubmedqa")]
    planted = list(planting.plant(texts, 10))
    found = defaultdict(list)
    for finding in find_pii([each.text for each in planted]):
        found[finding.index].append(finding)
    missed = [
        (each.canary, each.text[max(0, each.start - 20) : each.end + 10])
        for index, each in enumerate(planted)
        if not any(finding.start <= each.start and finding.end >= each.end for finding in found[index])
    ]
    assert len({each.canary.kind for each in planted}) >= 40
    assert len(planted) >= 1000
    low, _ = wilson_interval(len(planted) - len(missed), len(planted))
    assert low > 0.98, missed


def test_spoiled_check_digits_are_seldom_taken_for_their_kind(planting):
    wrong = list(planting.plant([""], 20, wrong=True))
    taken = {(finding.index, finding.kind) for finding in find_pii([each.text for each in wrong])}
    mistaken = [each.canary for index, each in enumerate(wrong) if (index, each.canary.kind) in taken]
    assert len(mistaken) <= len(wrong) * 0.002


def test_real_texts_hold_hardly_any(shared_rows):
    """13,083 questions of customers, in which nobody gives anything away, and 1,000 abstracts."""
    assert list(find_pii(row["text"] for row in shared_rows("tasks/banking77"))) == []
    found = list(find_pii("\n".join([*row["contexts"], row["long_answer"]]) for row in shared_rows("tasks/pubmedqa")))
    assert [finding for finding in found if finding.kind != "name"] == []
    assert len(found) < 5


@given(st.lists(st.text(alphabet="a1 @.-\n👩‍👧é0+4(/", max_size=60), max_size=4))
def test_findings_are_ordered_apart_and_quote_the_text(texts):
    found = list(find_pii([*texts, "x 👩‍👩‍👧 jana@web.de"]))
    assert found[-1].text == "jana@web.de"
    for finding in found:
        assert ([*texts, "x 👩‍👩‍👧 jana@web.de"][finding.index])[finding.start : finding.end] == finding.text
    for one, other in pairwise(found):
        assert (one.index, one.end) <= (other.index, other.start) or one.index < other.index


@given(st.text(max_size=200))
def test_any_text_can_be_searched(text):
    for finding in find_pii([text, text.upper(), f"{text}\ud800"]):
        assert finding.text


def test_places_are_right_after_emoji_wide_letters_and_odd_spaces():
    text = "👩‍🦰🇩🇪  “tel”:\u00a0+49\u202f171\u202f1234567 – ｊａｎａ＠ｗｅｂ．ｄｅ ✅"
    assert [(finding.kind, finding.text) for finding in find_pii([text])] == [
        ("phone", "+49\u202f171\u202f1234567"),
        ("email", "ｊａｎａ＠ｗｅｂ．ｄｅ"),
    ]


def test_a_number_at_a_lines_end_doesnt_run_into_the_next_line():
    assert [finding.text for finding in find_pii(["call 020 7946 0123\n8 items\n4111 1111 1111 1111\n2 more"])] == [
        "020 7946 0123",
        "4111 1111 1111 1111",
    ]


def test_the_longer_find_stays():
    found = list(find_pii(["DE89 3704 0044 0532 0130 00", "https://jana:hunter22x@web.example/1"]))
    assert [(finding.kind, finding.index) for finding in found] == [("iban", 0), ("url_login", 1)]


def test_ones_own_may_be_said_and_kinds_chosen():
    text = "Call 020 7946 0123 or write to jane@shop.com or joe@mail.com."
    assert [finding.text for finding in find_pii([text], allow=["+(020) 7946-0123", "shop.com"])] == ["joe@mail.com"]
    assert {finding.kind for finding in find_pii([text], ["phone"])} == {"phone"}
    with pytest.raises(UserError, match=r"'e-mail'.*known: secret"):
        find_pii([text], ["e-mail"])


def test_texts_are_read_one_by_one():
    def endless():
        while True:
            yield "jana@web.de"

    assert next(find_pii(endless())).index == 0


def test_every_kind_says_what_it_is():
    assert set(DEFAULT_PII_KINDS) == set(PII_KINDS)
    assert all(kind.description.startswith(("a ", "an ")) for kind in PII_KINDS.values())


def test_long_texts_of_one_thing_can_be_searched():
    rng = random.Random(0)
    for text in (
        "a" * 50_000,
        "1" * 50_000,
        "1 " * 25_000,
        "a@" * 25_000,
        "-" * 50_000,
        "A" * 50_000,
        "Mr. " * 10_000,
        ":" * 50_000,
        "at dot " * 8_000,
        "jana@web.de " * 4_000,
    ):
        list(find_pii([text, text[:-1] + rng.choice("xyz")]))
