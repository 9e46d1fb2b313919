"""Telephone numbers: international, North American and national ones with a leading 0; others where words say that it is a phone.

Toll-free numbers are nobody's. What a number abroad may look like is the knowledge of `phonenumbers`, which carries the plans of
all countries; which numbers in a text are phones at all is ours, since a text in which orders, parcels and cases have numbers too
says it by the words around them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from preceptor.curation.personal.checksums import is_card
from preceptor.curation.personal.finding import Span

_NUMBER = re.compile(r"(?<![\w+(.,/$€£#-])\(?\+?\d(?:[\d ()\-/]|\.(?! )){5,}\d(?![\w%])")
_NANP = re.compile(r"(?:\+?1[ .-]?)?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])\d{3}[ .-]\d{4}")
_NATIONAL = re.compile(r"\(?0[1-9]\d{0,3}\)?(?:[ /-]{1,3}\d{2,8}){1,5}")
_SPACED = re.compile(r"0(?! 1 2 3)(?: [1-9])(?: \d){8,9}")  # digit by digit, and no counting
_ABROAD = re.compile(r"\(?00[1-9]")
_YEAR = r"(?:\d\d?/)?(?:1[89]|20)\d\d"
_DAY = r"(?:\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d\d)|\d{4}[./-]\d{1,2}[./-]\d{1,2})"
_DATE = re.compile(rf"\(?(?:{_DAY}(?: .*)?|{_YEAR} ?[-/] ?{_YEAR})\)?")
_CODE_BEFORE = re.compile(r"(?:[A-Z]\d|\d[A-Z])[A-Z\d]*[ -]$")  # 1Z 999 AA1 01 2345 6784
_TOLL_FREE = re.compile(
    r"(?:00)?1?8(?:00|33|44|55|66|77|88)\d{7}|(?:(?:0044|44)0?|0)80[08]\d{6,7}|(?:(?:0049|49)0?|0)800\d{6,8}|(?:(?:0033|33)0?|0)80\d{7}"
)
_SAYS_PHONE = re.compile(
    r"\b(?:(?:phone|telephone|tel|mobile|cell|whats ?app|fax|call(?:ing)?|dial|text(?:ing)?|ring|reach\w*)\b[^.?!;]{0,30}"
    r"|(?:telefon\w*|mobil\w*|handy\w*|rufnummer|t[ée]l[ée]phone|portable|tel[ée]fono|m[óo]vil|celular|cellulare|telefone|telemóvel|gsm|kom[óo]rk\w*)"
    r"[^.?!;]{0,30}|(?:her|his|their|my) (?:private |new |own )?(?:phone |mobile )?number\b[^.?!;]{0,20})$"
    r"|(?:电话|手机|電話|携帯|전화|тел\.?|телефон\w*|मोबाइल)[^.?!;]{0,20}$",
    re.I,
)
_SAYS_OTHER = re.compile(
    r"(?:order|invoice|ticket|case|claim|tracking|parcel|shipment|reference|ref|booking|confirmation|article|item|part|serial|model|"
    r"isbn|issn|doi|pmid|nct|sku|transaction|id|no|number|code|version|cas)[\s.:#-]*"
    r"(?:is |was |number |no\.? ?|id )?(?:,? (?:such as|like|for example|e\.g\.))?[\s:#(]*$",
    re.I,
)


def phones(text: str) -> Iterator[Span]:
    """Numbers in a plain text."""
    for found in _NUMBER.finditer(text):
        start, written = found.start(), found[0].strip()
        digits = re.sub(r"\D", "", written)
        before = text[max(0, start - 45) : start]
        if written.count("(") != written.count(")") or not 7 <= len(digits) <= 15 or _TOLL_FREE.fullmatch(digits):
            continue
        if is_card(digits) and not written.lstrip("( ").startswith("+"):
            continue
        if written.lstrip("( ").startswith("+"):
            is_phone = len(digits) >= 8 and is_in_a_plan(digits)
        elif _CODE_BEFORE.search(before) or (_SAYS_OTHER.search(before) and not _SAYS_PHONE.search(before)):
            is_phone = False
        elif _is_written_as_phone(written, len(digits)):
            is_phone = True
        else:
            is_phone = bool(_SAYS_PHONE.search(before)) and not _DATE.fullmatch(written)
        if is_phone:
            yield start, start + len(found[0].rstrip())


def _is_written_as_phone(written: str, digits: int) -> bool:
    if _NANP.fullmatch(written) or _SPACED.fullmatch(written):
        return True
    if _DATE.fullmatch(written):
        return False
    return bool(_ABROAD.match(written) and digits >= 10) or bool(_NATIONAL.fullmatch(written) and 9 <= digits <= 12)


def national_number(written: str) -> str:
    """The digits without the country's prefix and the zero that some countries put before: the same for one line, home and abroad."""
    digits = re.sub(r"\D", "", re.sub(r"\(0\)", "", written))
    if "+" in written or digits.startswith("00"):
        digits = _at_home(digits.removeprefix("00") if "+" not in written else digits) or digits
    elif len(digits) == 11 and digits[0] == "1":
        digits = digits[1:]
    return digits.lstrip("0")


def is_in_a_plan(digits: str) -> bool:
    """Whether an international number's country exists and has numbers of that length."""
    import phonenumbers

    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(f"+{digits}"))
    except phonenumbers.NumberParseException:
        return False


def _at_home(digits: str) -> str:
    """An international number without its country's prefix; nothing where no country has it."""
    import phonenumbers

    try:
        return str(phonenumbers.parse(f"+{digits}").national_number)
    except phonenumbers.NumberParseException:
        return ""
