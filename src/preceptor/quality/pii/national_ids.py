"""Recognise numbers by which states identify people: their patterns, check digits, and the words that stand beside them.

Each validator takes letters and digits without separators, in capitals, that match the number's pattern. `NON_EUROPEAN_IDS` also holds the
serial numbers of telephones.
"""

from __future__ import annotations

import calendar
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

TextSpan = tuple[int, int]
"""A place in a text: code points, the end exclusive."""


def passes_luhn(digits: str) -> bool:
    """Return whether the last digit is the check digit of those before it, by Luhn's algorithm (ISO/IEC 7812-1)."""
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _passes_verhoeff(digits: str) -> bool:
    """Return whether the last digit is the check digit of those before it, by Verhoeff's scheme over the dihedral group D5 (1969)."""
    state = 0
    for place, digit in enumerate(reversed(digits)):
        state = _dihedral_product(state, _verhoeff_permutation(int(digit), place))
    return state == 0


def _mrz_check_digit(field: str) -> int:
    """Return the check digit of a field of a machine-readable document (ICAO 9303): weights 7, 3, 1 modulo 10; < counts 0."""
    return sum((0 if letter == "<" else int(letter, 36)) * (7, 3, 1)[place % 3] for place, letter in enumerate(field)) % 10


def _dihedral_product(one: int, other: int) -> int:
    """Return the product of two symmetries of a pentagon: 0–4 are rotations, 5–9 rotations after a reflection."""
    if one < 5:
        return (one + other) % 5 if other < 5 else 5 + (one + other - 5) % 5
    return 5 + (one - 5 - other) % 5 if other < 5 else (one - other) % 5


def _verhoeff_permutation(digit: int, times: int) -> int:
    for _ in range(times % 8):
        digit = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[digit]
    return digit


_FIGURE_BEFORE = re.compile(r"(?<!\w)[\d.,/-]*\d $")  # the number is part of a longer one
_CUE_BEFORE, _CUE_AFTER = 60, 30  # characters searched for a cue


@dataclass(frozen=True)
class NationalId:
    """One country's number of a person.

    kind, description: its name and what it is in words. pattern: as it is written, with its separators. is_valid: whether letters and
    digits without separators, in capitals, are one: its check digits, its date. cue: words that must stand beside it, where such numbers
    occur too often by chance. unseparated_pattern: a second pattern, without separators, that always needs the cue. has_letters: whether
    letters stand between its digits, so that it has no six in a row.
    """

    kind: str
    description: str
    pattern: str
    is_valid: Callable[[str], bool]
    cue: str = ""
    unseparated_pattern: str = ""
    has_letters: bool = False

    def spans(self, text: str) -> Iterator[TextSpan]:
        """Yield where such numbers stand in a plain text."""
        for form, needs_cue in self._patterns:
            for found in form.finditer(text):
                if " " in found[0] and _FIGURE_BEFORE.search(text, max(0, found.start() - 12), found.start()):
                    continue
                if self.is_valid(re.sub(r"[\W_]", "", found[0]).upper()) and (not needs_cue or self._is_called(text, *found.span())):
                    yield found.span()

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], bool]]:
        forms = [(self.pattern, bool(self.cue) and not self.unseparated_pattern), (self.unseparated_pattern, True)]
        return [(re.compile(rf"(?<![\w+])(?<!\d[./,-])(?:{form})(?![\w-])(?![.,/ ]\d)"), cued) for form, cued in forms if form]

    @cached_property
    def _cue(self) -> re.Pattern[str]:
        return re.compile(rf"(?<![a-zà-ÿ])(?:{self.cue})(?![a-zà-ÿ])", re.IGNORECASE)

    def _is_called(self, text: str, start: int, end: int) -> bool:
        return bool(self._cue.search(text[max(0, start - _CUE_BEFORE) : start]) or self._cue.search(text[end : end + _CUE_AFTER]))


