"""Languages by the names that people and programs give them: en, EN, en-US, eng, English."""

from functools import cache

LONGEST_CODE = 3  # letters

# ISO 639-1 where there is one, as Whisper has it; then ISO 639-2 codes and English names.
_NAMES = """
en eng english; zh zho chi cmn chinese mandarin; de deu ger german; es spa spanish castilian;
ru rus russian; ko kor korean; fr fra fre french; ja jpn japanese; pt por portuguese;
tr tur turkish; pl pol polish; ca cat catalan valencian; nl nld dut dutch flemish; ar ara arabic;
sv swe swedish; it ita italian; id ind in indonesian; hi hin hindi; fi fin finnish;
vi vie vietnamese; he heb iw hebrew; uk ukr ukrainian; el ell gre greek; ms msa may malay;
cs ces cze czech; ro ron rum romanian moldavian moldovan; da dan danish; hu hun hungarian;
ta tam tamil; no nor nb nob norwegian; th tha thai; ur urd urdu; hr hrv croatian; bg bul bulgarian;
lt lit lithuanian; la lat latin; mi mri mao maori; ml mal malayalam; cy cym wel welsh;
sk slk slo slovak; te tel telugu; fa fas per persian farsi; lv lav latvian; bn ben bengali;
sr srp serbian; az aze azerbaijani; sl slv slovenian; kn kan kannada; et est estonian;
mk mkd mac macedonian; br bre breton; eu eus baq basque; is isl ice icelandic;
hy hye arm armenian; ne nep nepali; mn mon mongolian; bs bos bosnian; kk kaz kazakh;
sq sqi alb albanian; sw swa swahili; gl glg galician; mr mar marathi; pa pan punjabi panjabi;
si sin sinhala sinhalese; km khm khmer; sn sna shona; yo yor yoruba; so som somali;
af afr afrikaans; oc oci occitan; ka kat geo georgian; be bel belarusian; tg tgk tajik;
sd snd sindhi; gu guj gujarati; am amh amharic; yi yid ji yiddish; lo lao; uz uzb uzbek;
fo fao faroese; ht hat haitian; ps pus pashto pushto; tk tuk turkmen; nn nno nynorsk;
mt mlt maltese; sa san sanskrit; lb ltz luxembourgish letzeburgesch; my mya bur burmese myanmar;
bo bod tib tibetan; tl tgl fil tagalog filipino; mg mlg malagasy; as asm assamese; tt tat tatar;
haw hawaiian; ln lin lingala; ha hau hausa; ba bak bashkir; jw jv jav javanese; su sun sundanese;
yue cantonese
"""


def language_code(name: str) -> str:
    """Return the code of the language *name*; an unknown name stays as it is, in lower case.

    A region or a script after the language is ignored.
    """
    plain = name.strip().lower().replace("_", "-")
    base = plain.partition("-")[0]
    return _codes().get(plain) or _codes().get(base) or plain


def language_name(code: str) -> str:
    """Return the English name of the language *code*, in small letters; else *code* itself."""
    return _english().get(code, code)


@cache
def _english() -> dict[str, str]:
    """Return the first name of each language that is not one of its codes."""
    lines = (line.split() for line in _NAMES.split(";"))
    return {
        line[0]: next((name for name in line if len(name) > LONGEST_CODE), line[-1])
        for line in lines
    }


@cache
def _codes() -> dict[str, str]:
    lines = (line.split() for line in _NAMES.split(";"))
    return {name: line[0] for line in lines for name in line}
