"""Data of a person in an answer: what identifies, reaches or bills somebody.

email          an address, also as `jane (at) example (dot) com`; mailboxes of a role (support@, info@) are nobody's
phone          international, North American and national numbers with a leading 0; others where words say that it is a phone;
               toll-free numbers are nobody's
card           payment cards, by scheme, length and check digit
iban           bank accounts, by country, length and checksum
ssn            US social security numbers
nino           UK national insurance numbers
birth_date     a date that is said to be one of birth
record         numbers of patients, passports, licences, accounts, where words say so
address        a house and street, where words say that somebody lives there

They are some of those that `curation.personal` looks for in training data. Names aren't found: ask a judge.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, get_args

from preceptor.curation.personal import KINDS as KNOWN
from preceptor.curation.personal.find import bare

PersonalKind = Literal["email", "phone", "card", "iban", "ssn", "nino", "birth_date", "record", "address"]
KINDS: tuple[PersonalKind, ...] = get_args(PersonalKind)


def personal_data(text: str, kinds: Sequence[PersonalKind] = KINDS, allow: Sequence[str] = ()) -> list[tuple[PersonalKind, int, int]]:
    """Each kind's finds in a plain text, in the order of their places; what lies within another find is left out.

    allow: what is one's own, such as an e-mail's domain or a phone number; digits and letters count, not how they are set.
    """
    if not re.search(r"\d", text):
        kinds = [kind for kind in kinds if kind == "email"]  # all others have digits
    own = [bare(entry) for entry in allow]
    found = [
        (kind, start, end)
        for kind in kinds
        for start, end in KNOWN[kind].finder(text)
        if not any(entry in bare(text[start:end]) for entry in own)
    ]
    found.sort(key=lambda find: (find[1], -find[2]))
    kept: list[tuple[PersonalKind, int, int]] = []
    for find in found:
        if not kept or find[2] > kept[-1][2]:
            kept.append(find)
    return kept
