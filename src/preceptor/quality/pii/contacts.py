"""Find how a person is named and reached: names, postal and e-mail addresses, telephone numbers, social handles.

A house and street count beside words that say somebody lives there; a whole postal address needs no such words. E-mail addresses may be
written as `jane (at) example (dot) com`; role mailboxes (support@, info@) belong to no person. Handles count where the text says they are
the writer's or a user's: a bare @name may be a person's or a company's.

Names are found where words indicate one: a title before it, a greeting, a signature, a self-introduction. Most names in a text have no such
words around them, and only a model finds those; these rules favour precision.

Telephone numbers are international, North American and national ones with a leading 0; others where words say that it is a phone. Toll-free
numbers belong to no person. `phonenumbers` knows the plans of all countries; which numbers in a text are phones is decided here by the
words around them, since orders, parcels and cases have numbers too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from preceptor.quality.pii.accounts import is_card
from preceptor.quality.pii.national_ids import TextSpan

_STREET = re.compile(
    r"\b\d{1,5}[A-Za-z]?,? (?:[NSEW]\.? )?(?:(?:[A-Z][\w'.-]+|\d+(?:st|nd|rd|th)) ){1,3}"
    r"(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Way|Place|Pl|Terrace|Square|Close|Crescent)\b"
)
_LIVES_PATTERN = re.compile(
    r"(?:lives?|living|lived|resid\w+|moved|home|residence|(?:his|her|their|your|whose|customer's|patient's|client's) (?:\w+ )?address|"
    r"address (?:on file|is|we have)|(?:customer|patient|client|tenant|neighbou?r) (?:at|in|of)|"
    r"(?:ship|deliver|send|sent|post)(?:ped|ed)? (?:it )?to)\b[^.?!;]{0,50}$",
    re.I,
)
_TOWN = r"[A-ZÀ-Þ][\w.'-]+(?: [A-ZÀ-Þ][\w.'-]+| (?:am|an der|im|sur|de|la|le|les|upon|del|den) [A-ZÀ-Þ][\w'-]+){0,3}"
_ZIP = (
    r"(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]) "
    r"\d{5}(?:-\d{4})?"
)
_POSTCODE = r"[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}"
_CANADIAN = r"[ABCEGHJ-NPRSTVXY]\d[A-Z] ?\d[A-Z]\d"
_AUSTRALIAN = r"(?:NSW|VIC|QLD|WA|SA|TAS|ACT|NT) \d{4}"
_HOUSE_NUMBER = r"(?:\d{1,5}[a-zA-Z]?(?:[-/]\d{1,4})?)"
_FLAT = r"(?:,? (?:Apt|Apartment|Unit|Suite|Ste|Flat|Floor|#)\.? ?#?\w{1,5})?"
_POSTAL_PATTERNS = (
    re.compile(rf"{_STREET.pattern}\.?{_FLAT},? {_TOWN},? (?:[A-Z]{{2,3}} ?,? )?(?:{_ZIP}|{_POSTCODE}|{_CANADIAN}|{_AUSTRALIAN})\b"),
    re.compile(  # Hauptstraße 12, 10115 Berlin
        rf"\b[A-ZÄÖÜ][\w.-]*(?:straße|strasse|str\.|weg|platz|allee|gasse|ring|damm|ufer|straat|laan|weg|gracht|gatan|vägen|gade|vej|gata)"
        rf" {_HOUSE_NUMBER},? (?:[A-Z]{{1,2}}-)?(?:\d{{3}} \d\d|\d{{4,5}}(?: ?[A-Z]{{2}})?) {_TOWN}"
    ),
    re.compile(  # 12 bis, rue de Rivoli, 75001 Paris
        rf"\b{_HOUSE_NUMBER}(?: bis| ter)?,? (?:rue|avenue|av\.|boulevard|bd|place|chemin|allée|impasse|quai|cours|route) "
        rf"[\w' .-]{{2,40}}?,? \d{{5}} {_TOWN}",
        re.I,
    ),
    re.compile(  # Calle Mayor, 5, 28013 Madrid · Via Roma 10, 00184 Roma · Rua Augusta, 1500, 01304-001 São Paulo
        rf"\b(?:calle|c/|avenida|avda\.?|plaza|paseo|via|viale|corso|piazza|vicolo|rua|travessa|praça|ul\.|aleja) ?"
        rf"[\w' .-]{{2,40}}?,? (?:n[°º.]* ?)?{_HOUSE_NUMBER}"
        rf"(?:,? \d{{1,2}}[ºª°]? ?\w{{0,4}})?,? (?:[\w' ]{{2,20}}, )?(?:\d{{5}}|\d{{5}}-\d{{3}}|\d{{4}}-\d{{3}}|\d\d-\d{{3}}),? {_TOWN}",
        re.I,
    ),
    re.compile(r"\bP\.? ?O\.? ?Box \d{1,6},? " + _TOWN + rf",? (?:{_ZIP}|{_POSTCODE}|{_CANADIAN}|{_AUSTRALIAN})\b"),
)


def find_home_addresses(text: str) -> Iterator[TextSpan]:
    """Find a house and street where words say that somebody lives there."""
    return (found.span() for found in _STREET.finditer(text) if _LIVES_PATTERN.search(text[max(0, found.start() - 80) : found.start()]))


def find_postal_addresses(text: str) -> Iterator[TextSpan]:
    """Find house, street, postcode and town, whoever lives there; an address may run over lines."""
    one_line = re.sub(r"[\n\r\v\f\x85\u2028\u2029\u00a0]", " ", text)
    return (found.span() for form in _POSTAL_PATTERNS for found in form.finditer(one_line))


_LOCAL, _DOMAIN = r"[\w.+%'-]{0,63}\w", r"\w(?:[\w-]{0,61}\w)?"
_TOP_LEVEL_DOMAIN = r"com|org|net|edu|gov|io|co|uk|de|fr|es|it|nl|eu|info|me|ca|au|us|ch|at|in"
_AT, _DOT = r"\s*[(\[{<]\s*at\s*[)\]}>]\s*", r"\s*(?:\.|[(\[{<]\s*dot\s*[)\]}>]|\sdot\s)\s*"
_EMAIL_PATTERNS = [  # a cheap pre-check, then the costly pattern
    (re.compile(r"@|[(\[{<]\s*at\b", re.I), re.compile(rf"(?<![\w.@+%-])({_LOCAL})(?:@| @ |{_AT})({_DOMAIN}(?:\.{_DOMAIN})+)", re.I)),
    (
        re.compile(r"[(\[{<]\s*at\b", re.I),
        re.compile(rf"(?<![\w.@+%-])({_LOCAL}){_AT}({_DOMAIN}(?:{_DOT}{_DOMAIN}){{0,4}}{_DOT}(?:{_TOP_LEVEL_DOMAIN}))\b", re.I),
    ),
    (
        re.compile(r" dot ", re.I),
        re.compile(
            rf"\b(\w+(?: (?:dot|underscore|dash) \w+){{0,5}}) at ({_DOMAIN}(?: dot {_DOMAIN}){{0,4}} dot (?:{_TOP_LEVEL_DOMAIN}))\b", re.I
        ),
    ),
]
_ROLE_MAILBOX = re.compile(
    r"(?:abuse|accounts?|admin|appointments?|billing|bookings?|care|careers|claims|clients?|complaints?|compliance|contact(?:us)?|"
    r"customers?(?:[._-]?(?:care|service|services|support))?|disputes?|dpo|enquir(?:y|ies)|feedback|finance|fraud|hello|help(?:desk)?|hr|"
    r"info|inquir(?:y|ies)|jobs|legal|mail|marketing|media|members?|news(?:letter)?|no-?reply|office|orders?|payments?|postmaster|press|"
    r"privacy|reception|refunds?|returns?|sales|security|service|services|shop|support|team|tech|webmaster|welcome)",
    re.IGNORECASE,
)
_LINK_BEFORE = re.compile(r"://[^\s/]*$")  # before @ in a link stands a login


def find_emails(text: str) -> Iterator[TextSpan]:
    """Find e-mail addresses of people in a plain text."""
    seen = set[TextSpan]()
    for sign, form in _EMAIL_PATTERNS:
        for found in form.finditer(text) if sign.search(text) else ():
            if (
                not _ROLE_MAILBOX.fullmatch(found[1])
                and found.span() not in seen
                and not _LINK_BEFORE.search(text, max(0, found.start() - 80), found.start())
            ):
                seen.add(found.span())
                yield found.span()


_NETWORK = (
    r"(?:twitter|insta(?:gram)?|tik ?tok|telegram|snap(?:chat)?|discord|facebook|linkedin|you ?tube|threads|mastodon|bluesky|twitch|"
    r"reddit|git ?hub|skype|x)"
)
_ACCOUNT_WORD = r"(?: (?:handle|user ?name|user|name|nick(?:name)?|account|profile|page|id))?"
_POSSESSIVE = r"(?:my|mein(?:e[nmr]?)?|mon|mi|il mio|mijn|meu)"
_IS = r"(?: ?[:=] ?| (?:is|ist|est|es|è|é) )"
_HANDLE_NAME = r"(@\w[\w.]{1,29}(?<!\.))(?![\w@])"
_OWN_HANDLE = rf"{_POSSESSIVE} (?:{_NETWORK}{_ACCOUNT_WORD}|handle|user ?name)(?:{_IS}| )"
_HANDLE_FIELD = rf"{_NETWORK} (?:handle|user ?name){_IS}"
_CONTACT_ME = (
    r"(?:follow|dm|pm|message|add|text|find|reach|tag|contact) me"
    rf"(?: (?:on|at|via|over|by))?(?: {_NETWORK})?(?: (?:at|as|under))?(?:[:,] ?| )"
)
_HANDLE = re.compile(rf"\b(?:{_OWN_HANDLE}|{_HANDLE_FIELD}|{_CONTACT_ME}){_HANDLE_NAME}", re.I)


def find_handles(text: str) -> Iterator[TextSpan]:
    """Find names beginning with @ that the words before them call the writer's, or a user's name."""
    return (found.span(1) for found in _HANDLE.finditer(text))


_CAPITALS = r"A-ZÀ-ÖØ-ÞĀĂĄĆĈĊČĎĐĒĔĖĘĚĞĠĢĤĪĬĮİĴĶĹĻĽĿŁŃŅŇŌŎŐŒŔŖŘŚŜŞŠŢŤŦŨŪŬŮŰŲŴŶŸŹŻŽ"
_NAME_WORD = (
    rf"(?:(?:Mc|Mac|O'|D'|L'|al-|El-)?[{_CAPITALS}][a-zà-öø-ÿāăąćčďđēęěğīıłńňōőœřśşšťūůűźżž]+(?:[-'](?!s\b)[{_CAPITALS}]?[a-zà-öø-ÿ]+)*)"
)
_NAME_PARTICLE = (
    r"(?:van der|van den|van de|van|von der|von|de la|de los|del|della|de|da|dos|do|di|du|la|le|bin|bint|ibn|al|el|ter|ten|zu|y|e) "
)
_PERSON_NAME = rf"{_NAME_WORD}(?: (?:[{_CAPITALS}]\. ?)?(?:{_NAME_PARTICLE})?{_NAME_WORD}){{0,3}}"
_FULL_NAME = rf"{_NAME_WORD}(?: (?:[{_CAPITALS}]\. ?)?(?:{_NAME_PARTICLE})?{_NAME_WORD}){{1,3}}"
_TITLE = (
    r"(?:Mr|Mrs|Ms|Mx|Miss|Messrs|Mister|Madam|Dr|Prof|Professor|Sir|Dame|Rev|Herrn?|Frau|Fräulein|Monsieur|Madame|Mademoiselle|Mme|Mlle|"
    r"Señora?|Srta|Sra?|Signora?|Sig|Dott|Dhr|Mevr|Mevrouw|Meneer|Senhora?)"
)
_I_AM = (
    r"(?:[Mm]y (?:full )?name is|[Mm]y name's|[Ii] am called|[Ii]ch heiße|[Mm]ein Name ist|[Jj]e m'appelle|[Mm]e llamo|"
    r"[Mm]i nombre es|[Mm]i chiamo|[Ii]k heet|[Mm]ijn naam is|[Mm]eu nome é|[Mm]e chamo|[Nn]azywam się|[Jj]ag heter)"
)
_I_AM_FIRST = r"(?:[Mm]y name is|[Mm]y name's|[Ii]ch heiße|[Jj]e m'appelle|[Mm]e llamo|[Mm]i chiamo|[Ii]k heet|[Mm]e chamo)"
_NAME_FIELD = (
    r"(?:(?:[Ff]ull |[Ff]irst |[Ll]ast |[Ff]amily |[Pp]atient(?:'s)? |[Cc]ustomer(?:'s)? |[Cc]ardholder(?:'s)? |"
    r"[Aa]ccount [Hh]older(?:'s)? )[Nn]ame|NAME|Name|Nom|Nombre|Nome|Naam|[Pp]atient(?:in)?|[Aa]ccount [Hh]older|[Cc]ardholder|"
    r"[Ss]igned(?: by)?|[Cc]ontact(?: [Pp]erson)?|[Nn]ext of kin|[Ee]mergency contact)"
)
_GREETING = r"(?:Dear|Hi|Hello|Hey|Liebe[r]?|Hallo|Cher|Chère|Bonjour|Estimad[oa]|Querid[oa]|Hola|Caro|Cara|Ciao|Beste)"
_FAREWELL = (
    r"(?:[Ss]incerely|[Rr]egards|[Bb]est wishes|[Yy]ours(?: truly| faithfully)?|[Cc]heers|[Mm]it freundlichen Grüßen|[Cc]ordialement|"
    r"[Ss]aludos|[Aa]tentamente|[Cc]ordiali saluti|[Mm]et vriendelijke groet)"
)
NAME_WORDS = frozenset(
    [
        *("mr", "mrs", "ms", "mx", "miss", "messrs", "mister", "madam", "dr", "prof", "professor", "sir", "dame", "rev", "herr", "herrn"),
        *("frau", "fräulein", "monsieur", "madame", "mademoiselle", "mme", "mlle", "señor", "señora", "srta", "sr", "sra", "signor"),
        *("signora", "sig", "dott", "dhr", "mevr", "mevrouw", "meneer", "senhor", "senhora", "name", "called", "heiße", "appelle", "llamo"),
        *("nombre", "chiamo", "heet", "naam", "nome", "nom", "chamo", "nazywam", "heter", "patient", "patientin", "account", "cardholder"),
        *("signed", "contact", "kin", "dear", "hi", "hello", "hey", "liebe", "lieber", "hallo", "cher", "chère", "bonjour", "estimado"),
        *("estimada", "querido", "querida", "hola", "caro", "cara", "ciao", "beste", "sincerely", "regards", "wishes", "yours", "cheers"),
        *("grüßen", "cordialement", "saludos", "atentamente", "saluti", "groet"),
    ]
)
"""Without one of them, in lower case, a text says of nothing that it is a name."""
_NAME_FORMS = (
    re.compile(rf"\b{_TITLE}\.? (?:{_TITLE}\.? )*((?:[{_CAPITALS}]\. ?)*(?:{_NAME_PARTICLE})?{_PERSON_NAME})"),
    re.compile(rf"\b{_I_AM} ({_FULL_NAME})\b"),
    re.compile(rf"\b{_I_AM_FIRST} ({_NAME_WORD})\b"),
    re.compile(rf"(?<!\w )\b{_NAME_FIELD} ?[:=] ?(?:{_TITLE}\.? )?({_FULL_NAME})\b"),
    re.compile(rf"(?:^|[.!?\n] ?){_GREETING} (?!{_TITLE}\b)({_PERSON_NAME}),", re.M),
    re.compile(rf"{_FAREWELL}[,.!]?\s{{1,3}}({_FULL_NAME})(?=\s*$|,)", re.M),
)
_NOT_NAMES = frozenset(
    [
        *("All", "Team", "Sir", "Madam", "Customer", "Customers", "Friend", "Friends", "Colleague", "Colleagues", "Everyone", "Folks"),
        *("Support", "Service", "There", "Client", "Hiring", "Manager", "Reader", "Readers", "Editor", "Valued", "Student", "Students"),
        *("Parents", "Members", "Member", "User", "Users", "Human", "Resources", "Santa", "Diary", "Bank", "Recipient", "Recruiter"),
        *("Committee", "President", "Minister", "Chairman", "Director", "Speaker", "Judge", "Company", "Department", "Name", "Title"),
        *("Your", "My", "The", "Our", "This", "Attendees", "Attorney"),
    ]
)
_FIRMS = frozenset(["Association", "Club", "Corp", "Family", "FC", "Football", "GmbH", "Inc", "LLC", "Ltd", "University"])


def find_names(text: str) -> Iterator[TextSpan]:
    """Find names in an original text, without their titles."""
    for form in _NAME_FORMS:
        for found in form.finditer(text):
            words = list(re.finditer(r"\w+", found[1]))
            ends = next((word.start() for word in words if word[0] in _NOT_NAMES), len(found[1]))
            if name := found[1][:ends].rstrip() if _FIRMS.isdisjoint(word[0] for word in words) else "":
                yield found.start(1), found.start(1) + len(name)


_PHONE_CANDIDATE = re.compile(r"(?<![\w+(.,/$€£#-])\(?\+?\d(?:[\d ()\-/]|\.(?! )){5,}\d(?![\w%])")
_NANP = re.compile(r"(?:\+?1[ .-]?)?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])\d{3}[ .-]\d{4}")
_NATIONAL = re.compile(r"\(?0[1-9]\d{0,3}\)?(?:[ /-]{1,3}\d{2,8}){1,5}")
_SPACED_DIGITS = re.compile(r"0(?! 1 2 3)(?: [1-9])(?: \d){8,9}")  # digit by digit, but not counting up
_ABROAD = re.compile(r"\(?00[1-9]")
_YEAR_PART = r"(?:\d\d?/)?(?:1[89]|20)\d\d"
_DATE_PART = r"(?:\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d\d)|\d{4}[./-]\d{1,2}[./-]\d{1,2})"
_DATE_PATTERN = re.compile(rf"\(?(?:{_DATE_PART}(?: .*)?|{_YEAR_PART} ?[-/] ?{_YEAR_PART})\)?")
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


def find_phones(text: str) -> Iterator[TextSpan]:
    """Find telephone numbers in a plain text."""
    for found in _PHONE_CANDIDATE.finditer(text):
        start, written = found.start(), found[0].strip()
        digits = re.sub(r"\D", "", written)
        before = text[max(0, start - 45) : start]
        if written.count("(") != written.count(")") or not 7 <= len(digits) <= 15 or _TOLL_FREE.fullmatch(digits):
            continue
        if is_card(digits) and not written.lstrip("( ").startswith("+"):
            continue
        if written.lstrip("( ").startswith("+"):
            is_phone = len(digits) >= 8 and _is_possible_phone(digits)
        elif _CODE_BEFORE.search(before) or (_SAYS_OTHER.search(before) and not _SAYS_PHONE.search(before)):
            is_phone = False
        elif _is_written_as_phone(written, len(digits)):
            is_phone = True
        else:
            is_phone = bool(_SAYS_PHONE.search(before)) and not _DATE_PATTERN.fullmatch(written)
        if is_phone:
            yield start, start + len(found[0].rstrip())


def _is_written_as_phone(written: str, digits: int) -> bool:
    if _NANP.fullmatch(written) or _SPACED_DIGITS.fullmatch(written):
        return True
    if _DATE_PATTERN.fullmatch(written):
        return False
    return bool(_ABROAD.match(written) and digits >= 10) or bool(_NATIONAL.fullmatch(written) and 9 <= digits <= 12)


def national_number(written: str) -> str:
    """Return the digits without the country's prefix and leading zero: the same for one line, at home and abroad."""
    digits = re.sub(r"\D", "", re.sub(r"\(0\)", "", written))
    if "+" in written or digits.startswith("00"):
        digits = _national_part(digits.removeprefix("00") if "+" not in written else digits) or digits
    elif len(digits) == 11 and digits[0] == "1":
        digits = digits[1:]
    return digits.lstrip("0")


def _is_possible_phone(digits: str) -> bool:
    """Return whether an international number's country exists and has numbers of that length."""
    import phonenumbers

    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(f"+{digits}"))
    except phonenumbers.NumberParseException:
        return False


def _national_part(digits: str) -> str:
    """Return an international number without its country's prefix; empty where no country has it."""
    import phonenumbers

    try:
        return str(phonenumbers.parse(f"+{digits}").national_number)
    except phonenumbers.NumberParseException:
        return ""
