"""The arithmetic by which numbers of cards, banks and people are told from any others."""

from __future__ import annotations

_CARD_LENGTHS = (  # what a number begins with, from and up to; how long it then is (ISO/IEC 7812, the schemes' own tables)
    ("34", "34", (15,)),
    ("37", "37", (15,)),
    ("300", "305", (14,)),
    ("36", "36", (14,)),
    ("38", "39", (14,)),
    ("3528", "3589", (16,)),
    ("4", "4", (13, 16, 19)),
    ("2221", "2720", (16,)),
    ("50", "50", (16, 17, 18, 19)),
    ("51", "55", (16,)),
    ("56", "58", (16, 17, 18, 19)),
    ("60", "69", (16, 17, 18, 19)),
)
_BY_LENGTH = """
15 NO
16 BE
18 DK FI FO GL NL
19 MK SI
20 AT BA EE KZ LT LU MN XK
21 CH HR LI LV
22 BG BH CR DE GB GE IE ME RS VA
23 AE GI IL IQ OM SO TL
24 AD CZ ES MD PK RO SA SE SK TN VG
25 LY PT ST
26 IS TR
27 BI DJ FR GR IT MC MR SM
28 AL AZ BY CY DO GT HU LB NI PL SV
29 BR EG PS QA UA
30 JO KW MU YE
31 MT SC
32 LC
33 RU
"""
IBAN_LENGTHS = {country: int(length) for length, *countries in map(str.split, _BY_LENGTH.strip().splitlines()) for country in countries}


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of those before it (ISO/IEC 7812-1)."""
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def is_card(digits: str) -> bool:
    """Whether digits are the number of a payment card: a scheme's beginning, its length, and the check digit."""
    fits = any(first <= digits[: len(first)] <= last and len(digits) in lengths for first, last, lengths in _CARD_LENGTHS)
    return fits and luhn(digits)


def is_iban(letters: str) -> bool:
    """Whether letters and digits without spaces are an account number of ISO 13616: its country's length, and the remainder of 97."""
    upper = letters.upper()
    if not upper.isascii() or len(upper) != IBAN_LENGTHS.get(upper[:2]):
        return False
    moved = upper[4:] + upper[:4]
    return int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1


def verhoeff(digits: str) -> bool:
    """Whether the last digit is the check digit of those before it, by Verhoeff's scheme over the symmetries of a pentagon (1969)."""
    state = 0
    for place, digit in enumerate(reversed(digits)):
        state = _turned(state, _permuted(int(digit), place))
    return state == 0


def remainder(field: str) -> int:
    """The check digit of a field of a machine-readable document (ICAO 9303): weights 7, 3, 1 modulo 10; < counts 0."""
    return sum((0 if letter == "<" else int(letter, 36)) * (7, 3, 1)[place % 3] for place, letter in enumerate(field)) % 10


def _turned(one: int, other: int) -> int:
    """The product of two symmetries of a pentagon: 0–4 are turns, 5–9 turns after a reflection."""
    if one < 5:
        return (one + other) % 5 if other < 5 else 5 + (one + other - 5) % 5
    return 5 + (one - 5 - other) % 5 if other < 5 else (one - other) % 5


def _permuted(digit: int, times: int) -> int:
    for _ in range(times % 8):
        digit = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[digit]
    return digit
