"""What strangers try: other sites' forms, stolen and forged cookies, headers, bodies without end, tokens that are none."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient

from preceptor.web import auth
from preceptor.web.middleware import MAX_BODY_BYTES, SECURITY_HEADERS


def signed_in(site, name: str = "ann", role: str = "annotator", address: str = "http://testserver") -> TestClient:
    """A browser that has come in by a link."""
    client = TestClient(site.app, base_url=address, follow_redirects=False, raise_server_exceptions=False)
    path = urlsplit(site.access.invite(name, role)["link"]).path
    for _ in range(2):
        assert client.get(path).status_code == 303
    return client


def token_of(page: str) -> str:
    return re.search(r'name="csrf" value="([^"]+)"', page)[1]


class TestForms:
    def test_another_sites_form_is_refused(self, site):
        boss = signed_in(site, "boss", "owner")
        for token in ("", "x", "ü", "0" * 64, token_of(signed_in(site, "eve").get("/password").text)):
            assert boss.post("/password", data={"csrf": token, "password": "another long word"}).status_code == 403
        assert boss.post("/logout", data={}).status_code == 403
        assert boss.get("/manage").status_code == 200

    def test_a_login_form_belongs_to_its_browser(self, site):
        attacker, victim = (TestClient(site.app, follow_redirects=False) for _ in range(2))
        token = token_of(attacker.get("/login").text)
        assert victim.post("/login", data={"csrf": token, "name": "a", "password": "b"}).status_code == 403

    def test_a_form_of_no_browser_has_no_token(self, site):
        import hmac

        boss = site.access.invite("boss", "owner")
        site.access.set_password("boss", "correct horse battery")
        assert boss["annotator"] == "boss"
        nobody = TestClient(site.app, follow_redirects=False)
        for token in ("", hmac.new(b"", b"form", hashlib.sha256).hexdigest()):
            data = {"csrf": token, "name": "boss", "password": "correct horse battery"}
            assert nobody.post("/login", data=data).status_code == 403

    def test_a_script_of_another_site_cannot_use_the_session_on_the_api(self, site):
        ann = signed_in(site)
        slot = ann.get("/api/v1/next").json()["slot"]
        body = {"slot": slot, "answer": "yes"}
        assert ann.post("/api/v1/judgments", json=body).status_code == 403
        assert ann.post("/api/v1/judgments", json=body, headers={"x-form-token": "x"}).status_code == 403
        token = token_of(ann.get("/password").text)
        assert ann.post("/api/v1/judgments", json=body, headers={"x-form-token": token}).status_code == 201

    def test_a_form_that_is_none(self, site):
        ann = signed_in(site)
        for body, kind in (
            (b"\xff=\xff", "application/x-www-form-urlencoded"),
            (b"--x", "multipart/form-data"),
            (b"{}", "application/json"),
        ):
            refused = ann.post("/password", content=body, headers={"content-type": kind})
            assert refused.status_code in (400, 403, 422), (kind, refused.status_code)


class TestSessions:
    def test_the_cookie_is_out_of_scripts_reach(self, site):
        for address, secure in (("http://testserver", False), ("https://testserver", True)):
            client = TestClient(site.app, base_url=address, follow_redirects=False)
            path = urlsplit(site.access.invite(f"ann {secure}")["link"]).path
            client.get(path)
            cookie = client.get(path).headers["set-cookie"].lower()
            assert "httponly" in cookie
            assert "samesite=lax" in cookie
            assert "path=/" in cookie
            assert ("secure" in cookie) == secure

    def test_a_session_is_new_at_each_sign_in(self, site):
        ann = signed_in(site)
        before = ann.cookies[auth.SESSION_COOKIE]
        site.access.set_password("ann", "correct horse battery")
        page = ann.get("/login").text
        assert ann.post("/login", data={"csrf": token_of(page), "name": "ann", "password": "correct horse battery"}).status_code == 303
        assert ann.cookies[auth.SESSION_COOKIE] != before

    @pytest.mark.parametrize("forge", ["", "x", "eyJjIjoxfQ.aaaa.bbbb", "half"])
    def test_a_forged_cookie_is_nobodys(self, site, forge):
        ann = signed_in(site)
        cookie = ann.cookies[auth.SESSION_COOKIE]
        half = len(cookie) // 2
        altered = cookie[:half] + ("B" if cookie[half] == "A" else "A") + cookie[half + 1 :]
        forged = altered if forge == "half" else forge
        thief = TestClient(site.app, cookies={auth.SESSION_COOKIE: forged}, follow_redirects=False)
        assert thief.get("/api/v1/me").status_code == 401

    def test_a_cookie_forged_from_the_database_is_nobodys(self, site):
        """The key that signed cookies stood in preceptor.db: a cookie made from it was the owner's."""
        from itsdangerous import URLSafeTimedSerializer

        signed_in(site, "boss", "owner")
        with site.project.database.reading() as connection:
            from sqlalchemy import text

            kept = [str(value) for value in connection.execute(text("SELECT value FROM settings")).scalars()]
            rows = list(connection.execute(text("SELECT pk, hash FROM credentials")))
        forged = [URLSafeTimedSerializer(key, salt="session").dumps({"c": row.pk, "n": "x"}) for key in [*kept, "other"] for row in rows]
        assert forged
        for cookie in (*forged, *kept, *(str(value) for row in rows for value in row)):
            assert TestClient(site.app, cookies={auth.SESSION_COOKIE: cookie}).get("/api/v1/me").status_code == 401

    def test_who_is_revoked_is_out_within_seconds(self, site, monkeypatch):
        ann, clock = signed_in(site), [1000.0]
        monkeypatch.setattr(auth.time, "monotonic", lambda: clock[0])
        assert ann.get("/api/v1/me").status_code == 200
        site.access.revoke_credentials("ann", by="boss")
        clock[0] += auth._CACHE_SECONDS + 0.1
        assert ann.get("/api/v1/me").status_code == 401


