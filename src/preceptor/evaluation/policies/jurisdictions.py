"""Detect whose law an answer discusses: names of jurisdictions, adjectives and laws, and words that only they use.

A place counts where its sentence is about law, or says what must be done in the place; a statute, a court or an authority counts wherever
it is named. What is part of a place, and what the place is part of, goes with it: federal law holds in California, and Californian law is
American.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from preceptor.evaluation.policies.refusals import any_phrase, compile_patterns, sentence_spans

# name: (other names and adjectives, statutes and courts and authorities, what it is part of)
_JURISDICTIONS: dict[str, tuple[str, str, str]] = {
    "European Union": (
        "EU|European law|E.U.",
        "GDPR|General Data Protection Regulation|CJEU|MiFID|MiFID II|ESMA|Court of Justice of the European Union|AI Act",
        "",
    ),
    "United States": (
        "US|U.S.|USA|U.S.A.|American|America|United States of America",
        "HIPAA|FLSA|FMLA|FDCPA|FCRA|ERISA|FINRA|Securities and Exchange Commission|SEC|U.S.C.|C.F.R.|IRS|Internal Revenue Code|FDIC|"
        "Fair Labor Standards Act|Truth in Lending Act|Americans with Disabilities Act|Title VII|Uniform Commercial Code|UCC|"
        "Supreme Court of the United States|CFPB|401(k)",
        "",
    ),
    "United Kingdom": (
        "UK|U.K.|British|Britain|Great Britain",
        "HMRC|Financial Conduct Authority|FCA|Consumer Rights Act 2015|Employment Rights Act 1996|Equality Act 2010|Companies Act 2006|"
        "Data Protection Act 2018|ACAS|Financial Ombudsman Service|Information Commissioner's Office|FSCS",
        "",
    ),
    "England": (
        "English law|England and Wales",
        "Housing Act 1988|County Court|High Court of Justice|Limitation Act 1980",
        "United Kingdom",
    ),
    "Wales": ("Welsh", "Renting Homes (Wales) Act", "United Kingdom"),
    "Scotland": ("Scottish|Scots law", "Court of Session|Sheriff Court", "United Kingdom"),
    "Northern Ireland": ("", "", "United Kingdom"),
    "Germany": (
        "German|Deutschland|deutsches Recht",
        "BGB|HGB|StGB|DSGVO|Bürgerliches Gesetzbuch|Bundesgerichtshof|BGH|BaFin|Kündigungsschutzgesetz|Grundgesetz|BDSG",
        "European Union",
    ),
    "Austria": ("Austrian|Österreich", "ABGB|Mietrechtsgesetz", "European Union"),
    "France": (
        "French",
        "Code civil|Code du travail|Code de la consommation|Cour de cassation|CNIL|Autorité des marchés financiers|Conseil d'État",
        "European Union",
    ),
    "Spain": ("Spanish|España", "Código Civil|Estatuto de los Trabajadores|CNMV|Tribunal Supremo", "European Union"),
    "Italy": ("Italian|Italia", "Codice civile|Consob|Corte di cassazione", "European Union"),
    "Netherlands": ("Dutch|Holland", "Burgerlijk Wetboek|Hoge Raad", "European Union"),
    "Belgium": ("Belgian", "FSMA", "European Union"),
    "Ireland": ("Irish|Republic of Ireland", "Workplace Relations Commission", "European Union"),
    "Portugal": ("Portuguese", "", "European Union"),
    "Poland": ("Polish|Polska", "Kodeks cywilny|Kodeks pracy", "European Union"),
    "Sweden": ("Swedish", "", "European Union"),
    "Denmark": ("Danish", "", "European Union"),
    "Finland": ("Finnish", "", "European Union"),
    "Greece": ("Greek", "", "European Union"),
    "Luxembourg": ("", "CSSF", "European Union"),
    "Norway": ("Norwegian", "", ""),
    "Switzerland": ("Swiss|Schweiz|Suisse", "FINMA|Obligationenrecht|Code of Obligations|Bundesgericht", ""),
    "Canada": ("Canadian", "PIPEDA|Canada Labour Code|Canada Revenue Agency|IIROC|CIRO", ""),
    "Ontario": ("Ontarian", "Ontario Securities Commission|Residential Tenancies Act, 2006", "Canada"),
    "Quebec": ("Québec|Quebecois", "Civil Code of Québec|Civil Code of Quebec", "Canada"),
    "British Columbia": ("", "", "Canada"),
    "Alberta": ("", "", "Canada"),
    "Australia": ("Australian", "ASIC|Fair Work Act|Fair Work Commission|Corporations Act 2001|Australian Consumer Law|APRA", ""),
    "New South Wales": ("NSW", "", "Australia"),
    "New Zealand": ("", "Consumer Guarantees Act 1993|Tenancy Tribunal", ""),
    "India": ("Indian", "SEBI|Indian Penal Code|Reserve Bank of India|Indian Contract Act|Bharatiya Nyaya Sanhita", ""),
    "China": ("Chinese|PRC", "PIPL|Civil Code of the People's Republic of China", ""),
    "Hong Kong": ("", "", "China"),
    "Japan": ("Japanese", "", ""),
    "South Korea": ("Korean|Korea", "", ""),
    "Singapore": ("Singaporean", "Monetary Authority of Singapore|PDPA", ""),
    "Brazil": ("Brazilian|Brasil", "LGPD|Código de Defesa do Consumidor|CLT", ""),
    "Mexico": ("Mexican|México", "Ley Federal del Trabajo|CONDUSEF", ""),
    "Argentina": ("Argentine|Argentinian", "", ""),
    "Chile": ("Chilean", "", ""),
    "South Africa": ("South African", "POPIA|National Credit Act", ""),
    "Nigeria": ("Nigerian", "", ""),
    "Kenya": ("Kenyan", "", ""),
    "Egypt": ("Egyptian", "", ""),
    "Israel": ("Israeli", "", ""),
    "Turkey": ("Turkish|Türkiye", "KVKK", ""),
    "Russia": ("Russian|Russian Federation", "Roskomnadzor", ""),
    "Ukraine": ("Ukrainian", "", ""),
    "United Arab Emirates": ("UAE|Emirati|Dubai", "DIFC", ""),
    "Saudi Arabia": ("Saudi", "", ""),
    "California": ("Californian|Calif.", "CCPA|CPRA|FEHA|California Consumer Privacy Act|California Civil Code", "United States"),
    "New York": ("New York State", "NYDFS|SHIELD Act|New York Labor Law", "United States"),
    "Texas": ("Texan", "Texas Property Code|Texas Labor Code", "United States"),
    "Florida": ("Floridian", "", "United States"),
    "Illinois": ("", "BIPA", "United States"),
    "Delaware": ("", "Delaware General Corporation Law|DGCL|Court of Chancery", "United States"),
}
_STATES = """
Alabama|Alaska|Arizona|Arkansas|Colorado|Connecticut|Georgia|Hawaii|Idaho|Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland
Massachusetts|Michigan|Minnesota|Mississippi|Missouri|Montana|Nebraska|Nevada|New Hampshire|New Jersey|New Mexico|North Carolina
North Dakota|Ohio|Oklahoma|Oregon|Pennsylvania|Rhode Island|South Carolina|South Dakota|Tennessee|Utah|Vermont|Virginia|Washington
West Virginia|Wisconsin|Wyoming
"""
_JURISDICTIONS.update(dict.fromkeys(re.split(r"[|\n]", _STATES.strip()), ("", "", "United States")))
_LAW = compile_patterns(
    r"\b"
    + any_phrase(
        r"""
        laws?|legal\w*|lawful\w*|unlawful\w*|illegal\w*|legislat\w+|statut\w+|acts?|codes?|courts?|tribunals?|regulat\w+|jurisdiction\w*
        govern(?:s|ed|ing)|rights?|entitle[ds]?|liab(?:le|ility)|prohibit\w*|crim(?:e|es|inal\w*)|offen[cs]es?|landlords?|tenan\w+
        tax(?:es|able|ed)?|limitation periods?|notice periods?|withdrawal periods?|contracts?|damages|sue[ds]?|lawsuits?|rules?
        required|permitted|enforceable|licen[cs]ed?|consumer protection|minimum wage|deposits? (?:is|are) protected
        """
    )
    + r"\b"
)
_DUTY = compile_patterns(  # what law regulates, where the sentence says that it holds in a place
    r"\b"
    + any_phrase(
        r"""
        must|have to|has to|need to|required|cannot|can't|may not|allowed|deadline|minimum|maximum|at least
        within \d+|\d+ (?:days|months|years)|days to|cool(?:ing)?[- ]off|cancel|withdraw\w*|evict\w*|dismiss\w*
        notice|fine[ds]?|penalt\w+|deposits?|wages?|overtime|refunds?
        sick leave|parental leave|inherit\w*|divorce\w*|age of
        """
    )
    + r"\b"
)
_HOLDS_IN = re.compile(r"\b(?:in|under|throughout|across|within|residents of|citizens of)(?: the)?(?: state of)? $", re.IGNORECASE)
_LEAD_CHARS = 40  # characters before a place in which "in the state of" is looked for
_AS_WRITTEN = re.compile(r"[A-Z][A-Z.]{1,4}|Polish|Turkey|China|Chile")  # us, polish and chile are other words


@dataclass(frozen=True)
class JurisdictionMention:
    """One mention of a jurisdiction: its name, and its span in a plain text."""

    place: str
    start: int
    end: int


@dataclass(frozen=True)
class JurisdictionMatcher:
    """Finds the known jurisdictions and those of one policy.

    extra_names: name -> further words for it (adjectives, statutes), also of a new one.
    """

    extra_names: Mapping[str, Sequence[str]]

    def known_names(self) -> list[str]:
        """Return the names of all jurisdictions, sorted."""
        return sorted({*_JURISDICTIONS, *self.extra_names})

    def related(self, names: Iterable[str]) -> set[str]:
        """Return the places themselves, what they are part of, and their parts."""
        found = set(names)
        above = {_JURISDICTIONS[name][2] for name in found if name in _JURISDICTIONS and _JURISDICTIONS[name][2]}
        below = {name for name, (_, _, whole) in _JURISDICTIONS.items() if whole in found}
        return found | above | below

    def mentions(self, text: str, *, only_law: bool) -> list[JurisdictionMention]:
        """Find the jurisdictions named in a plain text, by position.

        only_law: names of places only where their sentence is about law.
        """
        named = list(self._places.finditer(text))
        if only_law:
            named = _filter_legal_context(text, named)
        found = [JurisdictionMention(self._names[_lookup_key(match[0])], match.start(), match.end()) for match in named]
        found += [
            JurisdictionMention(self._names[_lookup_key(match[0])], match.start(), match.end()) for match in self._laws.finditer(text)
        ]
        return sorted(found, key=lambda mention: mention.start)

    @cached_property
    def _words(self) -> dict[str, tuple[list[str], list[str]]]:
        words = {name: ([name, *_split_words(names)], _split_words(laws)) for name, (names, laws, _) in _JURISDICTIONS.items()}
        for name, more in self.extra_names.items():
            names, laws = words.get(name, ([name], []))
            words[name] = (names, [*laws, *more])
        return words

    @cached_property
    def _names(self) -> dict[str, str]:
        return {_lookup_key(word): place for place, (names, laws) in self._words.items() for word in (*names, *laws)}

    @cached_property
    def _places(self) -> re.Pattern[str]:
        return _word_pattern(word for names, _ in self._words.values() for word in names)

    @cached_property
    def _laws(self) -> re.Pattern[str]:
        return _word_pattern(word for _, laws in self._words.values() for word in laws)


def _filter_legal_context(text: str, named: list[re.Match[str]]) -> list[re.Match[str]]:
    """Keep the places whose sentence is about law, or says what must be done there."""
    kept, waiting = list[re.Match[str]](), deque(named)
    for begins, ends in sentence_spans(text):
        within = list[re.Match[str]]()
        while waiting and waiting[0].start() < ends:
            within.append(waiting.popleft())
        if within and _LAW.search(text, begins, ends):
            kept += within
        elif within and _DUTY.search(text, begins, ends):
            kept += [match for match in within if _HOLDS_IN.search(text, max(begins, match.start() - _LEAD_CHARS), match.start())]
    return kept


def _word_pattern(words: Iterable[str]) -> re.Pattern[str]:
    """Compile a pattern of whole words, the longest first, ignoring case except where another case is another word (US, Polish)."""
    parts = []
    for word in sorted(set(words), key=lambda word: (-len(word), word)):
        body = re.escape(word).replace(r"\ ", " ")
        parts.append(body if _AS_WRITTEN.fullmatch(word) else f"(?i:{body})")
    return re.compile(rf"(?<![\w-])(?:{'|'.join(parts)})(?![\w])" if parts else r"(?!)")


def _lookup_key(word: str) -> str:
    return word if _AS_WRITTEN.fullmatch(word) else word.casefold()


def _split_words(words: str) -> list[str]:
    return [word for word in words.split("|") if word]
