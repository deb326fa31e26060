"""Which language a request is answered in: what was chosen (cookie), the account's, the browser's, the collector's."""

from __future__ import annotations

from fastapi import Request

from collector.texts import LANGUAGES, Texts, choose_language

COOKIE = "tillwatch_language"


def language_of(request: Request) -> str:
    """`en` or `zh-CN`."""
    if (chosen := request.cookies.get(COOKIE)) in LANGUAGES:
        return chosen
    user = getattr(request.state, "user", None)
    if user is not None and user.language in LANGUAGES:
        return str(user.language)
    accepted = request.headers.get("accept-language", "").lower()
    settings = request.app.state.site.settings
    if settings.language in LANGUAGES and "zh" not in accepted and "en" not in accepted:
        return str(settings.language)
    return choose_language(accepted)


def texts_of(request: Request) -> Texts:
    """The catalogue of the request's language."""
    return Texts(language_of(request))
