"""Who gets in, and who does not."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farm.web import attempts, login, password
from farm.web.attempts import Attempts
from farm.web.server import Place


class Open(login.Handler):
    def get(self) -> None:
        self.write("seen")


class Closed(login.Handler):
    needs = login.Needs.LOGIN
    done = 0

    def get(self) -> None:
        self.write("secret")

    def post(self) -> None:
        Closed.done += 1
        self.write("done")


class Metrics(Closed):
    takes_token = True


ROUTES = [("/", Open), ("/closed", Closed), ("/metrics", Metrics)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def browser(browse: Any, home: Path) -> Iterator[Any]:
    with browse(ROUTES, home) as browser:
        yield browser


@pytest.fixture
def word(home: Path) -> str:
    return password.load(home).password


def test_the_password_is_made_once_and_its_owner_alone_reads_it(tmp_path: Path) -> None:
    first = password.load(tmp_path)

    assert password.load(tmp_path) == first
    assert len(first.password.replace("-", "")) == 16
    assert (tmp_path / "web" / "password").read_text().strip() == first.password
    for path in (tmp_path / "web").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert sorted(path.name for path in (tmp_path / "web").iterdir()) == [
        "key",
        "password",
        "token",
    ]


def test_secrets_are_in_no_repr(tmp_path: Path) -> None:
    known = password.load(tmp_path)

    assert not any(str(one) in repr(known) for one in (known.password, known.token, known.key))


def test_a_password_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine"
    file.write_text("open sesame\n")
    file.chmod(0o640)

    with pytest.raises(
        ValueError, match=r"FARM_WEB_PASSWORD_FILE: .*mine has mode 0640, .*chmod 600 it"
    ):
        password.load(tmp_path, file)


def test_another_password_ends_all_sessions(tmp_path: Path) -> None:
    before = password.load(tmp_path)
    (tmp_path / "web" / "password").write_text("another one")

    after = password.load(tmp_path)

    assert after.password == "another one"
    assert after.key != before.key


def test_looking_needs_no_login_and_doing_does(browser: Any) -> None:
    assert browser.get("/").text == "seen"
    answer = browser.get("/closed")
    assert (answer.status, answer.headers["Location"]) == (302, "/login?next=%2Fclosed")
    assert "secret" not in answer.text


def test_private_pages_are_not_even_looked_at(browse: Any, home: Path) -> None:
    with browse(ROUTES, home, private=True) as browser:
        assert browser.get("/").status == 302
        assert browser.get("/nowhere").status == 302  # nobody learns what there is
        assert browser.send("GET", "/").status == 401
        assert browser.get("/login").status == 200


def test_a_login_opens_what_is_closed_and_a_logout_closes_it(browser: Any, word: str) -> None:
    answer = browser.login(word, next="/closed")
    assert (answer.status, answer.headers["Location"]) == (303, "/closed")
    assert browser.get("/closed").text == "secret"
    copied = dict(browser.jar)

    assert browser.post("/logout").status == 303
    assert browser.get("/closed").status == 302
    browser.jar = copied  # whoever copied the cookie is out as well
    assert browser.get("/closed").status == 302


def test_the_cookie_is_hidden_from_scripts_and_other_sites(browser: Any, word: str) -> None:
    answer = browser.login(word)

    (cookie,) = [c for c in answer.cookies if c.startswith("farm-")]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "expires" not in cookie.lower()  # it goes with the browser


def test_a_session_ends_after_its_hours(browse: Any, home: Path, word: str) -> None:
    from tornado.web import create_signed_value

    known = password.load(home)
    with browse(ROUTES, home) as browser:
        name = login.Guard(known).cookie
        for age_h, status in ((login.SESSION_H - 0.1, 200), (login.SESSION_H + 0.1, 302)):
            import time

            made = time.time() - age_h * 3600
            value = create_signed_value(known.key, name, "somebody", clock=lambda at=made: at)
            browser.jar = {name: value.decode()}
            assert browser.get("/closed").status == status, age_h


def test_a_cookie_of_another_key_is_none(browse: Any, home: Path, tmp_path: Path) -> None:
    from tornado.web import create_signed_value

    theirs = password.load(tmp_path)
    with browse(ROUTES, home) as browser:
        name = login.Guard(password.load(home)).cookie
        browser.jar = {name: create_signed_value(theirs.key, name, "somebody").decode()}
        assert browser.get("/closed").status == 302


def test_a_program_shows_its_token_only_where_one_is_taken(browser: Any, home: Path) -> None:
    token = password.load(home).token

    assert browser.send("GET", "/metrics", Authorization=f"Bearer {token}").text == "secret"
    assert browser.send("GET", "/closed", Authorization=f"Bearer {token}").status == 401
    refused = browser.send("GET", "/metrics", Authorization=f"Bearer {token}x")
    assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_a_form_of_another_site_does_nothing(browser: Any, word: str) -> None:
    browser.login(word)
    before, form = Closed.done, f"_xsrf={browser.token()}"

    assert browser.send("POST", "/closed", "").status == 403
    assert browser.send("POST", "/closed", "_xsrf=2|00000000|00|1").status == 403
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        sent = {name.replace("-", "_"): value for name, value in headers.items()}
        assert browser.send("POST", "/closed", form, **sent).status == 403
    assert Closed.done == before
    assert browser.send("POST", "/closed", form).text == "done"


def test_the_pages_answer_to_no_name_of_another_site(browser: Any) -> None:
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::1", ""):
        assert browser.get("/", Host=host).status in (400, 403), host
    assert browser.get("/", Host="localhost:1234").status == 200


def test_guessing_is_slowed_and_the_password_is_not_heard_meanwhile(
    browser: Any, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(attempts.FREE):
        assert browser.login(f"guess {number}").status == 403

    answer = browser.login(word)

    assert answer.status == 429
    assert 0 < int(answer.headers["Retry-After"]) <= attempts.FIRST_S
    assert browser.get("/closed").status == 302
    assert "guess" not in caplog.text


def test_each_failure_doubles_the_wait_up_to_a_limit() -> None:
    tries, now, waits = Attempts(), 1000.0, []
    for _ in range(attempts.FREE + 12):
        tries.failed("10.0.0.1", now)
        waits.append(tries.wait_s("10.0.0.1", now))

    assert waits[: attempts.FREE - 1] == [0] * (attempts.FREE - 1)
    assert waits[attempts.FREE - 1 :][:4] == [2, 4, 8, 16]
    assert max(waits) == attempts.LONGEST_S
    assert tries.wait_s("10.0.0.2", now) == 0
    assert tries.wait_s("10.0.0.1", now + attempts.LONGEST_S) == 0


def test_many_addresses_together_are_slowed_too() -> None:
    tries = Attempts()
    for number in range(attempts.FREE_OVERALL):
        tries.failed(f"10.0.0.{number}", 5000.0)

    assert tries.wait_s("10.9.9.9", 5000.0) == attempts.FIRST_S
    for number in range(100):
        tries.failed(f"10.0.1.{number}", 5000.0)
    assert tries.wait_s("10.9.9.9", 5000.0) == attempts.LONGEST_OVERALL_S


def test_one_machine_has_one_count_whatever_ipv6_address_it_takes() -> None:
    tries = Attempts()
    for number in range(attempts.FREE):
        tries.failed(f"2001:db8::{number}", 5000.0)

    assert tries.wait_s("2001:db8::ffff", 5000.0) > 0
    assert tries.wait_s("2001:db8:0:1::1", 5000.0) == 0


def test_old_failures_are_forgotten_and_memory_is_bounded() -> None:
    tries = Attempts()
    for _ in range(attempts.FREE):
        tries.failed("10.0.0.1", 5000.0)
    tries.failed("10.0.0.1", 5000.0 + attempts.FORGOTTEN_S)
    assert tries.wait_s("10.0.0.1", 5000.0 + attempts.FORGOTTEN_S) == 0

    for number in range(attempts.MOST_ADDRESSES + 50):
        tries.failed(f"address {number}", 9e9)
    assert len(tries._of) == attempts.MOST_ADDRESSES


@pytest.mark.parametrize(
    "next_",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "evil.example",
        "",
    ],
)
def test_nobody_is_sent_to_another_site(browser: Any, word: str, next_: str) -> None:
    assert login.local(next_) == "/"
    assert browser.login(word, next=next_).headers["Location"] == "/"


def test_pages_of_ours_are_gone_back_to() -> None:
    assert login.local("/job/0123456789ab?page=2") == "/job/0123456789ab?page=2"


def test_every_answer_has_its_headers(browser: Any) -> None:
    for path in ("/", "/closed", "/login", "/nowhere", "/static/farm.css", "/static/../login.py"):
        headers = browser.get(path).headers
        assert "'unsafe" not in headers["Content-Security-Policy"], path
        assert "default-src 'none'" in headers["Content-Security-Policy"], path
        assert headers["X-Frame-Options"] == "DENY", path
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["Referrer-Policy"] == "same-origin", path
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin", path
        assert headers["Cache-Control"] == "no-store", path
        assert "Server" not in headers, path


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"address": "0.0.0.0"}, "--address 0.0.0.0: beyond this machine passwords need TLS"),
        ({"address": "10.1.2.3"}, "--address 10.1.2.3: beyond this machine"),
        ({"cert": Path("cert.pem")}, "--cert and --key belong together"),
        ({"port": 70000}, "--port 70000: 0 to 65535"),
    ],
)
def test_a_place_that_is_not_safe_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Place(**{"port": 1, **given})


def test_beyond_this_machine_looking_needs_a_login_and_cookies_need_tls(home: Path) -> None:
    from farm.web.server import application

    place = Place(port=0, address="0.0.0.0", behind_proxy=True)
    guard = application(ROUTES, password.load(home), place, title="").settings["guard"]

    assert (guard.private, guard.secure, guard.hosts) == (True, True, None)


def test_files_that_are_no_certificate_are_told_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "cert.pem"
    file.write_text("no certificate")

    with pytest.raises(ValueError, match=r"^--cert .*cert.pem --key .*cert.pem: [^\n]+$"):
        Place(port=1, cert=file, key=file).tls()
