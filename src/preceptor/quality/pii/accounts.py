"""Find accounts, records and secrets: payment cards, bank accounts, machine addresses, record numbers, keys and passwords.

Cards are recognised by scheme, length and check digit, bank accounts by country, length and checksum, and dates of birth and numbers of
patients, passports, licences and accounts by the words before them. Keys and passwords open an account for whoever reads them; services
give theirs a prefix so that they can be found.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections import Counter
from collections.abc import Iterator

from preceptor.quality.pii.national_ids import TextSpan, is_passport_mrz_line, passes_luhn

_CARD_LENGTHS = (  # first and last prefix of a range; lengths of its numbers (ISO/IEC 7812, the schemes' own tables)
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
_COUNTRIES_BY_IBAN_LENGTH = """
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
_IBAN_LENGTHS = {
    country: int(length) for length, *countries in map(str.split, _COUNTRIES_BY_IBAN_LENGTH.strip().splitlines()) for country in countries
}


def is_card(digits: str) -> bool:
    """Return whether digits are a payment card's number: a scheme's prefix, its length, and the check digit."""
    fits = any(first <= digits[: len(first)] <= last and len(digits) in lengths for first, last, lengths in _CARD_LENGTHS)
    return fits and passes_luhn(digits)


def is_iban(letters: str) -> bool:
    """Return whether letters and digits without spaces are an account number of ISO 13616: its country's length, and remainder 97."""
    upper = letters.upper()
    if not upper.isascii() or len(upper) != _IBAN_LENGTHS.get(upper[:2]):
        return False
    moved = upper[4:] + upper[:4]
    return int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1


_CARD = re.compile(r"(?<![\d.,])(?<!\d\d[ -])(?<!\W\d[ -])\d(?:[ .-]?\d){12,}(?![\d])(?![.,]\d)")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d\d(?=[ -]?[A-Za-z0-9])")


def find_cards(text: str) -> Iterator[TextSpan]:
    """Find card numbers in a plain text; the longest that ends where a group of digits ends."""
    for run in _CARD.finditer(text):
        start = run.start()
        while found := next((end for end in _possible_ends(text, start, run.end()) if is_card(re.sub(r"\D", "", text[start:end]))), 0):
            yield start, found
            start = found + 1


