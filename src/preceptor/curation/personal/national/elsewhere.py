"""Numbers of countries outside Europe, and of telephones, which all countries share."""

from __future__ import annotations

from preceptor.curation.personal.checksums import luhn
from preceptor.curation.personal.national import checks
from preceptor.curation.personal.national.number import Number

_SSN = r"(?!000|666|9)\d{{3}}{0}(?!00)\d\d{1}(?!0000)\d{{4}}"
_MBI = r"[AC-HJKMNP-RT-Y]"

ELSEWHERE = (
    Number("imei", "a telephone's serial number (IMEI)", r"\d{2}[ -]?\d{6}[ -]?\d{6}[ -]?\d", luhn, cue=r"imei"),
    Number(
        "ssn",
        "a US social security number",
        _SSN.format("-", "-"),
        lambda number: True,
        cue=r"social security|ssn|soc\.? sec",
        bare=_SSN.format("([ .]?)", r"\1"),
    ),
    Number("us_itin", "a US taxpayer number (ITIN)", r"9\d\d-(?:5\d|6[0-5]|7\d|8[0-8]|9[0-24-9])-\d{4}", lambda number: True),
    Number(
        "us_mbi",
        "a US Medicare number",
        rf"[1-9]{_MBI}(?:{_MBI}|\d)\d-?{_MBI}(?:{_MBI}|\d)\d-?{_MBI}{{2}}\d\d",
        lambda code: True,
        mixed=True,
    ),
    Number("ca_sin", "a Canadian social insurance number", r"\d{3}([ -]?)\d{3}\1\d{3}", checks.is_sin, cue=r"sin|social insurance|nas"),
    Number("br_cpf", "a Brazilian CPF", r"\d{3}\.\d{3}\.\d{3}-\d\d", checks.is_cpf, cue=r"cpf", bare=r"\d{9}-?\d\d"),
    Number("ar_cuit", "an Argentine CUIL or CUIT of a person", r"2[0347]-\d{8}-\d", checks.is_cuit),
    Number("cl_rut", "a Chilean RUT", r"\d{1,2}\.\d{3}\.\d{3}-[\dKk]", checks.is_rut, cue=r"rut|run", bare=r"\d{7,8}-?[\dKk]"),
    Number("mx_curp", "a Mexican CURP", r"[A-Z][AEIOUX][A-Z]{2}\d{6}[HMX][A-Z]{5}[A-Z\d]\d", checks.is_curp),
    Number(
        "in_aadhaar",
        "an Indian Aadhaar number",
        r"[2-9]\d{3}([ -])\d{4}\1\d{4}",
        checks.is_aadhaar,
        cue=r"aadh?aa?r|uidai|uid",
        bare=r"[2-9]\d{11}",
    ),
    Number("in_pan", "an Indian tax number (PAN) of a person", r"[A-Z]{3}P[A-Z]\d{4}[A-Z]", lambda code: True, mixed=True),
    Number("au_tfn", "an Australian tax file number", r"\d{3} ?\d{3} ?\d{2,3}", checks.is_tfn, cue=r"tfn|tax file"),
    Number("au_medicare", "an Australian Medicare number", r"[2-6]\d{3} ?\d{5} ?\d(?:[ /-]?\d)?", checks.is_medicare, cue=r"medicare"),
    Number("sg_nric", "a Singaporean NRIC or FIN", r"[STFGM]\d{7}[A-Z]", checks.is_nric),
    Number(
        "hk_hkid",
        "a Hong Kong identity card",
        r"[A-Z]{1,2}\d{6}\([\dA]\)",
        checks.is_hkid,
        cue=r"hkid|hong kong id\w*|身份證",
        bare=r"[A-Z]{1,2}\d{6}[\dA]",
    ),
    Number("cn_id", "a Chinese resident identity number", r"[1-9]\d{5}(?:19|20)\d{9}[\dXx]", checks.is_chinese),
    Number(
        "jp_my_number", "a Japanese My Number", r"\d{4}([ -]?)\d{4}\1\d{4}", checks.is_my_number, cue=r"my ?number|マイナンバー|個人番号"
    ),
    Number("kr_rrn", "a Korean resident registration number", r"\d{6}-[1-8]\d{6}", checks.is_rrn),
    Number(
        "za_id",
        "a South African identity number",
        r"\d{13}|\d{6} \d{4} \d{3}",
        checks.is_south_african,
        cue=r"id(?: ?(?:no|number))?|identity|south african",
    ),
    Number("il_id", "an Israeli identity number", r"\d{9}|\d{8}-\d", checks.is_israeli, cue=r"teudat zehut|ת\.?\"?ז|israeli id\w*|id"),
)