_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_HETU_LETTERS = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_CODICE_FISCALE_ODD = (
    1,
    0,
    5,
    7,
    9,
    13,
    15,
    17,
    19,
    21,
    2,
    4,
    18,
    20,
    11,
    3,
    6,
    8,
    12,
    14,
    16,
    10,
    22,
    25,
    24,
    23,
)  # of A to Z; 0 to 9 as A to J
_CURP_LETTERS = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ"
_CNP_WEIGHTS, _EGN_WEIGHTS = (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9), (2, 4, 8, 5, 10, 9, 7, 3, 6)
_RVNR_WEIGHTS = (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1)


def _weighted_sum(digits: Iterable[str], weights: Iterable[int]) -> int:
    """Return Σ weight · digit over the digits that have a weight."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def is_calendar_day(month: str, day: str) -> bool:
    """Return whether a month has such a day, in some year."""
    return 1 <= int(month) <= 12 and 1 <= int(day) <= calendar.monthrange(2000, int(month))[1]


def is_nhs(number: str) -> bool:
    """Return whether digits are a UK patient's NHS number: check digit modulo 11, not all digits equal."""
    return len(set(number)) > 1 and (11 - _weighted_sum(number, range(10, 1, -1)) % 11) % 11 == int(number[9])


def is_dni(number: str) -> bool:
    """Return whether a code is a Spanish identity number (DNI, NIE): check letter modulo 23."""
    digits = {"X": "0", "Y": "1", "Z": "2"}.get(number[0], number[0]) + number[1:-1]
    return _DNI_LETTERS[int(digits) % 23] == number[-1]


def is_codice_fiscale(code: str) -> bool:
    """Return whether a code is an Italian codice fiscale: check letter modulo 26."""
    values = [int(letter) if letter.isdigit() else ord(letter) - 65 for letter in code[:15]]
    total = sum(_CODICE_FISCALE_ODD[value] if place % 2 == 0 else value for place, value in enumerate(values))
    return chr(65 + total % 26) == code[15]


def is_steuer_id(number: str) -> bool:
    """Return whether digits are a German tax identification number.

    ISO 7064 mod 11, 10; of the first ten digits one occurs twice or three times, and no other repeats.
    """
    often = sorted(Counter(number[:10]).values(), reverse=True)
    if number[0] == "0" or often[0] not in (2, 3) or often[1] > 1:
        return False
    product = 10
    for digit in number[:10]:
        product = 2 * ((int(digit) + product) % 10 or 10) % 11
    return (11 - product) % 10 == int(number[10])


