"""What words say that it is: dates of birth, numbers of patients, passports, licences and accounts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from preceptor.curation.personal.finding import Span
from preceptor.curation.personal.national.checks import is_passport_line

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
_SOMEBODY = r"(?:patient|customer|client|member|tenant|claimant|policy ?holder|account holder|m(?:r|rs|s|iss)\b)"
_BIRTH = re.compile(
    rf"(?:\b(?:(?:date of birth|birth ?date|d\.?o\.?b\b\.?|birthday|geburts(?:datum|tag)|geb\.|date de naissance|fecha de nacimiento|"
    rf"data di nascita|data de nascimento|geboortedatum|data urodzenia|född(?:elsedatum)?)[^.?!;\d]{{0,25}}?|"
    rf"{_SOMEBODY}[^?!;]{{0,50}}?\bborn (?:on |in )?"
    rf"|(?:i was born(?: on)?|ich bin(?: am)?|geboren(?: am)?|née? le|nací el|nacid[oa] el|nat[oa] il|nasci(?:do|da)? (?:em|a)) "
    rf"|geboren op )|生年月日[:: ]*|出生日期[:: ]*)({_ANY_DATE})",
    re.I,
)
_RECORD = re.compile(
    r"\b(?:mrn|medical record|patient (?:id|no|number|record)|nhs (?:no|number)|passport|driver'?s? licen[cs]e|driving licen[cs]e|"
    r"(?:bank )?account (?:no|number)|acct|insurance (?:id|no|number)|member(?:ship)? (?:id|no|number)|tax (?:id|no|number)|"
    r"sort code|routing (?:no|number))"
    r"(?:\.| number| no\.?| id)?(?:\W{0,3}|\W{1,3}(?:is|was|ends in)\W{1,3})((?=[a-z-]{0,4}\d)[a-z]{0,3}[\d-][\da-z -]{3,}\d)(?!\w)",
    re.I,
)
_PASSPORT = re.compile(
    r"(?:passport|reisepass|passeport|pasaporte|passaporto|passaporte|paspoort|paszport|护照|パスポート)(?:-?nummer|nummer)?"
    r"(?: card| book| number| no\.?| nr\.?| n[°º]\.?| num[ée]ro| número| id|号码|番号)*(?:\W{0,3}|\W{1,3}(?:is|was|ist|est|es|è|é)\W{1,3})"
    r"((?=[A-Z]{0,3}\d)[A-Z]{0,3}\d[A-Z0-9]{4,9})(?!\w)",
    re.I,
)
_PASSPORT_LINE = re.compile(r"(?<!\w)[A-Z0-9<]{9}\d[A-Z<]{3}\d{7}[MFX<]\d{7}[A-Z0-9<]{14}[0-9<]\d(?!\w)")
_MEDICAL = re.compile(
    r"\b(?:medical record|patient(?:en)?|hospital|chart|krankenversicherten|versicherten|fallnummer|health (?:card|insurance)|"
    r"dossier (?:médical|patient)|historia cl[ií]nica|expediente m[ée]dico|cartella clinica|prontuário)"
    r"(?:nummer|-?nr\.?| (?:id|no\.?|nr\.?|number|record|file|identifier|n[°º]\.?|número|numero|#))+"
    r"(?:\W{1,3}|\W{1,3}(?:is|was|ist|est|es|è)\W{1,3})"
    r"((?=[A-Z-]{0,4}\d)[A-Z]{0,4}-?\d[\dA-Z-]{3,14})(?![\w-])",
    re.I,
)
_ACCOUNT = re.compile(
    r"(?:kontonummer|kontonr\.?|konto-nr\.?|num[ée]ro de compte|compte n[°º]|número de cuenta|cuenta n[°º]|numero di conto|"
    r"rekeningnummer|número da conta|bankleitzahl|sort code|routing(?: number)?|führerschein(?:nummer)?|"
    r"permis de conduire|permiso de conducir)"
    r"\W{1,3}(?:ist |lautet |est |es |è |is )?((?=[A-Z]{0,2}\d)[\dA-Z][\dA-Z -]{3,20}[\dA-Z])(?!\w)",
    re.I,
)


def birth_dates(text: str) -> Iterator[Span]:
    """Dates that are said to be of birth."""
    return (found.span(1) for found in _BIRTH.finditer(text))


def records(text: str) -> Iterator[Span]:
    """Numbers of patients, passports, licences and accounts."""
    for form in (_RECORD, _MEDICAL, _ACCOUNT):
        yield from (found.span(1) for found in form.finditer(text))


def passports(text: str) -> Iterator[Span]:
    """Numbers that are said to be of a passport, and the second line that machines read of one."""
    yield from (found.span(1) for found in _PASSPORT.finditer(text))
    yield from (found.span() for found in _PASSPORT_LINE.finditer(text) if is_passport_line(found[0]))