def _possible_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Yield where a number from `start` on may end within a run of digits and separators, the farthest first."""
    for at in range(min(start + 38, end), start + 12, -1):
        if text[at - 1].isdigit() and (at == end or text[at] == " "):
            yield at


def find_ibans(text: str) -> Iterator[TextSpan]:
    """Find bank account numbers (IBAN) in a plain text, with or without separators."""
    for found in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(found[0][:2].upper())
        whole = (
            re.compile(rf"[A-Za-z0-9](?:[ -]?[A-Za-z0-9]){{{length - 1}}}(?![A-Za-z0-9])").match(text, found.start()) if length else None
        )
        if whole and is_iban(re.sub(r"[ -]", "", whole[0])):
            yield whole.span()


_V4 = re.compile(r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?![\w-])(?!\.\d)")
_V6 = re.compile(r"(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3}|(?<=:):?)(?![\w:])", re.I)
_VERSION_BEFORE = re.compile(r"(?:version|versions|v\.?|release|chapter|section|§|article|clause|figure|table|ec|oid)\s*$", re.I)
_MAC_PATTERN = re.compile(
    r"(?<![\w:-])(?:[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4})(?![\w:-])", re.I
)
_LOGIN_PATTERN = re.compile(r"\b[a-z][a-z+.-]{1,20}://[^\s/:@\"'<>]{1,80}:([^\s@\"'<>]{1,120})@[^\s\"'<>]{2,}", re.I)
_EXAMPLE_PASSWORD = re.compile(r"[<{\[(]|pass(?:word)?|pwd|secret|x+|\*+", re.I)


def find_ip_addresses(text: str) -> Iterator[TextSpan]:
    """Find public internet addresses, which may identify a household; private, reserved and multicast ones identify nobody."""
    for form in (_V4, _V6):
        for found in form.finditer(text):
            if _is_public_address(found[0]) and not _VERSION_BEFORE.search(text[max(0, found.start() - 12) : found.start()]):
                yield found.span()


def find_mac_addresses(text: str) -> Iterator[TextSpan]:
    """Find addresses of network cards; all zeros and all ones belong to nobody."""
    return (found.span() for found in _MAC_PATTERN.finditer(text) if len(set(re.sub(r"\W", "", found[0]).lower())) > 1)


def find_url_logins(text: str) -> Iterator[TextSpan]:
    """Find links with a user and a password before the host; a placeholder is no password."""
    return (
        found.span() for found in _LOGIN_PATTERN.finditer(text) if not _EXAMPLE_PASSWORD.fullmatch(found[1]) and found[1][0] not in "<{[$"
    )


def _is_public_address(written: str) -> bool:
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return False
    return not (not address.is_global or address.is_multicast or len(written) < 7)


BIRTH_WORDS = frozenset(
    [
        *(
            "birth",
            "birthdate",
            "birthday",
            "dob",
            "b",
            "born",
            "geburtsdatum",
            "geburtstag",
            "geb",
            "naissance",
            "née",
            "né",
            "nacimiento",
        ),
        *(
            "nacimiento",
            "nascita",
            "nascimento",
            "geboortedatum",
            "urodzenia",
            "född",
            "födelsedatum",
            "geboren",
            "nací",
            "nacido",
            "nacida",
        ),
        *("nato", "nata", "nascido", "nascida", "nasci", "bin"),
    ]
)
RECORD_WORDS = frozenset(
    [
        *("mrn", "medical", "patient", "patienten", "patientennummer", "nhs", "passport", "driver", "drivers", "driving"),
        *("account", "acct", "insurance", "member", "membership", "tax", "sort", "routing", "hospital", "chart"),
        *("krankenversicherten", "krankenversichertennummer", "versicherten", "versichertennummer", "fallnummer", "health"),
        *("dossier", "historia", "expediente", "cartella", "prontuário", "kontonummer", "kontonr", "konto", "compte", "cuenta"),
        *("conto", "rekeningnummer", "conta", "bankleitzahl", "führerschein", "führerscheinnummer", "permis", "permiso"),
    ]
)
"""Without one of these, in lower case, no date is said to be of birth, and no number to be of a record."""

_MONTH = (
    r"(?:jan|feb|mar|mär|apr|may|mai|maggio|mayo|jun|juin|jul|juil|aug|août|sep|oct|okt|nov|dec|dez|déc|enero|abril|agosto|diciembre|"
    r"ene|abr|ago|dic|gen|giu|lug|set|ott|fév|avr)[^\W\d_]*\.?"
)
_ANY_DATE = (
    rf"(?:\d{{1,2}}[./-]\d{{1,2}}[./-]\d{{2,4}}|\d{{4}}[./-]\d{{1,2}}[./-]\d{{1,2}}|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}|"
    rf"\d{{1,2}}(?:st|nd|rd|th|er|\.)?(?: of| de)? {_MONTH},?(?: de)? \d{{4}}|\d{{4}}年\d{{1,2}}月\d{{1,2}}日|"
    r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d))"
)
_PERSON_ROLE = r"(?:patient|customer|client|member|tenant|claimant|policy ?holder|account holder|m(?:r|rs|s|iss)\b)"
_BIRTH_DATE_PATTERN = re.compile(
    rf"(?:\b(?:(?:date of birth|birth ?date|d\.?o\.?b\b\.?|birthday|geburts(?:datum|tag)|geb\.|date de naissance|fecha de nacimiento|"
    rf"data di nascita|data de nascimento|geboortedatum|data urodzenia|född(?:elsedatum)?)[^.?!;\d]{{0,25}}?|"
    rf"{_PERSON_ROLE}[^?!;]{{0,50}}?\bborn (?:on |in )?"
    rf"|(?:i was born(?: on)?|ich bin(?: am)?|geboren(?: am)?|née? le|nací el|nacid[oa] el|nat[oa] il|nasci(?:do|da)? (?:em|a)) "
    rf"|geboren op )|生年月日[:: ]*|出生日期[:: ]*)({_ANY_DATE})",
    re.I,
)
_RECORD_PATTERN = re.compile(
    r"\b(?:mrn|medical record|patient (?:id|no|number|record)|nhs (?:no|number)|passport|driver'?s? licen[cs]e|driving licen[cs]e|"
    r"(?:bank )?account (?:no|number)|acct|insurance (?:id|no|number)|member(?:ship)? (?:id|no|number)|tax (?:id|no|number)|"
    r"sort code|routing (?:no|number))"
    r"(?:\.| number| no\.?| id)?(?:\W{0,3}|\W{1,3}(?:is|was|ends in)\W{1,3})((?=[a-z-]{0,4}\d)[a-z]{0,3}[\d-][\da-z -]{3,}\d)(?!\w)",
    re.I,
)
_PASSPORT_PATTERN = re.compile(
    r"(?:passport|reisepass|passeport|pasaporte|passaporto|passaporte|paspoort|paszport|护照|パスポート)(?:-?nummer|nummer)?"
    r"(?: card| book| number| no\.?| nr\.?| n[°º]\.?| num[ée]ro| número| id|号码|番号)*(?:\W{0,3}|\W{1,3}(?:is|was|ist|est|es|è|é)\W{1,3})"
    r"((?=[A-Z]{0,3}\d)[A-Z]{0,3}\d[A-Z0-9]{4,9})(?!\w)",
    re.I,
)
_PASSPORT_MRZ_PATTERN = re.compile(r"(?<!\w)[A-Z0-9<]{9}\d[A-Z<]{3}\d{7}[MFX<]\d{7}[A-Z0-9<]{14}[0-9<]\d(?!\w)")
_MEDICAL_PATTERN = re.compile(
    r"\b(?:medical record|patient(?:en)?|hospital|chart|krankenversicherten|versicherten|fallnummer|health (?:card|insurance)|"
    r"dossier (?:médical|patient)|historia cl[ií]nica|expediente m[ée]dico|cartella clinica|prontuário)"
    r"(?:nummer|-?nr\.?| (?:id|no\.?|nr\.?|number|record|file|identifier|n[°º]\.?|número|numero|#))+"
    r"(?:\W{1,3}|\W{1,3}(?:is|was|ist|est|es|è)\W{1,3})"
    r"((?=[A-Z-]{0,4}\d)[A-Z]{0,4}-?\d[\dA-Z-]{3,14})(?![\w-])",
    re.I,
)
_ACCOUNT_PATTERN = re.compile(
    r"(?:kontonummer|kontonr\.?|konto-nr\.?|num[ée]ro de compte|compte n[°º]|número de cuenta|cuenta n[°º]|numero di conto|"
    r"rekeningnummer|número da conta|bankleitzahl|sort code|routing(?: number)?|führerschein(?:nummer)?|"
    r"permis de conduire|permiso de conducir)"
    r"\W{1,3}(?:ist |lautet |est |es |è |is )?((?=[A-Z]{0,2}\d)[\dA-Z][\dA-Z -]{3,20}[\dA-Z])(?!\w)",
    re.I,
)


def find_birth_dates(text: str) -> Iterator[TextSpan]:
    """Find dates that the text calls dates of birth."""
    return (found.span(1) for found in _BIRTH_DATE_PATTERN.finditer(text))


def find_record_numbers(text: str) -> Iterator[TextSpan]:
    """Find numbers of patients, passports, licences and accounts."""
    for form in (_RECORD_PATTERN, _MEDICAL_PATTERN, _ACCOUNT_PATTERN):
        yield from (found.span(1) for found in form.finditer(text))


def find_passport_numbers(text: str) -> Iterator[TextSpan]:
    """Find numbers that the text calls a passport's, and the second machine-readable line of a passport."""
    yield from (found.span(1) for found in _PASSPORT_PATTERN.finditer(text))
    yield from (found.span() for found in _PASSPORT_MRZ_PATTERN.finditer(text) if is_passport_mrz_line(found[0]))