def is_rvnr(number: str) -> bool:
    """Return whether a code is a German pension insurance number: area, date of birth, letter of the name, serial, check digit."""
    digits = number[:8] + f"{ord(number[8]) - 64:02d}" + number[9:11]
    products = (int(digit) * weight for digit, weight in zip(digits, _RVNR_WEIGHTS, strict=True))
    return is_calendar_day(number[4:6], f"{(int(number[2:4]) - 50) if int(number[2:4]) > 50 else int(number[2:4]):02d}") and (
        sum(product // 10 + product % 10 for product in products) % 10 == int(number[11])
    )


def is_nir(number: str) -> bool:
    """Return whether a code is a French social security number (NIR): two check digits modulo 97, with Corsica's 2A and 2B."""
    digits = number[:13].replace("2A", "19", 1) if number[5:7] == "2A" else number[:13]
    digits = digits.replace("2B", "18", 1) if number[5:7] == "2B" else digits
    return digits.isdigit() and 97 - int(digits) % 97 == int(number[13:])


def is_bsn(number: str) -> bool:
    """Return whether digits are a Dutch citizen service number (BSN): weighted sum modulo 11."""
    return int(number) > 0 and (_weighted_sum(number, range(9, 1, -1)) - int(number[8])) % 11 == 0


def is_belgian_nrn(number: str) -> bool:
    """Return whether digits are a Belgian national register number: month, and two check digits modulo 97, of either century."""
    born = [97 - int(century + number[:9]) % 97 for century in ("", "2")]
    return int(number[2:4]) % 20 <= 12 and int(number[9:]) in born


def is_nif(number: str) -> bool:
    """Return whether digits are a Portuguese tax number (NIF): check digit modulo 11."""
    check = 11 - _weighted_sum(number, range(9, 1, -1)) % 11
    return (0 if check > 9 else check) == int(number[8])


def is_pesel(number: str) -> bool:
    """Return whether digits are a Polish PESEL: date of birth and check digit modulo 10."""
    check = -_weighted_sum(number, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10
    return is_calendar_day(f"{int(number[2:4]) % 20:02d}", number[4:6]) and check == int(number[10])


def is_personnummer(number: str) -> bool:
    """Return whether digits are a Swedish personal number: date of birth (a coordination number's day plus 60) and Luhn's check digit."""
    short = number[-10:]
    return is_calendar_day(short[2:4], f"{int(short[4:6]) % 60:02d}") and passes_luhn(short)


def is_hetu(code: str) -> bool:
    """Return whether a code is a Finnish personal identity code: date of birth and check character modulo 31."""
    digits = code[:6] + code[-4:-1]
    return is_calendar_day(code[2:4], code[:2]) and _HETU_LETTERS[int(digits) % 31] == code[-1]


def is_fodselsnummer(number: str) -> bool:
    """Return whether digits are a Norwegian birth number: date of birth and two check digits modulo 11."""
    first = -_weighted_sum(number, (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11
    second = -_weighted_sum(number, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return is_calendar_day(f"{int(number[2:4]) % 40:02d}", f"{int(number[:2]) % 40:02d}") and number[9:] == f"{first}{second}"


def is_cpr(number: str) -> bool:
    """Return whether digits are a Danish personal number (CPR), which since 2007 has no check digit: a date of birth."""
    return is_calendar_day(number[2:4], number[:2])


def is_ahv(number: str) -> bool:
    """Return whether digits are a Swiss social security number (AHV): the check digit of EAN-13."""
    return -_weighted_sum(number, (1, 3) * 6) % 10 == int(number[12])


def is_svnr(number: str) -> bool:
    """Return whether digits are an Austrian social security number: check digit modulo 11."""
    return number[0] != "0" and _weighted_sum(number, (3, 7, 9, 0, 5, 8, 4, 2, 1, 6)) % 11 == int(number[3])


def is_ppsn(code: str) -> bool:
    """Return whether a code is an Irish PPS number: check letter modulo 23."""
    second = ord(code[8]) - 64 if len(code) == 9 and code[8] != "W" else 0
    return chr(64 + (_weighted_sum(code, range(8, 1, -1)) + 9 * second) % 23) == ("@" if code[7] == "W" else code[7])


def is_amka(number: str) -> bool:
    """Return whether digits are a Greek social security number (AMKA): date of birth and Luhn's check digit."""
    return is_calendar_day(number[2:4], number[:2]) and passes_luhn(number)


def is_rodne_cislo(number: str) -> bool:
    """Return whether digits are a Czech or Slovak birth number: date of birth and check digit modulo 11."""
    return is_calendar_day(f"{int(number[2:4]) % 50 % 20:02d}", number[4:6]) and int(number[:9]) % 11 % 10 == int(number[9])


def is_cnp(number: str) -> bool:
    """Return whether digits are a Romanian personal code (CNP): date of birth and check digit modulo 11."""
    check = _weighted_sum(number, _CNP_WEIGHTS) % 11
    return is_calendar_day(number[3:5], number[5:7]) and (1 if check == 10 else check) == int(number[12])


def is_egn(number: str) -> bool:
    """Return whether digits are a Bulgarian personal number (EGN): date of birth and check digit modulo 11."""
    return is_calendar_day(f"{int(number[2:4]) % 20:02d}", number[4:6]) and _weighted_sum(number, _EGN_WEIGHTS) % 11 % 10 == int(number[9])


def is_snils(number: str) -> bool:
    """Return whether digits are a Russian insurance number (SNILS): two check digits modulo 101."""
    return _weighted_sum(number, range(9, 0, -1)) % 101 % 100 == int(number[9:])


def is_tckn(number: str) -> bool:
    """Return whether digits are a Turkish identity number: two check digits modulo 10."""
    odd, even = sum(map(int, number[0:9:2])), sum(map(int, number[1:8:2]))
    return number[0] != "0" and (7 * odd - even) % 10 == int(number[9]) and sum(map(int, number[:10])) % 10 == int(number[10])


def is_cpf(number: str) -> bool:
    """Return whether digits are a Brazilian CPF: two check digits modulo 11, not all digits equal."""
    first = _weighted_sum(number, range(10, 1, -1)) * 10 % 11 % 10
    second = _weighted_sum(number, range(11, 1, -1)) * 10 % 11 % 10
    return len(set(number)) > 1 and number[9:] == f"{first}{second}"


def is_cuit(number: str) -> bool:
    """Return whether digits are an Argentine CUIL or CUIT: check digit modulo 11."""
    return min(-_weighted_sum(number, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11, 9) == int(number[10])


def is_rut(code: str) -> bool:
    """Return whether a code is a Chilean RUT: check character modulo 11."""
    check = -_weighted_sum(reversed(code[:-1]), (2, 3, 4, 5, 6, 7) * 2) % 11
    return "0123456789K"[check] == code[-1]


def is_curp(code: str) -> bool:
    """Return whether a code is a Mexican CURP: date of birth and check digit modulo 10."""
    total = sum(_CURP_LETTERS.index(letter) * weight for letter, weight in zip(code, range(18, 1, -1), strict=False))
    return is_calendar_day(code[6:8], code[8:10]) and str(-total % 10) == code[17]


def is_aadhaar(number: str) -> bool:
    """Return whether digits are an Indian Aadhaar number: Verhoeff's check digit, no palindrome, first digit above 1."""
    return number[0] not in "01" and number != number[::-1] and _passes_verhoeff(number)


def is_sin(number: str) -> bool:
    """Return whether digits are a Canadian social insurance number: Luhn's check digit, first digit not 8, not all digits equal."""
    return number[0] != "8" and len(set(number)) > 1 and passes_luhn(number)


def is_tfn(number: str) -> bool:
    """Return whether digits are an Australian tax file number of 8 or 9 digits: weighted sum modulo 11, not all digits equal."""
    weights = (10, 7, 8, 4, 6, 3, 5, 1) if len(number) == 8 else (1, 4, 3, 7, 5, 8, 6, 9, 10)
    return len(set(number)) > 1 and _weighted_sum(number, weights) % 11 == 0


def is_medicare(number: str) -> bool:
    """Return whether digits are an Australian Medicare number: first digit 2 to 6, check digit modulo 10."""
    return number[0] in "23456" and _weighted_sum(number, (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == int(number[8])


def is_nric(code: str) -> bool:
    """Return whether a code is a Singaporean NRIC or FIN: check letter modulo 11."""
    total = _weighted_sum(code[1:8], (2, 7, 6, 5, 4, 3, 2)) + {"T": 4, "G": 4, "M": 3}.get(code[0], 0)
    letters = {"S": "JZIHGFEDCBA", "T": "JZIHGFEDCBA", "F": "XWUTRQPNMLK", "G": "XWUTRQPNMLK", "M": "XWUTRQPNJLK"}
    place = 10 - total % 11 if code[0] == "M" else total % 11
    return letters[code[0]][place] == code[8]


def is_hkid(code: str) -> bool:
    """Return whether a code is a Hong Kong identity card's number: one or two letters, check character modulo 11."""
    letters = code.rstrip("0123456789")[:2] if code[-1] != "A" else code[:-1].rstrip("0123456789")
    values = [36, *(ord(letter) - 55 for letter in letters)] if len(letters) == 1 else [ord(letter) - 55 for letter in letters]
    values += [int(digit) for digit in code[len(letters) : -1]] + [10 if code[-1] == "A" else int(code[-1])]
    return sum(value * weight for value, weight in zip(values, range(9, 0, -1), strict=True)) % 11 == 0


def is_chinese_id(code: str) -> bool:
    """Return whether a code is a Chinese resident identity number: ISO 7064 mod 11-2, with a date of birth."""
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(code[:17]))
    return is_calendar_day(code[10:12], code[12:14]) and "10X98765432"[total % 11] == code[17]


def is_my_number(number: str) -> bool:
    """Return whether digits are a Japanese My Number: check digit modulo 11, not all digits equal."""
    rest = _weighted_sum(number, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return len(set(number)) > 1 and (0 if rest <= 1 else 11 - rest) == int(number[11])


def is_rrn(number: str) -> bool:
    """Return whether digits are a Korean resident registration number, whose newer ones have no check digit: a date of birth."""
    return is_calendar_day(number[2:4], number[4:6])


def is_south_african_id(number: str) -> bool:
    """Return whether digits are a South African identity number: date of birth, citizenship 0 to 2, Luhn's check digit."""
    return is_calendar_day(number[2:4], number[4:6]) and number[10] in "012" and passes_luhn(number)


def is_israeli_id(number: str) -> bool:
    """Return whether digits are an Israeli identity number: Luhn's check digit, not all digits equal."""
    return len(set(number)) > 1 and passes_luhn(number)


def is_passport_mrz_line(code: str) -> bool:
    """Return whether a code is the second line of a machine-readable passport (ICAO 9303): each field's check digit."""
    fields = ((code[:9], code[9]), (code[13:19], code[19]), (code[21:27], code[27]))
    return all(_mrz_check_digit(field) == int(check) for field, check in fields)


_CODICE_FISCALE_DIGIT = r"[\dLMNP-V]"

EUROPEAN_IDS = (
    NationalId(
        "nino",
        "a UK national insurance number",
        r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]",
        lambda code: True,
    ),
    NationalId("uk_nhs", "a UK patient's NHS number", r"\d{3}[ -]?\d{3}[ -]?\d{4}", is_nhs, cue=r"nhs|national health"),
    NationalId(
        "uk_driving_licence",
        "a UK driving licence",
        r"[A-Z][A-Z9]{4} ?\d[0156]\d[0-3]\d\d ?[A-Z][A-Z9]\d[A-Z]{2}",
        lambda code: is_calendar_day(f"{int(code[6:8]) % 50:02d}", code[8:10]),
    ),
    NationalId(
        "es_dni",
        "a Spanish identity number (DNI, NIE)",
        r"\d{8}[ -]?[A-Za-z]|\d\d\.\d{3}\.\d{3}[ -]?[A-Za-z]|[XYZxyz][ -]?\d{7}[ -]?[A-Za-z]",
        is_dni,
    ),
    NationalId(
        "it_codice_fiscale",
        "an Italian codice fiscale",
        (
            rf"(?i:[A-Z]{{3}} ?[A-Z]{{3}} ?{_CODICE_FISCALE_DIGIT}{{2}}[ABCDEHLMPRST]{_CODICE_FISCALE_DIGIT}{{2}} "
            rf"?[A-Z]{_CODICE_FISCALE_DIGIT}{{3}}[A-Z])"
        ),
        is_codice_fiscale,
        has_letters=True,
    ),
    NationalId(
        "de_steuer_id",
        "a German tax identification number",
        r"\d\d \d{3} \d{3} \d{3}",
        is_steuer_id,
        cue=r"steuer-?id\w*|steuerliche identifikationsnummer|idnr|tax id\w*|tin",
        unseparated_pattern=r"\d{11}",
    ),
    NationalId("de_rvnr", "a German pension insurance number", r"\d\d ?\d{6} ?[A-Z] ?\d{3}", is_rvnr),
    NationalId(
        "fr_nir",
        "a French social security number (NIR)",
        r"[12][ .]?\d\d[ .]?(?:0[1-9]|1[0-2]|[2-9]\d)[ .]?(?:\d\d|2[AB])[ .]?\d{3}[ .]?\d{3}[ .]?\d\d",
        is_nir,
        has_letters=True,
    ),
    NationalId(
        "nl_bsn",
        "a Dutch citizen service number (BSN)",
        r"\d{9}|\d{4}\.\d\d\.\d{3}|\d{3}([ .-])\d{3}\1\d{3}",
        is_bsn,
        cue=r"bsn(?:-?nummer)?|burgerservice\w*|sofi\w*",
    ),
    NationalId(
        "be_nrn",
        "a Belgian national register number",
        r"\d\d\.\d\d\.\d\d[ -]\d{3}[.-]\d\d",
        is_belgian_nrn,
        cue=r"rijksregister\w*|registre national|national (?:register|number)|insz|niss",
        unseparated_pattern=r"\d{11}",
    ),
    NationalId("pt_nif", "a Portuguese tax number", r"\d{3} ?\d{3} ?\d{3}", is_nif, cue=r"nif|contribuinte|número fiscal"),
    NationalId("pl_pesel", "a Polish PESEL", r"\d{11}", is_pesel, cue=r"pesel\w*"),
    NationalId(
        "se_personnummer",
        "a Swedish personal number",
        r"(?:19|20)?\d{6}[-+]\d{4}",
        is_personnummer,
        cue=r"personnummer|personnr|samordningsnummer|personal (?:identity )?number",
        unseparated_pattern=r"(?:19|20)?\d{10}",
    ),
    NationalId("fi_hetu", "a Finnish personal identity code", r"\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]", is_hetu),
    NationalId("no_fodselsnummer", "a Norwegian birth number", r"\d{6} ?\d{5}", is_fodselsnummer),
    NationalId("dk_cpr", "a Danish personal number", r"\d{6}-?\d{4}", is_cpr, cue=r"cpr(?:-?(?:nummer|nr))?|personnummer"),
    NationalId("ch_ahv", "a Swiss social security number (AHV)", r"756[. ]?\d{4}[. ]?\d{4}[. ]?\d\d", is_ahv),
    NationalId(
        "at_svnr",
        "an Austrian social security number",
        r"\d{4} ?\d{6}",
        is_svnr,
        cue=r"sv-?(?:nr|nummer)|sozialversicherungs\w*|versicherungsnummer|social (?:security|insurance)",
    ),
    NationalId("ie_ppsn", "an Irish PPS number", r"\d{7}[A-W][A-IW]?", is_ppsn, cue=r"ppsn?"),
    NationalId("gr_amka", "a Greek social security number", r"\d{11}", is_amka, cue=r"amka|αμκα"),
    NationalId("cz_rodne_cislo", "a Czech or Slovak birth number", r"\d{6}/\d{4}", is_rodne_cislo),
    NationalId("ro_cnp", "a Romanian personal code", r"[1-8]\d{12}", is_cnp, cue=r"cnp|cod(?:ul)? numeric"),
    NationalId("bg_egn", "a Bulgarian personal number", r"\d{10}", is_egn, cue=r"egn|егн"),
    NationalId("ru_snils", "a Russian insurance number (SNILS)", r"\d{3}-\d{3}-\d{3}[ -]\d\d", is_snils),
    NationalId("tr_tckn", "a Turkish identity number", r"\d{11}", is_tckn, cue=r"t\.?c\.? ?(?:kimlik|no)\w*|tckn|kimlik\w*"),
)

_SSN_PATTERN = r"(?!000|666|9)\d{{3}}{0}(?!00)\d\d{1}(?!0000)\d{{4}}"
_MBI_LETTER = r"[AC-HJKMNP-RT-Y]"

NON_EUROPEAN_IDS = (
    NationalId("imei", "a telephone's serial number (IMEI)", r"\d{2}[ -]?\d{6}[ -]?\d{6}[ -]?\d", passes_luhn, cue=r"imei"),
    NationalId(
        "ssn",
        "a US social security number",
        _SSN_PATTERN.format("-", "-"),
        lambda number: True,
        cue=r"social security|ssn|soc\.? sec",
        unseparated_pattern=_SSN_PATTERN.format("([ .]?)", r"\1"),
    ),
    NationalId("us_itin", "a US taxpayer number (ITIN)", r"9\d\d-(?:5\d|6[0-5]|7\d|8[0-8]|9[0-24-9])-\d{4}", lambda number: True),
    NationalId(
        "us_mbi",
        "a US Medicare number",
        rf"[1-9]{_MBI_LETTER}(?:{_MBI_LETTER}|\d)\d-?{_MBI_LETTER}(?:{_MBI_LETTER}|\d)\d-?{_MBI_LETTER}{{2}}\d\d",
        lambda code: True,
        has_letters=True,
    ),
    NationalId("ca_sin", "a Canadian social insurance number", r"\d{3}([ -]?)\d{3}\1\d{3}", is_sin, cue=r"sin|social insurance|nas"),
    NationalId("br_cpf", "a Brazilian CPF", r"\d{3}\.\d{3}\.\d{3}-\d\d", is_cpf, cue=r"cpf", unseparated_pattern=r"\d{9}-?\d\d"),
    NationalId("ar_cuit", "an Argentine CUIL or CUIT of a person", r"2[0347]-\d{8}-\d", is_cuit),
    NationalId("cl_rut", "a Chilean RUT", r"\d{1,2}\.\d{3}\.\d{3}-[\dKk]", is_rut, cue=r"rut|run", unseparated_pattern=r"\d{7,8}-?[\dKk]"),
    NationalId("mx_curp", "a Mexican CURP", r"[A-Z][AEIOUX][A-Z]{2}\d{6}[HMX][A-Z]{5}[A-Z\d]\d", is_curp),
    NationalId(
        "in_aadhaar",
        "an Indian Aadhaar number",
        r"[2-9]\d{3}([ -])\d{4}\1\d{4}",
        is_aadhaar,
        cue=r"aadh?aa?r|uidai|uid",
        unseparated_pattern=r"[2-9]\d{11}",
    ),
    NationalId("in_pan", "an Indian tax number (PAN) of a person", r"[A-Z]{3}P[A-Z]\d{4}[A-Z]", lambda code: True, has_letters=True),
    NationalId("au_tfn", "an Australian tax file number", r"\d{3} ?\d{3} ?\d{2,3}", is_tfn, cue=r"tfn|tax file"),
    NationalId("au_medicare", "an Australian Medicare number", r"[2-6]\d{3} ?\d{5} ?\d(?:[ /-]?\d)?", is_medicare, cue=r"medicare"),
    NationalId("sg_nric", "a Singaporean NRIC or FIN", r"[STFGM]\d{7}[A-Z]", is_nric),
    NationalId(
        "hk_hkid",
        "a Hong Kong identity card",
        r"[A-Z]{1,2}\d{6}\([\dA]\)",
        is_hkid,
        cue=r"hkid|hong kong id\w*|身份證",
        unseparated_pattern=r"[A-Z]{1,2}\d{6}[\dA]",
    ),
    NationalId("cn_id", "a Chinese resident identity number", r"[1-9]\d{5}(?:19|20)\d{9}[\dXx]", is_chinese_id),
    NationalId("jp_my_number", "a Japanese My Number", r"\d{4}([ -]?)\d{4}\1\d{4}", is_my_number, cue=r"my ?number|マイナンバー|個人番号"),
    NationalId("kr_rrn", "a Korean resident registration number", r"\d{6}-[1-8]\d{6}", is_rrn),
    NationalId(
        "za_id",
        "a South African identity number",
        r"\d{13}|\d{6} \d{4} \d{3}",
        is_south_african_id,
        cue=r"id(?: ?(?:no|number))?|identity|south african",
    ),
    NationalId("il_id", "an Israeli identity number", r"\d{9}|\d{8}-\d", is_israeli_id, cue=r"teudat zehut|ת\.?\"?ז|israeli id\w*|id"),
)
