"""Names of people, where words say that it is one: a title before it, a greeting, a signature, somebody introducing themselves.

Most names in a text have no such words about them, and only a model that reads finds those; what is found here is meant to be right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from preceptor.curation.personal.finding import Span

_LETTERS = r"A-ZÀ-ÖØ-ÞĀĂĄĆĈĊČĎĐĒĔĖĘĚĞĠĢĤĪĬĮİĴĶĹĻĽĿŁŃŅŇŌŎŐŒŔŖŘŚŜŞŠŢŤŦŨŪŬŮŰŲŴŶŸŹŻŽ"
_WORD = rf"(?:(?:Mc|Mac|O'|D'|L'|al-|El-)?[{_LETTERS}][a-zà-öø-ÿāăąćčďđēęěğīıłńňōőœřśşšťūůűźżž]+(?:[-'](?!s\b)[{_LETTERS}]?[a-zà-öø-ÿ]+)*)"
_BETWEEN = r"(?:van der|van den|van de|van|von der|von|de la|de los|del|della|de|da|dos|do|di|du|la|le|bin|bint|ibn|al|el|ter|ten|zu|y|e) "
_NAME = rf"{_WORD}(?: (?:[{_LETTERS}]\. ?)?(?:{_BETWEEN})?{_WORD}){{0,3}}"
_FULL = rf"{_WORD}(?: (?:[{_LETTERS}]\. ?)?(?:{_BETWEEN})?{_WORD}){{1,3}}"
_TITLE = (
    r"(?:Mr|Mrs|Ms|Mx|Miss|Messrs|Mister|Madam|Dr|Prof|Professor|Sir|Dame|Rev|Herrn?|Frau|Fräulein|Monsieur|Madame|Mademoiselle|Mme|Mlle|"
    r"Señora?|Srta|Sra?|Signora?|Sig|Dott|Dhr|Mevr|Mevrouw|Meneer|Senhora?)"
)
_I_AM = (
    r"(?:[Mm]y (?:full )?name is|[Mm]y name's|[Ii] am called|[Ii]ch heiße|[Mm]ein Name ist|[Jj]e m'appelle|[Mm]e llamo|"
    r"[Mm]i nombre es|[Mm]i chiamo|[Ii]k heet|[Mm]ijn naam is|[Mm]eu nome é|[Mm]e chamo|[Nn]azywam się|[Jj]ag heter)"
)
_I_AM_FIRST = r"(?:[Mm]y name is|[Mm]y name's|[Ii]ch heiße|[Jj]e m'appelle|[Mm]e llamo|[Mm]i chiamo|[Ii]k heet|[Mm]e chamo)"
_FIELD = (
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
_FORMS = (
    re.compile(rf"\b{_TITLE}\.? (?:{_TITLE}\.? )*((?:[{_LETTERS}]\. ?)*(?:{_BETWEEN})?{_NAME})"),
    re.compile(rf"\b{_I_AM} ({_FULL})\b"),
    re.compile(rf"\b{_I_AM_FIRST} ({_WORD})\b"),
    re.compile(rf"(?<!\w )\b{_FIELD} ?[:=] ?(?:{_TITLE}\.? )?({_FULL})\b"),
    re.compile(rf"(?:^|[.!?\n] ?){_GREETING} (?!{_TITLE}\b)({_NAME}),", re.M),
    re.compile(rf"{_FAREWELL}[,.!]?\s{{1,3}}({_FULL})(?=\s*$|,)", re.M),
)
_NOBODY = frozenset(
    [
        *("All", "Team", "Sir", "Madam", "Customer", "Customers", "Friend", "Friends", "Colleague", "Colleagues", "Everyone", "Folks"),
        *("Support", "Service", "There", "Client", "Hiring", "Manager", "Reader", "Readers", "Editor", "Valued", "Student", "Students"),
        *("Parents", "Members", "Member", "User", "Users", "Human", "Resources", "Santa", "Diary", "Bank", "Recipient", "Recruiter"),
        *("Committee", "President", "Minister", "Chairman", "Director", "Speaker", "Judge", "Company", "Department", "Name", "Title"),
        *("Your", "My", "The", "Our", "This", "Attendees", "Attorney"),
    ]
)
_FIRMS = frozenset(["Association", "Club", "Corp", "Family", "FC", "Football", "GmbH", "Inc", "LLC", "Ltd", "University"])


def names(text: str) -> Iterator[Span]:
    """Names in a text as it was written, without their titles."""
    for form in _FORMS:
        for found in form.finditer(text):
            words = list(re.finditer(r"\w+", found[1]))
            ends = next((word.start() for word in words if word[0] in _NOBODY), len(found[1]))
            if name := found[1][:ends].rstrip() if _FIRMS.isdisjoint(word[0] for word in words) else "":
                yield found.start(1), found.start(1) + len(name)
