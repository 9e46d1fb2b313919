"""Invented personal data to plant in real texts: many kinds, forms and countries, with right and with wrong check digits.

Nothing here is shared with what looks for it: check digits are found by trying all of them against the rule, written once more from
the rule's own words, so that a fault on one side shows.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from typing import NamedTuple

Rng = random.Random
Make = Callable[[Rng], str]


class Canary(NamedTuple):
    """A value of a kind, set in a form; its sentence holds {} where it stands; wrong: its check digit is not the right one."""

    kind: str
    form: str
    value: str
    sentence: str
    wrong: bool


def digits(rng: Rng, count: int, first: str = string.digits) -> str:
    return rng.choice(first) + "".join(rng.choices(string.digits, k=count - 1)) if count else ""


def letters(rng: Rng, count: int, among: str = string.ascii_uppercase) -> str:
    return "".join(rng.choices(among, k=count))


def born(rng: Rng, order: str = "ymd") -> str:
    parts = {"y": f"{rng.randint(40, 99)}", "m": f"{rng.randint(1, 12):02d}", "d": f"{rng.randint(1, 28):02d}"}
    return "".join(parts[part] for part in order)


def completed(body: str, rule: Callable[[str], bool], ends: list[str] | str = string.digits) -> str:
    """The body with the end that the rule accepts; an empty text where none is."""
    return next((body + end for end in ends if rule(body + end)), "")


def retry(make: Make) -> Make:
    """Draw again until a number can be completed."""

    def drawn(rng: Rng) -> str:
        while not (found := make(rng)):
            pass
        return found

    return drawn


def grouped(value: str, *sizes: int, by: str = " ") -> str:
    parts, at = [], 0
    for size in sizes:
        parts.append(value[at : at + size])
        at += size
    return by.join(part for part in [*parts, value[at:]] if part)


def total(number: str, weights: list[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(number, weights, strict=True))


def luhn_rule(number: str) -> bool:
    table = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
    return (sum(map(int, number[-1::-2])) + sum(table[int(digit)] for digit in number[-2::-2])) % 10 == 0


def iban_of(country: str, account: str) -> str:
    spelled = "".join(str(ord(c) - 55) if c.isalpha() else c for c in account + country)
    return f"{country}{98 - int(spelled + '00') % 97:02d}{account}"


def iban(country: str, pattern: str) -> Make:
    """pattern: n for a digit, a for a letter."""
    return lambda rng: iban_of(country, "".join(digits(rng, 1) if c == "n" else letters(rng, 1) for c in pattern))


def card(prefix: str, length: int) -> Make:
    return lambda rng: completed(prefix + digits(rng, length - len(prefix) - 1), luhn_rule)


VERHOEFF_D = [  # the table of the dihedral group, as published
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
    [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
    [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
    [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
    [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
    [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
    [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
    [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
    [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
]
VERHOEFF_P = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
    [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
    [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
    [9, 4, 5, 3, 1, 2, 6, 8, 7, 0],
    [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
    [2, 7, 9, 3, 8, 0, 6, 4, 1, 5],
    [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
]


def verhoeff_rule(number: str) -> bool:
    check = 0
    for place, digit in enumerate(number[::-1]):
        check = VERHOEFF_D[check][VERHOEFF_P[place % 8][int(digit)]]
    return check == 0


def steuer_id(rng: Rng) -> str:
    ten = rng.sample(string.digits, 9)
    ten.insert(rng.randrange(1, 9), ten[rng.randrange(9)])
    body = "".join(ten)

    def rule(number: str) -> bool:
        rest = 10
        for digit in number[:-1]:
            rest = (rest + int(digit)) % 10
            rest = (10 if rest == 0 else rest) * 2 % 11
        return str((11 - rest) % 10) == number[-1]

    return "" if body[0] == "0" else completed(body, rule)


def codice_fiscale(rng: Rng) -> str:
    consonants = "BCDFGLMNPRSTVZ"
    date = f"{rng.randint(40, 99)}{rng.choice('ABCDEHLMPRST')}{rng.randint(1, 28):02d}"
    body = f"{letters(rng, 6, consonants)}{date}{rng.choice('ABCDEFGHL')}{digits(rng, 3)}"
    odd = "BAKPLCQDREVOSFTGUHMINJWZYX"  # the letter whose value stands at each place's number: B = 0, A = 1, K = 2 …
    value = sum(
        (odd.index(c if c.isalpha() else "ABCDEFGHIJ"[int(c)]) if at % 2 == 0 else (ord(c) - 65 if c.isalpha() else int(c)))
        for at, c in enumerate(body)
    )
    return body + string.ascii_uppercase[value % 26]


def nir(rng: Rng) -> str:
    body = f"{rng.choice('12')}{rng.randint(40, 99)}{rng.randint(1, 12):02d}{rng.randint(1, 95):02d}{digits(rng, 6)}"
    return completed(body, lambda number: (int(number[:13]) + int(number[13:])) % 97 == 0, [f"{key:02d}" for key in range(1, 98)])


def cpf(rng: Rng) -> str:
    body = digits(rng, 9)
    one = completed(
        body, lambda n: sum((10 - at) * int(c) for at, c in enumerate(n[:9])) % 11 in ((0, 1) if n[9] == "0" else (11 - int(n[9]),))
    )
    return completed(
        one, lambda n: sum((11 - at) * int(c) for at, c in enumerate(n[:10])) % 11 in ((0, 1) if n[10] == "0" else (11 - int(n[10]),))
    )


def norwegian(rng: Rng) -> str:
    body = born(rng, "dmy") + digits(rng, 3)
    one = completed(body, lambda n: total(n, [3, 7, 6, 1, 8, 9, 4, 5, 2, 1]) % 11 == 0)
    return completed(one, lambda n: total(n, [5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]) % 11 == 0) if one else ""


def turkish(rng: Rng) -> str:
    body = digits(rng, 9, "123456789")
    one = completed(
        body, lambda n: (7 * sum(int(n[at]) for at in (0, 2, 4, 6, 8)) - sum(int(n[at]) for at in (1, 3, 5, 7))) % 10 == int(n[9])
    )
    return completed(one, lambda n: sum(map(int, n[:10])) % 10 == int(n[10]))


def hkid(rng: Rng) -> str:
    letter, six = letters(rng, 1), digits(rng, 6)
    value = 324 + (ord(letter) - 55) * 8 + sum(int(c) * w for c, w in zip(six, range(7, 1, -1), strict=True))
    return f"{letter}{six}{'0123456789A'[-value % 11]}"


def nric(rng: Rng) -> str:
    kind, seven = rng.choice("STFG"), digits(rng, 7)
    value = total(seven, [2, 7, 6, 5, 4, 3, 2]) + (4 if kind in "TG" else 0)
    return kind + seven + ("ABCDEFGHIZJ" if kind in "ST" else "KLMNPQRTUWX")[10 - value % 11]


def ppsn(rng: Rng) -> str:
    seven = digits(rng, 7)
    return seven + "WABCDEFGHIJKLMNOPQRSTUV"[total(seven, [8, 7, 6, 5, 4, 3, 2]) % 23]


def rvnr(rng: Rng) -> str:
    body = f"{rng.randint(2, 89):02d}{born(rng, 'dmy')}{letters(rng, 1)}{digits(rng, 2)}"
    spelled = body[:8] + f"{string.ascii_uppercase.index(body[8]) + 1:02d}" + body[9:]
    crossed = (sum(map(int, str(int(c) * w))) for c, w in zip(spelled, [2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1], strict=True))
    return body + str(sum(crossed) % 10)


def curp(rng: Rng) -> str:
    name = f"{letters(rng, 1)}{rng.choice('AEIOU')}{letters(rng, 2)}"
    body = f"{name}{born(rng)}{rng.choice('HM')}{letters(rng, 5, 'BCDFGJKLMN')}{digits(rng, 1)}"
    alphabet = "0123456789ABCDEFGHIJKLMN Ñ OPQRSTUVWXYZ".replace(" ", "")
    return body + str((10 - sum(alphabet.index(c) * (18 - at) for at, c in enumerate(body)) % 10) % 10)


def chinese(rng: Rng) -> str:
    body = f"{rng.choice(['110101', '310104', '440305'])}19{born(rng)}{digits(rng, 3)}"
    weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
    return body + "10X98765432"[total(body, weights) % 11]


def by_weights(weights: list[int], of: int, body: Callable[[Rng], str], rest: Callable[[int, str], bool]) -> Make:
    """A number whose weighted sum modulo `of` and last digit satisfy `rest`."""
    return retry(lambda rng: completed(body(rng), lambda n: rest(total(n[: len(weights)], weights) % of, n[-1])))


def spoiled(value: str, rng: Rng) -> str:
    """With another last digit or letter: one that a typing error makes."""
    at = max(index for index, c in enumerate(value) if c.isalnum())
    others = string.digits if value[at].isdigit() else string.ascii_uppercase if value[at].isupper() else string.ascii_lowercase
    return value[:at] + rng.choice([c for c in others if c != value[at]]) + value[at + 1 :]
