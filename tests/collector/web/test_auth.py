"""Log-in, sessions, CSRF, invitations, the first administrator: from outside, through a real server."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx

from collector.access.access import Access
from collector.access.people import CONSOLE
from collector.access.roles import Role
from collector.ledger import Ledger, audit
from tests.collector.conftest import ONE_DATABASE, FixedClock
from tests.collector.web.conftest import PASSWORD

pytestmark = ONE_DATABASE


def token_of(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page.text)
    assert found, page.text
    return found[1]


def log_in(client: httpx.Client, name: str, password: str, **more: str) -> httpx.Response:
    form = {"csrf": token_of(client.get("/login")), "name": name, "password": password, **more}
    return client.post("/login", data=form)


def person(access: Access, name: str = "chen", role: Role = Role.VIEWER) -> None:
    access.accept(access.invite(CONSOLE, name, role), PASSWORD, address="-", browser="-")


def test_health_is_open_and_says_that_the_ledger_answers(client: httpx.Client) -> None:
    answer = client.get("/api/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert answer.json()["ledger"] is True


def test_a_log_in_opens_a_session_and_goes_where_one_wanted(client: httpx.Client, access: Access) -> None:
    person(access)
    entered = log_in(client, " Chen ", PASSWORD, next="/cases?open=1")
    assert entered.status_code == 303
    assert entered.headers["location"] == "/cases?open=1"
    cookie = next(value for value in entered.headers.get_list("set-cookie") if value.startswith("tillwatch_session="))
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert client.get("/login").status_code == 303, "who is in needs no form"


def test_a_log_in_never_leads_to_another_site(client: httpx.Client, access: Access) -> None:
    person(access)
    for goal in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"):
        entered = log_in(client, "chen", PASSWORD, next=goal)
        assert entered.headers["location"] == "/", goal
        client.cookies.clear()


def test_a_session_secret_is_made_anew_at_each_log_in(client: httpx.Client, access: Access) -> None:
    person(access)
    client.cookies.set("tillwatch_session", "planted-by-somebody-else", domain="127.0.0.1", path="/")
    log_in(client, "chen", PASSWORD)
    assert client.cookies["tillwatch_session"] != "planted-by-somebody-else"
    assert access.user_of_session("planted-by-somebody-else", address="-") is None


def test_wrong_passwords_are_refused_and_then_the_door_stays_shut(
    client: httpx.Client, access: Access, clock: FixedClock, ledger: Ledger
) -> None:
    person(access)
    for _ in range(5):
        refused = log_in(client, "chen", "not the password")
        assert refused.status_code == 401
        assert "do not fit" in refused.text
    limited = log_in(client, "chen", PASSWORD)
    assert limited.status_code == 429
    assert 0 < int(limited.headers["retry-after"]) <= 900
    clock.advance(minutes=16)
    assert log_in(client, "chen", PASSWORD).status_code == 303
    with ledger.read() as connection:
        actions = [entry.action for entry in audit.entries(connection)]
    assert actions.count("login.failed") == 5
    assert "not the password" not in str(actions)


def test_a_form_without_its_token_is_refused(client: httpx.Client, access: Access) -> None:
    person(access)
    form = {"name": "chen", "password": PASSWORD}
    assert client.post("/login", data=form).status_code == 403
    client.get("/login")
    assert client.post("/login", data={**form, "csrf": "0" * 64}).status_code == 403
    good = token_of(client.get("/login"))
    foreign = client.post("/login", data={**form, "csrf": good}, headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403
    with httpx.Client(base_url=client.base_url, timeout=60) as another:
        another.get("/login")
        assert another.post("/login", data={**form, "csrf": good}).status_code == 403, "another browser's token"


def test_logging_out_ends_the_session_for_whoever_kept_the_cookie(
    browser: Callable[[Role], httpx.Client], access: Access
) -> None:
    chen = browser(Role.VIEWER)
    secret = chen.cookies["tillwatch_session"]
    assert access.user_of_session(secret, address="-")
    assert chen.post("/logout").status_code == 303
    assert access.user_of_session(secret, address="-") is None


def test_the_first_administrator_comes_by_a_link_that_works_once(client: httpx.Client, access: Access) -> None:
    secret = access.first_admin_secret(CONSOLE)
    path = f"/first/{secret}"
    form = {"csrf": token_of(client.get(path)), "name": "root", "password": PASSWORD, "repeat": PASSWORD}
    short = client.post(path, data={**form, "password": "short", "repeat": "short"})
    assert short.status_code == 400
    assert "too short" in short.text
    assert client.post(path, data={**form, "repeat": "something else"}).status_code == 400
    assert client.post(path, data=form).status_code == 303
    assert client.get(path, headers={"Accept": "text/html"}).status_code == 404
    assert access.first_admin_secret(CONSOLE) is None


def test_an_invitation_sets_the_password_once(client: httpx.Client, access: Access) -> None:
    path = f"/invitation/{access.invite(CONSOLE, 'wang', Role.OPERATIONS, '王 <b>')}"
    page = client.get(path)
    assert "王 &lt;b&gt;" in page.text
    form = {"csrf": token_of(page), "password": PASSWORD, "repeat": PASSWORD}
    assert client.post(path, data=form).status_code == 303
    assert client.post(path, data=form, headers={"X-CSRF-Token": "x"}).status_code in (403, 404)
    client.cookies.clear()
    assert client.get(path).status_code == 404
    assert log_in(client, "wang", PASSWORD).status_code == 303


def test_a_new_password_ends_all_sessions(
    browser: Callable[[Role], httpx.Client], access: Access, client: httpx.Client
) -> None:
    chen = browser(Role.VIEWER)
    secret = chen.cookies["tillwatch_session"]
    other = access.log_in("some-viewer", PASSWORD, address="-", browser="-").secret
    form = {"old": PASSWORD, "password": "another four words here", "repeat": "another four words here"}
    assert chen.post("/password", data={**form, "old": "wrong one"}).status_code == 401
    assert chen.post("/password", data=form).status_code == 303
    assert access.user_of_session(secret, address="-") is None
    assert access.user_of_session(other, address="-") is None
    assert log_in(client, "some-viewer", "another four words here").status_code == 303


def test_forms_speak_the_language_one_chose(client: httpx.Client) -> None:
    assert 'lang="en"' in client.get("/login").text
    chinese = client.get("/login", headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"})
    assert 'lang="zh-CN"' in chinese.text
    assert "登录" in chinese.text
    token = token_of(client.get("/login"))
    client.post("/language", data={"csrf": token, "language": "zh-CN", "next": "/login"})
    assert "登录" in client.get("/login").text
    bad = client.post("/language", data={"csrf": token, "language": "xx"}, headers={"Accept": "application/json"})
    assert bad.status_code == 400


def test_answers_carry_the_headers_that_keep_a_page_to_itself(client: httpx.Client) -> None:
    for path in ("/login", "/api/health", "/nowhere", "/static/theme.css"):
        headers = client.get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
