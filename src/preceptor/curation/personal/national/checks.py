"""The check digits of countries' numbers. Each takes letters and digits without separators, in capitals."""

from __future__ import annotations

import calendar
from collections import Counter
from collections.abc import Iterable

from preceptor.curation.personal.checksums import luhn, remainder, verhoeff

_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
_HETU = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_ODD = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)  # of A to Z; 0 to 9 as A to J
_CURP = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ"
_CNP, _EGN = (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9), (2, 4, 8, 5, 10, 9, 7, 3, 6)
_RVNR = (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1)


def weighted(digits: Iterable[str], weights: Iterable[int]) -> int:
    """Σ weight · digit over the digits that have a weight."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def is_day(month: str, day: str) -> bool:
    """Whether a month has such a day, in some year."""
    return 1 <= int(month) <= 12 and 1 <= int(day) <= calendar.monthrange(2000, int(month))[1]


def is_nhs(number: str) -> bool:
    return len(set(number)) > 1 and (11 - weighted(number, range(10, 1, -1)) % 11) % 11 == int(number[9])


def is_dni(number: str) -> bool:
    digits = {"X": "0", "Y": "1", "Z": "2"}.get(number[0], number[0]) + number[1:-1]
    return _DNI[int(digits) % 23] == number[-1]


def is_codice_fiscale(code: str) -> bool:
    values = [int(letter) if letter.isdigit() else ord(letter) - 65 for letter in code[:15]]
    total = sum(_ODD[value] if place % 2 == 0 else value for place, value in enumerate(values))
    return chr(65 + total % 26) == code[15]


def is_steuer_id(number: str) -> bool:
    """ISO 7064 mod 11, 10; of the first ten digits one stands twice or three times, and no other repeats."""
    often = sorted(Counter(number[:10]).values(), reverse=True)
    if number[0] == "0" or often[0] not in (2, 3) or often[1] > 1:
        return False
    product = 10
    for digit in number[:10]:
        product = 2 * ((int(digit) + product) % 10 or 10) % 11
    return (11 - product) % 10 == int(number[10])


def is_rvnr(number: str) -> bool:
    """A German pension insurance number: area, date of birth, letter of the name, serial, check digit."""
    digits = number[:8] + f"{ord(number[8]) - 64:02d}" + number[9:11]
    products = (int(digit) * weight for digit, weight in zip(digits, _RVNR, strict=True))
    return is_day(number[4:6], f"{(int(number[2:4]) - 50) if int(number[2:4]) > 50 else int(number[2:4]):02d}") and (
        sum(product // 10 + product % 10 for product in products) % 10 == int(number[11])
    )


def is_nir(number: str) -> bool:
    digits = number[:13].replace("2A", "19", 1) if number[5:7] == "2A" else number[:13]
    digits = digits.replace("2B", "18", 1) if number[5:7] == "2B" else digits
    return digits.isdigit() and 97 - int(digits) % 97 == int(number[13:])


def is_bsn(number: str) -> bool:
    return int(number) > 0 and (weighted(number, range(9, 1, -1)) - int(number[8])) % 11 == 0


def is_belgian(number: str) -> bool:
    born = [97 - int(century + number[:9]) % 97 for century in ("", "2")]
    return int(number[2:4]) % 20 <= 12 and int(number[9:]) in born


def is_nif(number: str) -> bool:
    check = 11 - weighted(number, range(9, 1, -1)) % 11
    return (0 if check > 9 else check) == int(number[8])


def is_pesel(number: str) -> bool:
    check = -weighted(number, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10
    return is_day(f"{int(number[2:4]) % 20:02d}", number[4:6]) and check == int(number[10])


def is_personnummer(number: str) -> bool:
    short = number[-10:]
    return is_day(short[2:4], f"{int(short[4:6]) % 60:02d}") and luhn(short)


def is_hetu(code: str) -> bool:
    digits = code[:6] + code[-4:-1]
    return is_day(code[2:4], code[:2]) and _HETU[int(digits) % 31] == code[-1]


def is_fodselsnummer(number: str) -> bool:
    first = -weighted(number, (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11
    second = -weighted(number, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return is_day(f"{int(number[2:4]) % 40:02d}", f"{int(number[:2]) % 40:02d}") and number[9:] == f"{first}{second}"


def is_cpr(number: str) -> bool:
    return is_day(number[2:4], number[:2])


def is_ahv(number: str) -> bool:
    return -weighted(number, (1, 3) * 6) % 10 == int(number[12])


def is_svnr(number: str) -> bool:
    return number[0] != "0" and weighted(number, (3, 7, 9, 0, 5, 8, 4, 2, 1, 6)) % 11 == int(number[3])


def is_ppsn(code: str) -> bool:
    second = ord(code[8]) - 64 if len(code) == 9 and code[8] != "W" else 0
    return chr(64 + (weighted(code, range(8, 1, -1)) + 9 * second) % 23) == ("@" if code[7] == "W" else code[7])


def is_amka(number: str) -> bool:
    return is_day(number[2:4], number[:2]) and luhn(number)


def is_rodne_cislo(number: str) -> bool:
    return is_day(f"{int(number[2:4]) % 50 % 20:02d}", number[4:6]) and int(number[:9]) % 11 % 10 == int(number[9])


def is_cnp(number: str) -> bool:
    check = weighted(number, _CNP) % 11
    return is_day(number[3:5], number[5:7]) and (1 if check == 10 else check) == int(number[12])


def is_egn(number: str) -> bool:
    return is_day(f"{int(number[2:4]) % 20:02d}", number[4:6]) and weighted(number, _EGN) % 11 % 10 == int(number[9])


def is_snils(number: str) -> bool:
    return weighted(number, range(9, 0, -1)) % 101 % 100 == int(number[9:])


def is_tckn(number: str) -> bool:
    odd, even = sum(map(int, number[0:9:2])), sum(map(int, number[1:8:2]))
    return number[0] != "0" and (7 * odd - even) % 10 == int(number[9]) and sum(map(int, number[:10])) % 10 == int(number[10])


def is_cpf(number: str) -> bool:
    first = weighted(number, range(10, 1, -1)) * 10 % 11 % 10
    second = weighted(number, range(11, 1, -1)) * 10 % 11 % 10
    return len(set(number)) > 1 and number[9:] == f"{first}{second}"


def is_cuit(number: str) -> bool:
    return min(-weighted(number, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11, 9) == int(number[10])


def is_rut(code: str) -> bool:
    check = -weighted(reversed(code[:-1]), (2, 3, 4, 5, 6, 7) * 2) % 11
    return "0123456789K"[check] == code[-1]


def is_curp(code: str) -> bool:
    total = sum(_CURP.index(letter) * weight for letter, weight in zip(code, range(18, 1, -1), strict=False))
    return is_day(code[6:8], code[8:10]) and str(-total % 10) == code[17]


def is_aadhaar(number: str) -> bool:
    return number[0] not in "01" and number != number[::-1] and verhoeff(number)


def is_sin(number: str) -> bool:
    return number[0] != "8" and len(set(number)) > 1 and luhn(number)


def is_tfn(number: str) -> bool:
    weights = (10, 7, 8, 4, 6, 3, 5, 1) if len(number) == 8 else (1, 4, 3, 7, 5, 8, 6, 9, 10)
    return len(set(number)) > 1 and weighted(number, weights) % 11 == 0


def is_medicare(number: str) -> bool:
    return number[0] in "23456" and weighted(number, (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == int(number[8])


def is_nric(code: str) -> bool:
    total = weighted(code[1:8], (2, 7, 6, 5, 4, 3, 2)) + {"T": 4, "G": 4, "M": 3}.get(code[0], 0)
    letters = {"S": "JZIHGFEDCBA", "T": "JZIHGFEDCBA", "F": "XWUTRQPNMLK", "G": "XWUTRQPNMLK", "M": "XWUTRQPNJLK"}
    place = 10 - total % 11 if code[0] == "M" else total % 11
    return letters[code[0]][place] == code[8]


def is_hkid(code: str) -> bool:
    letters = code.rstrip("0123456789")[:2] if code[-1] != "A" else code[:-1].rstrip("0123456789")
    values = [36, *(ord(letter) - 55 for letter in letters)] if len(letters) == 1 else [ord(letter) - 55 for letter in letters]
    values += [int(digit) for digit in code[len(letters) : -1]] + [10 if code[-1] == "A" else int(code[-1])]
    return sum(value * weight for value, weight in zip(values, range(9, 0, -1), strict=True)) % 11 == 0


def is_chinese(code: str) -> bool:
    """ISO 7064 mod 11-2, with a date of birth."""
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(code[:17]))
    return is_day(code[10:12], code[12:14]) and "10X98765432"[total % 11] == code[17]


def is_my_number(number: str) -> bool:
    rest = weighted(number, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return len(set(number)) > 1 and (0 if rest <= 1 else 11 - rest) == int(number[11])


def is_rrn(number: str) -> bool:
    return is_day(number[2:4], number[4:6])


def is_south_african(number: str) -> bool:
    return is_day(number[2:4], number[4:6]) and number[10] in "012" and luhn(number)


def is_israeli(number: str) -> bool:
    return len(set(number)) > 1 and luhn(number)


def is_passport_line(code: str) -> bool:
    """The second line of a machine-readable passport (ICAO 9303): each field's check digit."""
    fields = ((code[:9], code[9]), (code[13:19], code[19]), (code[21:27], code[27]))
    return all(remainder(field) == int(check) for field, check in fields)