_TOKEN_FORMS = (
    r"(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z2-7]{16}",  # AWS
    r"gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9_]{40,120}",
    r"glpat-[\w-]{20,60}",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,250}|xapp-\d-[A-Za-z0-9-]{10,250}",
    r"https://hooks\.slack\.com/services/T\w{6,14}/B\w{6,14}/\w{20,30}",
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,250}|whsec_[A-Za-z0-9+/=]{20,80}",
    r"sk-(?:ant-|proj-|svcacct-|or-v1-)?[A-Za-z0-9_-]{20,250}",
    r"AIza[\w-]{35}|ya29\.[\w-]{20,250}|GOCSPX-[\w-]{20,40}",
    r"hf_[A-Za-z0-9]{30,40}",
    r"npm_[A-Za-z0-9]{36}|pypi-AgE[\w-]{50,250}",
    r"SG\.[\w-]{16,32}\.[\w-]{32,64}",
    r"(?:AC|SK)[0-9a-f]{32}",  # Twilio
    r"key-[0-9a-f]{32}",  # Mailgun
    r"\d{8,10}:AA[\w-]{33}",  # Telegram
    r"[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27,40}",  # Discord
    r"dop_v1_[0-9a-f]{64}|dapi[0-9a-f]{32}|shp(?:at|ss|ca|pa)_[0-9a-fA-F]{32}|EAA[A-Za-z0-9]{80,250}|sq0(?:atp|csp)-[\w-]{22,43}",
    r"eyJ[\w-]{10,1000}\.eyJ[\w-]{10,4000}\.[\w-]{10,1000}",  # JSON Web Token
    r"(?<=AccountKey=)[A-Za-z0-9+/]{60,100}={0,2}",
)
_TOKEN_PATTERN = re.compile(rf"(?<![\w/+-])(?:{'|'.join(_TOKEN_FORMS)})(?![\w-])")
_PRIVATE_KEY_PATTERN = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)", re.S
)
_STATED_SECRET_PATTERN = re.compile(
    r"(?<![A-Za-z])(?:pass(?:word|wd|phrase|code)?|pwd|passwort|kennwort|mot de passe|contraseña|senha|wachtwoord|"
    r"pin(?: ?(?:code|number))?|"
    r"secret(?:[_ -]?(?:access)?[_ -]?key)?|api[_ -]?(?:key|token|secret)|(?:access|auth|bearer)[_ -]?(?:token|key)|client[_ -]?secret|"
    r"token)['\"]?(?:\s*(?:=|:(?!//))\s*|\s+(?:is|was|ist|lautet|est|es|é)\s*:?\s+)['\"`]?([^\s'\"`<>{}\[\](),;]{4,200})",
    re.I,
)
_SECRET_WORDS = ("pass", "pwd", "kennwort", "contraseña", "senha", "wachtwoord", "pin", "secret", "key", "token")
_LONG_TOKEN_PATTERN = re.compile(r"[\w./+-]{18}|-----BEGIN")
_BEARER_PATTERN = re.compile(r"\bBearer ([\w.~+/-]{20,2000}=*)")
_MIN_ENTROPY = 2.5  # bits per character: a repeated word, or x's, are placeholders


