"""European countries' numbers."""

from __future__ import annotations

from preceptor.curation.personal.national import checks
from preceptor.curation.personal.national.number import Number

_CF = r"[\dLMNP-V]"

EUROPE = (
    Number(
        "nino",
        "a UK national insurance number",
        r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]",
        lambda code: True,
    ),
    Number("uk_nhs", "a UK patient's NHS number", r"\d{3}[ -]?\d{3}[ -]?\d{4}", checks.is_nhs, cue=r"nhs|national health"),
    Number(
        "uk_driving_licence",
        "a UK driving licence",
        r"[A-Z][A-Z9]{4} ?\d[0156]\d[0-3]\d\d ?[A-Z][A-Z9]\d[A-Z]{2}",
        lambda code: checks.is_day(f"{int(code[6:8]) % 50:02d}", code[8:10]),
    ),
    Number(
        "es_dni",
        "a Spanish identity number (DNI, NIE)",
        r"\d{8}[ -]?[A-Za-z]|\d\d\.\d{3}\.\d{3}[ -]?[A-Za-z]|[XYZxyz][ -]?\d{7}[ -]?[A-Za-z]",
        checks.is_dni,
    ),
    Number(
        "it_codice_fiscale",
        "an Italian codice fiscale",
        rf"(?i:[A-Z]{{3}} ?[A-Z]{{3}} ?{_CF}{{2}}[ABCDEHLMPRST]{_CF}{{2}} ?[A-Z]{_CF}{{3}}[A-Z])",
        checks.is_codice_fiscale,
        mixed=True,
    ),
    Number(
        "de_steuer_id",
        "a German tax identification number",
        r"\d\d \d{3} \d{3} \d{3}",
        checks.is_steuer_id,
        cue=r"steuer-?id\w*|steuerliche identifikationsnummer|idnr|tax id\w*|tin",
        bare=r"\d{11}",
    ),
    Number("de_rvnr", "a German pension insurance number", r"\d\d ?\d{6} ?[A-Z] ?\d{3}", checks.is_rvnr),
    Number(
        "fr_nir",
        "a French social security number (NIR)",
        r"[12][ .]?\d\d[ .]?(?:0[1-9]|1[0-2]|[2-9]\d)[ .]?(?:\d\d|2[AB])[ .]?\d{3}[ .]?\d{3}[ .]?\d\d",
        checks.is_nir,
        mixed=True,
    ),
    Number(
        "nl_bsn",
        "a Dutch citizen service number (BSN)",
        r"\d{9}|\d{4}\.\d\d\.\d{3}|\d{3}([ .-])\d{3}\1\d{3}",
        checks.is_bsn,
        cue=r"bsn(?:-?nummer)?|burgerservice\w*|sofi\w*",
    ),
    Number(
        "be_nrn",
        "a Belgian national register number",
        r"\d\d\.\d\d\.\d\d[ -]\d{3}[.-]\d\d",
        checks.is_belgian,
        cue=r"rijksregister\w*|registre national|national (?:register|number)|insz|niss",
        bare=r"\d{11}",
    ),
    Number("pt_nif", "a Portuguese tax number", r"\d{3} ?\d{3} ?\d{3}", checks.is_nif, cue=r"nif|contribuinte|número fiscal"),
    Number("pl_pesel", "a Polish PESEL", r"\d{11}", checks.is_pesel, cue=r"pesel\w*"),
    Number(
        "se_personnummer",
        "a Swedish personal number",
        r"(?:19|20)?\d{6}[-+]\d{4}",
        checks.is_personnummer,
        cue=r"personnummer|personnr|samordningsnummer|personal (?:identity )?number",
        bare=r"(?:19|20)?\d{10}",
    ),
    Number("fi_hetu", "a Finnish personal identity code", r"\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]", checks.is_hetu),
    Number("no_fodselsnummer", "a Norwegian birth number", r"\d{6} ?\d{5}", checks.is_fodselsnummer),
    Number("dk_cpr", "a Danish personal number", r"\d{6}-?\d{4}", checks.is_cpr, cue=r"cpr(?:-?(?:nummer|nr))?|personnummer"),
    Number("ch_ahv", "a Swiss social security number (AHV)", r"756[. ]?\d{4}[. ]?\d{4}[. ]?\d\d", checks.is_ahv),
    Number(
        "at_svnr",
        "an Austrian social security number",
        r"\d{4} ?\d{6}",
        checks.is_svnr,
        cue=r"sv-?(?:nr|nummer)|sozialversicherungs\w*|versicherungsnummer|social (?:security|insurance)",
    ),
    Number("ie_ppsn", "an Irish PPS number", r"\d{7}[A-W][A-IW]?", checks.is_ppsn, cue=r"ppsn?"),
    Number("gr_amka", "a Greek social security number", r"\d{11}", checks.is_amka, cue=r"amka|αμκα"),
    Number("cz_rodne_cislo", "a Czech or Slovak birth number", r"\d{6}/\d{4}", checks.is_rodne_cislo),
    Number("ro_cnp", "a Romanian personal code", r"[1-8]\d{12}", checks.is_cnp, cue=r"cnp|cod(?:ul)? numeric"),
    Number("bg_egn", "a Bulgarian personal number", r"\d{10}", checks.is_egn, cue=r"egn|егн"),
    Number("ru_snils", "a Russian insurance number (SNILS)", r"\d{3}-\d{3}-\d{3}[ -]\d\d", checks.is_snils),
    Number("tr_tckn", "a Turkish identity number", r"\d{11}", checks.is_tckn, cue=r"t\.?c\.? ?(?:kimlik|no)\w*|tckn|kimlik\w*"),
)
