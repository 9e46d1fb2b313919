"""The canaries of each kind, and how they are set into real texts."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benches import _canaries as make
from benches._canaries import Canary, Make, Rng, born, by_weights, card, completed, digits, grouped, iban, letters, luhn_rule, retry, total

FIRST = ["Jana", "Miguel", "Aïcha", "Wei", "Siobhán", "Łukasz", "Priya", "Kwame", "Ingrid", "Tomás"]
LAST = ["Kowalski", "Ortega", "Müller", "O'Brien", "Nakamura", "Lefèvre", "Van Dijk", "Okafor", "Rossi", "Lindqvist"]
ANY = ("{}", "Here it is: {}.", "{} is what I gave you.", "I wrote {} on the form, did you get it?")


class Sort(NamedTuple):
    """A kind in one form: its maker, the sentences it comes in, and whether a wrong check digit makes it nothing."""

    kind: str
    form: str
    make: Make
    sentences: Sequence[str] = ANY
    checked: bool = False


def called(*names: str) -> tuple[str, ...]:
    """Sentences that say what a number is."""
    return tuple(sentence for name in names for sentence in (f"My {name} is {{}}.", f"{name}: {{}}", f"({name} {{}})", f"{{}} ({name})"))


def shaped(maker: Make, *sizes: int, by: str = " ") -> Make:
    return lambda rng: grouped(maker(rng), *sizes, by=by)


AMONG = {
    "#": make.string.digits,
    "%": "23456789",
    "^": make.string.ascii_uppercase,
    "~": make.string.ascii_lowercase,
    "&": "0123456789abcdef",
    "*": make.string.ascii_letters + make.string.digits,
}


def patterned(pattern: str) -> Make:
    """# for a digit, % for one from 2 on, ^ and ~ for letters, & for a hexadecimal digit, * for a letter or digit."""
    return lambda rng: "".join(rng.choice(AMONG.get(c, c)) for c in pattern)


def person(rng: Rng) -> str:
    return f"{rng.choice(FIRST)} {rng.choice(LAST)}"


def mailbox(form: str) -> Make:
    return lambda rng: form.format(
        one=rng.choice(["jana", "m.ortega", "wei_lin", "kwame+shop", "s-obrien", "priya.r"]),
        n=rng.randint(2, 99),
        two=rng.choice(["gmail", "web", "mail-box", "post.example", "uni"]),
        top=rng.choice(["com", "de", "co.uk", "org"]),
    )


def nhs(rng: Rng) -> str:
    return completed(digits(rng, 9), lambda n: total(n, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]) % 11 == 0)


def dni(rng: Rng) -> str:
    number = digits(rng, 8)
    return number + "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23]


def nie(rng: Rng) -> str:
    first, number = rng.randrange(3), digits(rng, 7)
    return "XYZ"[first] + number + "TRWAGMYFPDXBNJZSQVHLCKE"[int(f"{first}{number}") % 23]


def hetu(rng: Rng) -> str:
    date, serial = born(rng, "dmy"), f"{rng.randint(2, 899):03d}"
    return f"{date}-{serial}{'0123456789ABCDEFHJKLMNPRSTUVWXY'[int(date + serial) % 31]}"


def belgian(rng: Rng) -> str:
    body = f"{born(rng)}{rng.randint(1, 997):03d}"
    return f"{body}{97 - int(body) % 97:02d}"


def born_with_luhn(extra: int) -> Make:
    return retry(lambda rng: completed(born(rng) + digits(rng, extra), luhn_rule))


def rut(rng: Rng) -> str:
    body = str(rng.randint(5_000_000, 24_000_000))
    value = 11 - sum(int(c) * w for c, w in zip(body[::-1], [2, 3, 4, 5, 6, 7, 2, 3], strict=False)) % 11
    return f"{int(body):,}".replace(",", ".") + "-" + {11: "0", 10: "K"}.get(value, str(value))


