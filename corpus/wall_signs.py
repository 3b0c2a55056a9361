"""The signs of walls: titles, sentences and marks in the markup by which each kind of wall is told, in several languages.

A pattern of titles must match a title, or a part of one between bars and dashes, whole; the others are searched for. Gaps
within them are bounded, so that a page made to confuse them cannot keep them busy.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Found(NamedTuple):
    """Where a phrase stands in a text, and its words."""

    start: int
    words: str


class Phrases:
    """Patterns to be searched for line by line, only in lines that hold one of the ``stems``, as nearly no line does.

    Every match of a pattern holds a stem, in small letters, so that the stems change the cost and not the result.
    """

    def __init__(self, stems: str, *patterns: str) -> None:
        """Take the stems, parted by bars, and the patterns."""
        self.stems = tuple(stems.split("|"))
        self.pattern = _any(*patterns)

    def search(self, text: str) -> Found | None:
        """Return the first match within a line, or None."""
        if not self.likely(text):
            return None
        start = 0
        for line in text.split("\n"):
            match = self.pattern.search(line) if self.likely(line) else None
            if match is not None:
                return Found(start + match.start(), match.group())
            start += len(line) + 1
        return None

    def likely(self, text: str) -> bool:
        """Tell whether the text holds a stem."""
        small = text.lower()
        return any(stem in small for stem in self.stems)


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)


SEGMENT = re.compile(r"\s+[|·•»›–—-]+\s+|\s*\|\s*")
BARE_HOST = re.compile(r"https?://\S+|[\w-]+(?:\.[\w-]+)+", re.IGNORECASE)

BOT_TITLE = _any(
    r"just a moment(?:\.\.\.|…)?",
    r"attention required!?",
    r"access (?:to this page has been )?(?:is )?denied",
    r"pardon our interruption(?:\.\.\.|…)?",
    r"are you a robot\??",
    r"robot check",
    r"(?:human|bot|browser) (?:verification|check)",
    r"(?:please )?verify(?:ing)? (?:that )?you(?: are|'re|’re) (?:a )?human\.?",
    r"(?:ddos|security|bot) (?:protection|check)\b.{0,30}",
    r"checking your browser\b.{0,40}",
    r"one moment,? please(?:\.\.\.|…)?",
    r"please wait(?:\.\.\.|…)?.{0,20}",
    r"ddos-guard",
    r"making sure you(?:'|’)re not a bot!?",
    r"403 forbidden",
    r"un (?:instant|momento)(?:\.\.\.|…)",
    r"(?:einen|nur einen) moment(?: bitte)?(?:\.\.\.|…)?",
    r"you have been blocked",
    r"request (?:blocked|unsuccessful).{0,40}",
    r"один момент(?:\.\.\.|…)?",
    r"请稍候(?:\.\.\.|…)?",
    r"لحظة(?: من فضلك)?(?:\.\.\.|…)?",
)
BOT_PHRASE = Phrases(
    "enable j|checking |verif|vérif|m not a robot|im not a robot|review the security|complete the |"
    "unusual traffic|press |permission to access| blocked|confirm |made us think|incapsula incident|"
    "automated access|protected by|подтвердите, что вы|bestätigen sie|确认您是真人|不是机器人",
    r"enable (?:javascript|js) and (?:cookies|disable any ad ?blocker)",
    r"checking (?:if the site connection is secure|your browser)",
    r"verif(?:y|ying) (?:that )?you(?: are|'re|’re) (?:a |not a )?(?:human|robot|bot)",
    r"i(?:'|’)?a?m not a robot",
    r"needs to review the security of your connection",
    r"complete the (?:security check|captcha)",
    r"unusual traffic from your",
    r"press (?:&|and) hold\b",
    r"you don(?:'|’)t have permission to access",
    r"you (?:have been|were|are) blocked",
    r"confirm (?:that )?you are (?:a )?human",
    r"made us think you (?:were|are|might be) a bot",
    r"incapsula incident",
    r"automated access to (?:this|our) (?:site|page)",
    r"protected by .{0,30}against (?:ai )?(?:bots|scrapers|ddos)",
    r"why have i been blocked",
    r"vérif\w+ que vous (?:êtes|n['’]êtes pas) (?:un )?(?:humain|robot)",
    r"подтвердите, что вы (?:не робот|человек)",
    r"bestätigen sie, dass sie (?:ein mensch|kein roboter)",
    r"verifi\w+ que (?:eres|es usted) humano",
    r"确认您是真人|不是机器人",
)
BOT_MARK = _any(
    r"_cf_chl_opt",
    r"cf-chl-",
    r"id=[\"']challenge-(?:form|running|error)",
    r"captcha-delivery\.com",
    r"px-captcha",
    r"<iframe[^<>]{0,80}_incapsula_resource",
    r"sucuri_cloudproxy",
    r"ddos-guard\.net",
    r"awswafintegration|awswaf\.com",
    r"/cmd/anubis",
    r"errors\.edgesuite\.net",
    r"[\"' ](?:g-recaptcha|h-captcha|cf-turnstile)[\"' ]",
    r"/\.well-known/sgcaptcha",
)
BOT_HEADER = {"cf-mitigated": "challenge", "x-amzn-waf-action": "c"}

GONE_TITLE = _any(
    r"(?:error:?\s*)?(?:http )?404(?: error)?[\s:.!–—-]*(?:(?:page|file|article|content) )?(?:not found|error)?[.!]?",
    r"(?:error:?\s*)?(?:sorry,? )?(?:the )?(?:page|file|article|story|content)(?: was| is)? not found[.!]?",
    r"(?:the )?(?:page|article|story) (?:cannot|can['’]t|could not) be found[.!]?",
    r"not found",
    r"(?:oops|sorry)[!,.…]*(?: (?:this|that|the) page .{0,40})?",
    r"(?:this |the )?page (?:does not|doesn['’]t|no longer) exists?[.!]?",
    r"(?:seite|artikel) (?:wurde )?nicht gefunden[.!]?",
    r"(?:la )?p[áa]gina no (?:encontrada|existe)",
    r"(?:la )?page (?:introuvable|non trouvée|n['’]existe pas)",
    r"página não encontrada",
    r"pagina non trovata",
    r"страница не найдена",
    r"không tìm thấy trang",
    r"页面(?:不存在|未找到)|找不到(?:该)?页面",
    r"(?:عذراً،? )?الصفحة غير موجودة",
    r"ページが見つかりません(?:でした)?",
)
GONE_PHRASE = Phrases(
    "page|article|story|content|file|requested url|página|seite|страниц|的页面|الصفحة",
    r"(?:page|article|story|content|file)s? (?:that )?"
    r"(?:you(?:['’]re| are| were)? (?:looking for|trying to (?:reach|view|access)|requested|seeking)|you['’]ve requested)"
    r".{0,60}(?:not|n['’]t|no longer|moved|removed|deleted|exist)",
    r"(?:can['’]?t|cannot|could not|couldn['’]t|unable to) (?:seem to )?find (?:the|that|this) "
    r"(?:page|article|story|file)",
    r"page (?:you requested )?(?:could not|cannot|can['’]t|couldn['’]t) be found",
    r"page (?:does not|doesn['’]t|no longer) exists?",
    r"\bpage (?:has been|was|may have been) (?:moved|removed|deleted)",
    r"the requested url .{0,200}not found",
    r"page (?:que vous (?:cherchez|recherchez|avez demandée)|demandée).{0,60}(?:pas|plus|introuvable|déplacée)",
    r"página (?:que (?:busca|buscas|está buscando)|solicitada).{0,60}no",
    r"(?:angeforderte|gewünschte|gesuchte) seite .{0,60}nicht",
    r"запрашиваем\w+ страниц\w+ .{0,60}(?:не|удалена)",
    r"您(?:访问|请求|查找)的页面",
    r"الصفحة التي (?:تبحث عنها|طلبتها)",
)

CONSENT_TITLE = _any(
    r"before you continue(?: to .{1,40})?",
    r"(?:your |manage (?:your )?)?(?:cookies?|privacy|consent)(?: and cookies?)?"
    r" (?:consent|settings|preferences|choices|notice|options|wall)",
    r"we (?:value|care about|respect) your privacy",
    r"(?:your )?consent",
    r"(?:nous respectons )?votre vie privée",
    r"(?:gestion|paramètres) des cookies",
    r"(?:cookie-?|datenschutz-?)einstellungen",
    r"ihre privatsphäre.{0,20}",
    r"(?:aviso|configuración) de (?:cookies|privacidad)",
    r"tu privacidad.{0,30}",
)
CONSENT_ADDRESS = _any(
    r"^https?://(?:consent|consents|privacy|cmp|guce|myprivacy)\.",
    r"/(?:consent|cookie-?wall|privacy-?(?:gate|wall)|cookie-?consent)\b",
)
CONSENT_SENTENCE = Phrases(
    "cookie|partner|partenaire|socios|vendor|tracker|traceur|personal|personnelles|technolog|consent|"
    "einwilligung|zustimmung|datenschutz|choice|preferences|privacy|privacidad|legitimate interest|"
    "accept|reject|agree|decline|manage|allow|more|save|access information|geolocation",
    r"\b(?:we|our|us)\b.{0,120}\b(?:cookies?|partners?|vendors|trackers|personal data|similar technolog\w+)\b",
    r"\b(?:cookies?|partners?|vendors|personal data|privacy)\b.{0,120}\b(?:we|our|us)\b",
    r"\b(?:you|your)\b.{0,120}\b(?:cookies?|consent\w*|choices?|preferences|privacy|personal data|legitimate interest)\b",
    r"\b(?:cookies?|consent|choices|preferences|privacy|personali[sz]ed)\b.{0,120}\b(?:you|your)\b",
    r"^[\W]*(?:accept|reject|agree|decline|manage|allow|more|save|i (?:accept|agree))\b[\w ,&/-]{0,40}$",
    r"store and/or access information",
    r"(?:precise geolocation|personalised|personalized) (?:data|ads|advertising|content)",
    r"\b(?:nous|nos|notre|vous|votre|vos)\b.{0,120}\b(?:cookies?|partenaires|consentement|traceurs|données personnelles)\b",
    r"\b(?:wir|uns|unsere\w*|sie|ihre?\w*)\b.{0,120}\b(?:cookies?|partnern?|einwilligung|zustimmung|datenschutz)\b",
    r"\b(?:nosotros|nuestr\w+|usted|tus?|sus?)\b.{0,120}\b(?:cookies?|socios|consentimiento|privacidad)\b",
)
CONSENT_BUTTON = _any(
    r"\b(?:accept|reject|allow|decline|refuse) all\b",
    r"\baccept (?:and|&) (?:continue|close)\b",
    r"\bagree (?:and|&) (?:continue|close|proceed)\b",
    r"\bmanage (?:options|preferences|settings|cookies|choices)\b",
    r"\bi (?:accept|agree)\b",
    r"\b(?:tout accepter|accepter (?:et|tout)|continuer sans accepter)\b",
    r"\balle(?:s)? akzeptieren\b|\bzustimmen und\b",
    r"\b(?:aceptar|rechazar) tod[oa]s?\b",
)

PAY_PHRASE = Phrases(
    "reading|subscriber|member|full |whole |entire |complete |rest of |unlock |limit|free article|"
    "this month|per month|abonn|il vous reste|leyendo|suscriptores|weiterlesen|подписчик|assinantes|"
    "abbonati|订阅|会员|登录后|للمشتركين",
    r"\b(?:subscribe|subscription|register|sign (?:in|up)|log ?in|join|create (?:a|an|your) (?:free )?account|free trial)\b"
    r"[^.!?\n]{0,60}\b(?:continue|keep|finish|go on) reading",
    r"\b(?:continue|keep) reading[^.!?\n]{0,40}"
    r"\b(?:subscri\w+|sign(?:ing)? (?:in|up)|log(?:ging)? ?in|registering|account|trial)\b",
    r"(?:article|story|content|page|report) is (?:only |exclusively )?(?:available |reserved )?"
    r"(?:only )?(?:for|to) (?:(?:our |paying |registered )?subscribers|(?:paying |registered )members)",
    r"\b(?:subscribers?|members?)[- ]only (?:article|story|content)",
    r"(?:exclusive|only) (?:to|for) (?:our )?subscribers",
    r"\bto (?:read|unlock|access|view|see) (?:the |this )?"
    r"(?:full|whole|entire|complete|rest of (?:the|this)) (?:article|story|report|text)",
    r"\bunlock (?:this|the full) (?:article|story)",
    r"you(?:['’]ve| have) (?:reached|used|read|hit) (?:your|all|the)[^.!?\n]{0,40}"
    r"(?:limit|free articles?|articles? (?:this|per) month)",
    r"réservée? (?:à nos|aux) abonnés",
    r"il vous reste \d+ ?% de (?:cet article|ce contenu)",
    r"suscr[íi]b\w+[^.!?\n]{0,30} (?:seguir|continuar) leyendo",
    r"(?:para|de) suscriptores",
    r"(?:nur|exklusiv) für abonnent",
    r"\bweiterlesen[^.!?\n]{0,40}\b(?:abo|anmeld|regist)",
    r"(?:только|доступ\w*) (?:для )?подписчик",
    r"exclusiv\w+ para assinantes",
    r"riservato agli abbonati",
    r"(?:仅限|仅供)(?:订阅|会员)|订阅后(?:继续)?阅读|登录后(?:继续)?阅读",
    r"للمشتركين فقط",
)
NOT_FREE = re.compile(
    r"isAccessibleForFree[\"']?\s*[:=]\s*[\"']?(?:https?://schema\.org/)?false|content_tier[\"']\s+content=[\"']locked",
    re.IGNORECASE,
)
PAY_MARK = _any(
    r"(?:class|id)=[\"'][^\"'<>]{0,200}\b(?:paywall|subscriber-only|premium-(?:wall|lock)|regwall|tp-container)\b"
)
WORD_COUNT = re.compile(r"[\"']wordCount[\"']\s*:\s*[\"']?(\d{2,6})")
ELLIPSIS = re.compile(r"(?:…|\.\.\.|\[(?:…|\.\.\.)\])\s*$")

LOGIN_TITLE = _any(
    r"(?:log|sign) ?in(?: to .{1,30}| or (?:register|sign up))?",
    r"login",
    r"(?:se )?connexion",
    r"anmelden",
    r"iniciar sesión",
    r"вход",
)
PASSWORD = re.compile(r"<input\b[^<>]{0,300}type=[\"']?password", re.IGNORECASE)
SCRIPT_PHRASE = Phrases(
    "javascript",
    r"enable javascript",
    r"javascript (?:is |has been )?(?:disabled|required|not (?:enabled|available|supported))",
    r"turn on javascript",
    r"requires? javascript",
    r"activ\w+ javascript",
    r"javascript aktivieren",
    r"включите javascript",
)
REGION_PHRASE = Phrases(
    "available |attempting to access",
    r"(?:unavailable|not available) (?:in|to) "
    r"(?:your (?:country|region|location)|most european countries|(?:visitors|readers|users) (?:from|in) )",
    r"unavailable (?:for|due to) legal reasons",
    r"recognis?z?e you are attempting to access this website from a country",
)