class TestTokens:
    def test_rubbish_is_nobodys(self, site, error_of, subtests):
        for header in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer x",
            "Basic eDp5",
            "Bearer \xff\xfe",
            "bearer " + "x" * 10_000,
            "Bearer 'OR 1=1--",
            "Token x",
            "Bearer a b",
        ]:
            with subtests.test(header=header):
                client = TestClient(site.app, raise_server_exceptions=False)
                refused = client.get("/api/v1/me", headers={"authorization": header.encode("latin-1")})
                error_of(refused, 401)
                assert refused.headers["www-authenticate"] == "Bearer"

    def test_a_link_and_a_hash_are_no_tokens(self, site):
        invited = site.access.invite("ann")
        link = invited["link"].rpartition("/")[2]
        for secret in (link, hashlib.sha256(invited["token"].encode()).hexdigest()):
            assert site.asking(secret).get("/api/v1/me").status_code == 401
        assert site.asking(invited["token"]).get("/api/v1/me").status_code == 200

    def test_nobody_hands_out_more_than_they_have(self, site, error_of):
        manager = site.program("manage", "read")
        error_of(manager.post("/api/v1/people", json={"name": "eve", "role": "owner"}), 403)
        error_of(manager.post("/api/v1/people", json={"name": "other", "scopes": ["items"]}), 403)
        assert manager.post("/api/v1/people", json={"name": "other", "scopes": ["read"]}).status_code == 201


class TestHeaders:
    def test_every_answer_has_them(self, site, subtests):
        for path in ["/login", "/api/v1/me", "/api/v1/docs", "/nothing", "/static/preceptor.css", "/health/live"]:
            with subtests.test(path=path):
                answer = TestClient(site.app).get(path)
                for name, value in SECURITY_HEADERS:
                    assert answer.headers[name.decode()] == value.decode()
                assert "unsafe" not in answer.headers["content-security-policy"]
                assert answer.headers["cache-control"] == ("max-age=300" if path.startswith("/static/") else "no-store")

    def test_also_where_we_are_at_fault(self, site, monkeypatch, error_of):
        def fall_over(*_):
            raise ValueError("a secret of the server")

        monkeypatch.setattr(site.project, "status", fall_over)
        answer = site.client("boss", "owner").get("/api/v1/status")
        assert "secret" not in error_of(answer, 500)["message"]
        assert answer.headers["content-security-policy"]

    def test_the_host_is_not_believed(self, site):
        evil = TestClient(site.app, headers={"host": "evil.example"}, follow_redirects=False)
        assert evil.get("/work").headers["location"] == "/login?next=/work"
        assert "evil" not in str(evil.get("/work/").headers.get("location"))
        boss = site.client("boss", "owner")
        assert "evil" not in boss.post("/api/v1/people", json={"name": "ann"}, headers={"host": "evil.example"}).text

    def test_a_path_does_not_become_a_header(self, site):
        client = TestClient(site.app, follow_redirects=False)
        answer = client.get("/work/guidelines%0d%0aset-cookie:%20a=b")
        assert "a" not in client.cookies
        assert answer.status_code in (303, 404)


class TestBodies:
    @pytest.mark.parametrize("path", ["/api/v1/judgments", "/login", "/password", "/work"])
    def test_twenty_megabytes_are_refused(self, site, path):
        client = site.client()
        refused = client.post(path, content=b"x" * (20 << 20), headers={"content-type": "application/json"})
        assert refused.status_code == 413
        assert "too large" in refused.json()["error"]["message"]

    def test_also_where_nobody_says_how_long_it_is(self, site, error_of):
        pieces = (b'{"slot": 1, "answer": "', *([b"x" * (1 << 16)] * 20), b'"}')
        refused = site.client().post("/api/v1/judgments", content=iter(pieces), headers={"content-type": "application/json"})
        error_of(refused, 413)

    def test_a_length_that_is_none(self, site, subtests):
        client = site.client()
        for length in ["x", "-1", "9" * 5000, "1e3", "\u00b2"]:
            with subtests.test(length=length[:10]):
                headers = {"content-type": "application/json", "content-length": length.encode("latin-1")}
                assert client.post("/api/v1/judgments", content=b"{}", headers=headers).status_code == 413

    def test_a_text_that_fits_is_taken(self, site):
        text = "x" * (MAX_BODY_BYTES - 100)
        ann = site.client()
        slot = ann.get("/api/v1/next").json()["slot"]
        assert ann.post(f"/api/v1/slots/{slot}/pass", json={"reason": text}).status_code == 422
        assert site.client("boss", "owner").post("/api/v1/items", json=[{"text": "y" * 900_000}] * 3).status_code == 201