def find_secrets(text: str) -> Iterator[TextSpan]:
    """Find keys, tokens and passwords in an original text."""
    if _LONG_TOKEN_PATTERN.search(text):
        for form in (_TOKEN_PATTERN, _PRIVATE_KEY_PATTERN):
            yield from (found.span() for found in form.finditer(text) if _is_random(found[0], 2.0))
    lower = text.lower()
    for found in _STATED_SECRET_PATTERN.finditer(text) if any(word in lower for word in _SECRET_WORDS) else ():
        value = found[1].rstrip(".!?:")
        if _is_password(value) or (found[0].lower().startswith("pin") and re.fullmatch(r"\d{4,8}", value)):
            yield found.start(1), found.start(1) + len(value)
    yield from (found.span(1) for found in _BEARER_PATTERN.finditer(text) if _is_random(found[1], _MIN_ENTROPY))


def _is_password(value: str) -> bool:
    """Return whether a value mixes letters with digits or signs, so that it is no word of a sentence, and isn't repetitive."""
    kinds = sum(bool(re.search(kind, value)) for kind in (r"[^\W\d_]", r"\d", r"[^\w\s]|_"))
    return len(value) >= 6 and kinds >= 2 and bool(re.search(r"\d|[!@#$%^&*?~+=]", value)) and _is_random(value, 2.0)


def _is_random(value: str, least: float) -> bool:
    """Return whether the entropy of the characters is at least `least` bits each."""
    shares = (count / len(value) for count in Counter(value).values())
    return -sum(share * math.log2(share) for share in shares) >= least