def cuit(rng: Rng) -> str:
    body = rng.choice(["20", "27"]) + digits(rng, 8)
    value = 11 - total(body, [5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11
    return "" if value == 10 else f"{body}{value % 11}"


def snils(rng: Rng) -> str:
    body = digits(rng, 9, "123456789")
    return f"{grouped(body, 3, 3, by='-')} {total(body, [9, 8, 7, 6, 5, 4, 3, 2, 1]) % 101 % 100:02d}"


def my_number(rng: Rng) -> str:
    body = digits(rng, 11)
    rest = total(body, [6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11
    return body + ("0" if rest <= 1 else str(11 - rest))


def svnr(rng: Rng) -> str:
    serial, date = digits(rng, 3, "123456789"), born(rng, "dmy")
    check = total(serial + date, [3, 7, 9, 5, 8, 4, 2, 1, 6]) % 11
    return "" if check == 10 else f"{serial}{check}{date}"


BSN = by_weights([9, 8, 7, 6, 5, 4, 3, 2, -1], 11, lambda rng: digits(rng, 8, "12"), lambda rest, last: rest == 0)
NIF = by_weights(
    [9, 8, 7, 6, 5, 4, 3, 2], 11, lambda rng: digits(rng, 8, "12"), lambda rest, last: last == ("0" if rest < 2 else str(11 - rest))
)
PESEL = by_weights([1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1], 10, lambda rng: born(rng) + digits(rng, 4), lambda rest, last: rest == 0)
AHV = by_weights([1, 3] * 6 + [1], 10, lambda rng: "756" + digits(rng, 9), lambda rest, last: rest == 0)
CNP = by_weights(
    [2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9], 11, lambda rng: "1" + born(rng) + "12" + digits(rng, 3), lambda rest, last: last == str(rest)[:1]
)
EGN = by_weights([2, 4, 8, 5, 10, 9, 7, 3, 6], 11, lambda rng: born(rng) + digits(rng, 3), lambda rest, last: last == str(rest)[-1])
TFN = by_weights([1, 4, 3, 7, 5, 8, 6, 9, 10], 11, lambda rng: digits(rng, 8), lambda rest, last: rest == 0)
MEDICARE = by_weights([1, 3, 7, 9, 1, 3, 7, 9], 10, lambda rng: rng.choice("23456") + digits(rng, 7), lambda rest, last: last == str(rest))
SVNR = retry(svnr)
RODNE = retry(lambda rng: completed(born(rng) + digits(rng, 3), lambda n: int(n) % 11 == 0))
AADHAAR = retry(lambda rng: completed(digits(rng, 11, "23456789"), make.verhoeff_rule))
SIN = retry(lambda rng: completed(digits(rng, 8, "1234567"), luhn_rule))
IMEI = retry(lambda rng: completed("35" + digits(rng, 12), luhn_rule))
ISRAELI = retry(lambda rng: completed("0" + digits(rng, 7), luhn_rule))

SORTS = (
    Sort("email", "plain", mailbox("{one}{n}@{two}.{top}")),
    Sort("email", "capitals", lambda rng: mailbox("{one}{n}@{two}.{top}")(rng).upper()),
    Sort("email", "(at)", mailbox("{one}{n} (at) {two}.{top}")),
    Sort("email", "[at] and [dot]", lambda rng: f"{rng.choice(FIRST[:2]).lower()}{rng.randint(2, 99)} [at] gmail [dot] com"),
    Sort(
        "email",
        "in words",
        lambda rng: f"{rng.choice(['jana', 'miguel', 'wei'])} dot smith at gmail dot com",
        ("Write to {}", "I am {} if you need me."),
    ),
    Sort("phone", "+44", patterned("+44 7%## %####%")),
    Sort("phone", "+1 dashes", patterned("+1-%#%-%##-####")),
    Sort("phone", "+49 (0)", patterned("+49 (0)17% #######")),
    Sort("phone", "+33 in twos", patterned("+33 6 %# ## ## ##")),
    Sort("phone", "+91", patterned("+91 9%#%# #####")),
    Sort("phone", "+86", patterned("+86 138 #### ####")),
    Sort("phone", "+55", patterned("+55 11 9%#%#-####")),
    Sort("phone", "+81 unspaced", patterned("+81908#######")),
    Sort("phone", "0049", patterned("0049 30 %######")),
    Sort("phone", "(212) 555-", patterned("(%1%) %%#-####")),
    Sort("phone", "dots", patterned("%1%.%%#.####")),
    Sort("phone", "07", patterned("07%## %## ###")),
    Sort("phone", "030/", patterned("030/%######")),
    Sort("phone", "01 42 in twos", patterned("01 42 %# ## ##")),
    Sort(
        "phone",
        "bare, in English",
        patterned("%##%######"),
        ("My mobile number is {}.", "call me on {}", "Phone: {}", "You can reach me at {} after six"),
    ),
    Sort(
        "phone",
        "bare, elsewhere",
        patterned("6%##%####"),
        ("Mi teléfono es {}.", "Telefon: {}", "téléphone portable : {}", "Handynummer {}", "电话:{}"),
    ),
    Sort("card", "Visa", shaped(card("4", 16), 4, 4, 4), checked=True),
    Sort("card", "Visa unspaced", card("4", 16), checked=True),
    Sort("card", "Mastercard dashes", shaped(card("53", 16), 4, 4, 4, by="-"), checked=True),
    Sort("card", "Mastercard 2", shaped(card("2399", 16), 4, 4, 4), checked=True),
    Sort("card", "American Express", shaped(card("37", 15), 4, 6), checked=True),
    Sort("card", "Discover", card("6011", 16), checked=True),
    Sort("card", "JCB", shaped(card("3530", 16), 4, 4, 4), checked=True),
    *(
        Sort(
            "iban",
            f"{country}{' in fours' if spaced else ''}",
            shaped(iban(country, form), *[4] * 7) if spaced else iban(country, form),
            checked=True,
        )
        for country, form in (
            ("DE", "n" * 18),
            ("GB", "aaaa" + "n" * 14),
            ("FR", "n" * 23),
            ("NL", "aaaa" + "n" * 10),
            ("CH", "n" * 17),
            ("NO", "n" * 11),
            ("PL", "n" * 24),
            ("ES", "n" * 20),
            ("IT", "a" + "n" * 22),
        )
        for spaced in (False, True)
    ),
    Sort("ssn", "dashes", patterned("4%#-%#-%###")),
    Sort("ssn", "bare", patterned("4%#%#%###"), called("SSN", "social security number")),
    Sort("us_itin", "dashes", patterned("9%#-78-####")),
    Sort("us_mbi", "dashes", lambda rng: f"{rng.randint(1, 9)}EG4-TE5-MK{digits(rng, 2)}"),
    Sort("nino", "spaced", lambda rng: f"{rng.choice(['AB', 'JG', 'PW', 'CE'])} {grouped(digits(rng, 6), 2, 2)} {rng.choice('ABCD')}"),
    Sort("nino", "unspaced", lambda rng: f"{rng.choice(['AB', 'JG', 'PW', 'CE'])}{digits(rng, 6)}{rng.choice('ABCD')}"),
    Sort("uk_nhs", "3 3 4", shaped(retry(nhs), 3, 3), called("NHS number", "NHS no."), checked=True),
    Sort(
        "uk_driving_licence",
        "16",
        lambda rng: (
            f"{letters(rng, 5)}{digits(rng, 1)}{rng.choice(['01', '12', '56', '60'])}{rng.randint(1, 28):02d}{digits(rng, 1)}"
            f"{letters(rng, 1)}9{digits(rng, 1)}{letters(rng, 2)}"
        ),
    ),
    Sort("es_dni", "DNI", dni, checked=True),
    Sort("es_dni", "DNI dash", lambda rng: grouped(dni(rng), 8, by="-"), checked=True),
    Sort("es_dni", "NIE", nie, checked=True),
    Sort("it_codice_fiscale", "capitals", make.codice_fiscale, checked=True),
    Sort("it_codice_fiscale", "small", lambda rng: make.codice_fiscale(rng).lower(), checked=True),
    Sort("de_steuer_id", "2 3 3 3", shaped(retry(make.steuer_id), 2, 3, 3), checked=True),
    Sort("de_steuer_id", "bare", retry(make.steuer_id), called("Steuer-ID", "Steueridentifikationsnummer"), checked=True),
    Sort("de_rvnr", "spaced", shaped(make.rvnr, 2, 6, 1), checked=True),
    Sort("fr_nir", "unspaced", make.nir, checked=True),
    Sort("fr_nir", "spaced", shaped(make.nir, 1, 2, 2, 2, 3, 3), checked=True),
    Sort("nl_bsn", "bare", BSN, called("BSN", "burgerservicenummer"), checked=True),
    Sort("be_nrn", "dots", lambda rng: (lambda n: f"{n[:2]}.{n[2:4]}.{n[4:6]}-{n[6:9]}.{n[9:]}")(belgian(rng)), checked=True),
    Sort("pt_nif", "3 3 3", shaped(NIF, 3, 3), called("NIF", "contribuinte"), checked=True),
    Sort("pl_pesel", "bare", PESEL, called("PESEL", "numer PESEL"), checked=True),
    Sort("se_personnummer", "dash", shaped(born_with_luhn(3), 6, by="-"), checked=True),
    Sort("fi_hetu", "dash", hetu, checked=True),
    Sort("no_fodselsnummer", "6 5", shaped(retry(make.norwegian), 6), checked=True),
    Sort("dk_cpr", "dash", lambda rng: f"{born(rng, 'dmy')}-{digits(rng, 4)}", called("CPR", "CPR-nummer")),
    Sort("ch_ahv", "dots", shaped(AHV, 3, 4, 4, by="."), checked=True),
    Sort("at_svnr", "4 6", shaped(SVNR, 4), called("SVNR", "Sozialversicherungsnummer")),
    Sort("ie_ppsn", "bare", make.ppsn, called("PPS", "PPSN"), checked=True),
    Sort(
        "gr_amka", "bare", retry(lambda rng: completed(born(rng, "dmy") + digits(rng, 4), luhn_rule)), called("AMKA", "ΑΜΚΑ"), checked=True
    ),
    Sort("cz_rodne_cislo", "slash", shaped(RODNE, 6, by="/"), checked=True),
    Sort("ro_cnp", "bare", CNP, called("CNP"), checked=True),
    Sort("bg_egn", "bare", EGN, called("EGN", "ЕГН"), checked=True),
    Sort("ru_snils", "dashes", snils, checked=True),
    Sort("tr_tckn", "bare", retry(make.turkish), called("TCKN", "T.C. kimlik no"), checked=True),
    Sort("ca_sin", "3 3 3", shaped(SIN, 3, 3), called("SIN", "social insurance number"), checked=True),
    Sort("br_cpf", "dots", lambda rng: (lambda n: f"{n[:3]}.{n[3:6]}.{n[6:9]}-{n[9:]}")(retry(make.cpf)(rng)), checked=True),
    Sort("br_cpf", "bare", retry(make.cpf), called("CPF"), checked=True),
    Sort("ar_cuit", "dashes", shaped(retry(cuit), 2, 8, by="-"), checked=True),
    Sort("cl_rut", "dots", rut, checked=True),
    Sort("mx_curp", "18", make.curp, checked=True),
    Sort("in_aadhaar", "4 4 4", shaped(AADHAAR, 4, 4), checked=True),
    Sort("in_aadhaar", "bare", AADHAAR, called("Aadhaar", "Aadhaar number"), checked=True),
    Sort("in_pan", "10", patterned("^^^P^####^")),
    Sort("au_tfn", "3 3 3", shaped(TFN, 3, 3), called("TFN", "tax file number"), checked=True),
    Sort("au_medicare", "4 5 1", lambda rng: grouped(MEDICARE(rng) + "1", 4, 5), called("Medicare", "Medicare card")),
    Sort("sg_nric", "9", make.nric, checked=True),
    Sort("hk_hkid", "brackets", lambda rng: (lambda n: f"{n[:-1]}({n[-1]})")(make.hkid(rng)), checked=True),
    Sort("cn_id", "18", make.chinese, checked=True),
    Sort("jp_my_number", "4 4 4", shaped(my_number, 4, 4), called("My Number", "マイナンバー"), checked=True),
    Sort("kr_rrn", "dash", lambda rng: f"{born(rng)}-{rng.choice('12')}{digits(rng, 6)}"),
    Sort(
        "za_id",
        "bare",
        retry(lambda rng: completed(f"{born(rng)}{digits(rng, 4)}0{digits(rng, 1)}", luhn_rule)),
        called("ID number", "South African ID"),
        checked=True,
    ),
    Sort("il_id", "bare", ISRAELI, called("teudat zehut", "Israeli ID"), checked=True),
)
DATES = (
    lambda rng: f"{rng.randint(1, 28):02d}/{rng.randint(1, 12):02d}/19{rng.randint(40, 99)}",
    lambda rng: f"19{rng.randint(40, 99)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}",
    lambda rng: f"{rng.randint(1, 28)} {rng.choice(['March', 'June', 'October'])} 19{rng.randint(40, 99)}",
    lambda rng: f"{rng.choice(['March', 'June', 'Oct.'])} {rng.randint(1, 28)}, 19{rng.randint(40, 99)}",
    lambda rng: f"{rng.randint(1, 28)}.{rng.randint(1, 12)}.19{rng.randint(40, 99)}",
)
TOWNS = {  # street, town and postcode of a country; # and % as in `patterned`
    "US": ("%## Maple St|%##% N. Oak Hill Drive|%# W 42nd Avenue", "Springfield, IL %####"),
    "US, flat": ("%## Cedar Lane, Apt. %#", "Portland, OR 9####"),
    "GB": ("%# Garden Road|%## Church Lane|% Station Close", "Leeds LS% %AP"),
    "CA": ("%## Queen Street", "Toronto, ON M%V 2T%"),
    "AU": ("%# Victoria Street", "Newtown NSW 2###"),
    "DE": ("Hauptstraße %#|Goetheweg %|Schillerplatz %|Bahnhofstr. %##", "%#### Köln|1#### Berlin|6#### Bad Homburg"),
    "FR": ("%# rue de Rivoli|%## avenue Foch|% bd Voltaire", "75### Paris|69### Lyon|13### Aix-en-Provence"),
    "ES": ("Calle Mayor, %#", "280## Madrid"),
    "IT": ("Via Garibaldi %#", "001## Roma"),
    "BR": ("Rua Augusta, %###", "0####-### São Paulo"),
    "NL": ("Kerkstraat %##", "35## AB Utrecht"),
}


def house(country: str) -> Make:
    return lambda rng: ", ".join(patterned(rng.choice(part.split("|")))(rng) for part in TOWNS[country])


SECRETS = {
    "AWS": "AKIA" + "^" * 16,
    "GitHub": "ghp_" + "*" * 36,
    "OpenAI": "sk-proj-" + "*" * 48,
    "Anthropic": "sk-ant-" + "*" * 60,
    "Stripe": "sk_live_" + "*" * 24,
    "Slack": "xoxb-############-" + "*" * 24,
    "Google": "AIza" + "*" * 35,
    "Hugging Face": "hf_" + "*" * 34,
    "GitLab": "glpat-" + "*" * 20,
    "SendGrid": "SG." + "*" * 22 + "." + "*" * 43,
    "JSON Web Token": "eyJhbGciOiJIUzI1NiJ9.eyJ" + "*" * 40 + "." + "*" * 43,
}
SORTS += (
    Sort("imei", "bare", IMEI, called("IMEI"), checked=True),
    Sort(
        "passport", "9 digits", patterned("%########"), ("My passport number is {}.", "Passport no. {}", "Reisepass Nr. {}", "passport: {}")
    ),
    Sort(
        "passport",
        "letters",
        lambda rng: letters(rng, 2, "CFGHJK") + digits(rng, 7),
        ("My passport is {}.", "Passport No: {}", "pasaporte n° {}", "Passeport {}"),
    ),
    Sort("ip", "4", lambda rng: f"{rng.choice([8, 84, 91, 151, 188])}.{rng.randint(1, 250)}.{rng.randint(1, 250)}.{rng.randint(1, 250)}"),
    Sort("ip", "6", lambda rng: f"2a02:{rng.randint(1000, 9999)}:{rng.randint(100, 999)}::{rng.randint(1, 9999)}"),
    Sort("ip", "6 whole", lambda rng: ":".join(["2001", "db9", *(f"{rng.randint(1, 65535):x}" for _ in range(6))]).replace("db9", "4860")),
    Sort("mac", "colons", patterned("%&:&&:&%:&&:&&:9&")),
    Sort("mac", "dashes", lambda rng: patterned("%&-&&-&%-&&-&&-9&")(rng).upper()),
    Sort("mac", "dots", patterned("%&&&.&9&&.&&%&")),
    Sort(
        "url_login",
        "postgres",
        lambda rng: f"postgresql://{rng.choice(['admin', 'wei'])}:{patterned('*#*~*%*')(rng)}@db{rng.randint(2, 9)}.example.org:5432/shop",
    ),
    Sort("url_login", "https", lambda rng: f"https://jana:{patterned('~*#*~*')(rng)}@git.example.com/repo.git"),
    *(Sort("secret", name, patterned(form)) for name, form in SECRETS.items()),
    Sort("secret", "password", patterned("~^#*~!#*"), ("My password is {}", "password: {}", "Passwort: {}", "pwd={}")),
    Sort(
        "secret",
        "api key",
        patterned("&%&9&&&&9&&&&&8&&&&&&&&&"),
        ("api_key = '{}'", "API key: {}", "the access token is {}", 'client_secret="{}"'),
    ),
    *(
        Sort(
            "birth_date",
            form,
            date,
            ("Date of birth: {}", "My DOB is {}.", "I was born {}, if that helps.", "geboren am {}", "My birthday is {}."),
        )
        for form, date in zip(("d/m/y", "ISO", "d month y", "month d, y", "dots"), DATES, strict=True)
    ),
    Sort(
        "record", "MRN", patterned("%#######"), ("MRN {}", "MRN: {}", "medical record number {}", "Patient ID: {}", "Patientennummer: {}")
    ),
    Sort(
        "record", "account", patterned("%#######"), ("account number: {}", "My bank account number is {}.", "acct. {}", "Kontonummer: {}")
    ),
    Sort("record", "driving licence", patterned("^###-####-####"), ("My driver's license is {}.", "Driving licence number {}")),
    Sort(
        "address",
        "street",
        lambda rng: f"{rng.randint(2, 999)} {rng.choice(['Garden', 'Maple', 'Old Mill'])} {rng.choice(['Lane', 'Street', 'Road'])}",
        ("I live at {}.", "She moved to {} last year.", "My home address is {}.", "Send it to {}, please."),
    ),
    *(Sort("postal_address", country, house(country), ("{}", "I live at {}.", "Ship to: {}", "My address: {}.")) for country in TOWNS),
    Sort("name", "introduced", person, ("My name is {}.", "Ich heiße {}.", "Je m'appelle {}.", "Me llamo {}.")),
    Sort("name", "titled", person, ("Mrs. {} called.", "Ask Dr. {}.", "Frau {} weiß das.", "I spoke to Mr {} yesterday.")),
    Sort("name", "field", person, ("Name: {}", "Patient: {}", "Account holder: {}", "Cardholder name: {}")),
    Sort("name", "signed", person, ("Best regards,\n{}\n", "Yours sincerely, {}\n", "Mit freundlichen Grüßen\n{}\n")),
)


class Planted(NamedTuple):
    """A real text with a canary in it, and where."""

    text: str
    start: int
    end: int
    canary: Canary


def plant(texts: Sequence[str], each: int, *, wrong: bool = False, seed: int = 0) -> Iterator[Planted]:
    """Each sort of canary so many times, in real texts, before or after a sentence of them; wrong: with a check digit spoiled."""
    rng = random.Random(seed)
    for sort in SORTS:
        for _ in range(each) if sort.checked or not wrong else ():
            value = make.spoiled(sort.make(rng), rng) if wrong else sort.make(rng)
            sentence = rng.choice(sort.sentences)
            text = rng.choice(texts)
            ends = [0, len(text), *(at + 2 for at in range(len(text)) if text.startswith((". ", "? ", "! "), at))]
            at = rng.choice(ends)
            before, after = text[:at].rstrip(" "), text[at:]
            lead = f"{before}{' ' if before else ''}"
            start = len(lead) + sentence.index("{}")
            whole = f"{lead}{sentence.format(value)}{' ' if after else ''}{after}"
            yield Planted(whole, start, start + len(value), Canary(sort.kind, sort.form, value, sentence, wrong))
