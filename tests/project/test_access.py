"""Who may come in, and what they may do."""

from __future__ import annotations

import time

import pytest

from preceptor import Project, UserError
from preceptor.annotation.access_control import ROLES, AccessControl, AccessForbidden, SignInLocked
from preceptor.errors import ConflictError, NotFoundError
from preceptor.storage import events
from preceptor.web.server import base_url


@pytest.fixture
def access(tmp_path, database_url, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_DATABASE", database_url)
    project = Project.create(tmp_path / "p")
    yield AccessControl(project)
    project.close()


def secret_of(link: str) -> str:
    return link.rpartition("/")[2].partition("?")[0]


def test_an_invitation_opens_in_one_browser_only(access):
    link = access.invite("ann", "reviewer")["link"]
    assert access.accept_invitation(secret_of(link), "firefox").visitor.role == "reviewer"
    assert access.accept_invitation(secret_of(link), "firefox").visitor.name == "ann"
    with pytest.raises(AccessForbidden, match="another browser"):
        access.accept_invitation(secret_of(link), "chrome")
    with access.project.database.reading() as connection:
        assert [event["kind"] for event in events.read_events(connection)][-1] == "invitation used twice"


def test_a_name_that_no_address_can_hold_or_that_looks_like_another_is_refused(access, subtests):
    for name in ["..", "two\nlines", "ann ", " ann", "x" * 201]:
        with subtests.test(name=name):
            for invite in (access.invite, access.invite_crowd, lambda name: access.issue_application_token(name, ["read"])):
                with pytest.raises(UserError, match=r"nobody can be invited as|has 201 characters; 200 at most"):
                    invite(name)


@pytest.mark.parametrize("name", ["a/b", "Zoë 名前", "<b>x</b>", "می‌خواهم"])
def test_a_name_may_be_in_any_script(access, name):
    assert access.accept_invitation(secret_of(access.invite(name)["link"]), "firefox").visitor.name == name


def test_a_new_invitation_ends_the_one_before(access):
    first, second = (secret_of(access.invite("ann")["link"]) for _ in range(2))
    with pytest.raises(AccessForbidden, match="no longer"):
        access.accept_invitation(first, "firefox")
    assert access.accept_invitation(second, "firefox").visitor.name == "ann"


def test_an_invitation_expires(access):
    with pytest.raises(UserError, match="above zero"):
        access.invite("ann", days=0)
    link = access.invite("ann", days=1e-9)["link"]
    with pytest.raises(AccessForbidden, match="not valid"):
        access.accept_invitation(secret_of(link), "firefox")


def test_a_link_is_no_token_and_a_token_no_link(access):
    invited = access.invite("ann")
    assert access.authenticate_token(secret_of(invited["link"])) is None
    with pytest.raises(AccessForbidden):
        access.accept_invitation(invited["token"], "firefox")
    assert access.authenticate_token("") is None
    assert access.authenticate_token("\ud800 rubbish") is None


@pytest.mark.parametrize("role", ROLES)
def test_a_token_may_what_its_role_may(access, role):
    visitor = access.authenticate_token(access.invite("somebody", role)["token"])
    assert (visitor.name, visitor.role, visitor.scopes) == ("somebody", role, frozenset(ROLES[role]))


def test_a_program_may_what_its_scopes_say(access):
    visitor = access.authenticate_token(access.issue_application_token("loader", ["items", "read"])["token"])
    assert visitor.has_scope("items")
    assert not visitor.has_scope("annotate")
    with pytest.raises(UserError, match="did you mean 'manage'"):
        access.issue_application_token("loader", ["manag"])
    with pytest.raises(UserError, match="needs scopes"):
        access.issue_application_token("loader", [])
    access.invite("ann")
    with pytest.raises(ConflictError, match="is a person"):
        access.issue_application_token("ann", ["read"])


def test_revoking_ends_everything(access):
    invited = access.invite("ann")
    session = access.accept_invitation(secret_of(invited["link"]), "firefox")
    access.set_password("ann", "correct horse battery")
    assert access.revoke_credentials("ann", by="owner") == 3  # link, token, password; setting that has ended the session
    assert access.authenticate_token(invited["token"]) is None
    assert access.authenticate_session(session.secret) is None
    with pytest.raises(AccessForbidden):
        access.sign_in("ann", "correct horse battery", "1.2.3.4")


def test_a_password_signs_in_and_guessing_is_locked_out(access):
    access.invite("ann")
    access.set_password("ann", "correct horse battery")
    assert access.sign_in("ann", "correct horse battery", "1.2.3.4").visitor.name == "ann"
    for _ in range(5):
        with pytest.raises(AccessForbidden, match="name or the password"):
            access.sign_in("ann", "wrong", "1.2.3.4")
    with pytest.raises(SignInLocked, match="too many"):
        access.sign_in("ann", "correct horse battery", "5.6.7.8")


def test_guessing_at_many_names_from_one_address_is_locked_out(access):
    for number in range(20):
        with pytest.raises(AccessForbidden):
            access.sign_in(f"name-{number}", "wrong", "1.2.3.4")
    with pytest.raises(SignInLocked):
        access.sign_in("name-21", "wrong", "1.2.3.4")


@pytest.mark.parametrize("password", ["short", "x" * 1001])
def test_a_poor_password_is_refused(access, password):
    access.invite("ann")
    with pytest.raises(UserError, match="characters") as raised:
        access.set_password("ann", password)
    assert raised.value.where == "password"


def test_a_crowds_members_bring_their_own_ids(access):
    link = access.invite_crowd("study 1", daily_limit=20)["link"]
    assert "PROLIFIC_PID=" in link
    first, again = (access.join_crowd(secret_of(link), "5f1a").visitor for _ in range(2))
    assert (first.name, again.name, first.role) == ("study 1:5f1a", "study 1:5f1a", "annotator")
    for bad in ("", "a b", "../x", "x" * 65):
        with pytest.raises(AccessForbidden, match="lacks who you are"):
            access.join_crowd(secret_of(link), bad)
    with pytest.raises(AccessForbidden):
        access.join_crowd("nothing", "5f1a")


def test_only_hashes_are_kept(access, tmp_path):
    invited = access.invite("ann")
    access.set_password("ann", "correct horse battery")
    with access.project.database.reading() as connection:
        from sqlalchemy import text

        kept = str(connection.execute(text("SELECT * FROM credentials")).all())
    for secret in (invited["token"], secret_of(invited["link"]), "correct horse battery"):
        assert secret not in kept


def test_a_session_ends_by_itself_and_a_new_password_ends_the_others(access):
    secret = secret_of(access.invite("ann")["link"])
    here, there, gone = (access.accept_invitation(secret, "firefox") for _ in range(3))
    access.end_session(gone.secret)
    assert access.authenticate_session(gone.secret) is None
    access.set_password("ann", "correct horse battery", session=here.visitor.credential)
    assert access.authenticate_session(here.secret).name == "ann"
    assert access.authenticate_session(there.secret) is None
    access.invite("ann")
    assert access.authenticate_session(here.secret) is None


def test_a_session_is_no_other_credential(access):
    made = access.invite("ann")
    assert [access.authenticate_session(secret) for secret in (made["token"], secret_of(made["link"]), "", "1")] == [None] * 4
    session = access.accept_invitation(secret_of(made["link"]), "firefox")
    assert access.authenticate_token(session.secret) is None
    assert session.secret not in repr(session)


def test_who_reads_the_database_comes_in_as_nobody(access):
    """The key that signed the cookies of sessions stood in the database, so that its reader was an owner. Both databases."""
    access.invite("boss", "owner")
    access.accept_invitation(secret_of(access.invite("boss", "owner")["link"]), "firefox")
    with access.project.database.reading() as connection:
        from sqlalchemy import text

        known = [
            str(value)
            for table in ("credentials", "settings")
            for row in connection.execute(text(f"SELECT * FROM {table}"))
            for value in row
        ]
    assert len(known) > 30
    for value in known:
        assert access.authenticate_session(value) is None
        assert access.authenticate_token(value) is None


def test_attempts_at_the_same_moment_do_not_get_past_the_lock(access):
    from concurrent.futures import ThreadPoolExecutor

    access.invite("ann")
    access.set_password("ann", "correct horse battery")

    def guess(number: int) -> type:
        try:
            access.sign_in("ann", f"wrong {number}", f"10.0.0.{number}")
        except UserError as error:
            return type(error)

    with ThreadPoolExecutor(12) as pool:
        ended = list(pool.map(guess, range(12)))
    assert ended.count(AccessForbidden) <= 5
    assert set(ended) <= {AccessForbidden, SignInLocked}  # all are locked out where all were noted before the first was looked at


def test_success_at_one_name_does_not_free_the_address(access):
    access.invite("mallory")
    access.set_password("mallory", "correct horse battery")
    for number in range(20):
        access.sign_in("mallory", "correct horse battery", "1.2.3.4")
        with pytest.raises(AccessForbidden):
            access.sign_in(f"name-{number}", "wrong", "1.2.3.4")
    with pytest.raises(SignInLocked):
        access.sign_in("mallory", "correct horse battery", "1.2.3.4")


def test_a_crowds_link_leads_to_nobody_who_has_another_way_in(access):
    secret = secret_of(access.invite_crowd("study")["link"])
    access.invite("study:boss", "owner")
    access.invite("study:ann")
    for name in ("boss", "ann"):
        with pytest.raises(AccessForbidden, match="closed to you"):
            access.join_crowd(secret, name)


def test_who_was_shut_out_does_not_come_back_by_the_crowds_link(access):
    secret = secret_of(access.invite_crowd("study")["link"])
    left = access.join_crowd(secret, "gone")
    access.end_session(left.secret)
    assert access.join_crowd(secret, "gone").visitor.name == "study:gone"
    access.revoke_credentials("study:gone", by="owner")
    with pytest.raises(AccessForbidden, match="closed to you"):
        access.join_crowd(secret, "gone")


def test_a_rotated_token_is_the_same_programs(access):
    first = access.issue_application_token("app", ["train", "chat"])["token"]
    known = access.authenticate_token(first)
    made = access.rotate_token("app", by="owner")
    assert access.authenticate_token(first) is None
    again = access.authenticate_token(made["token"])
    assert (again.annotator, again.scopes) == (known.annotator, known.scopes)
    assert again.credential != known.credential
    with access.project.database.reading() as connection:
        last = list(events.read_events(connection))[-1]
    assert (last["kind"], last["annotator"], last["actor"]) == ("token rotated", "app", "owner")
    assert made["token"] not in str(last)


def test_an_old_token_stays_for_as_long_as_it_is_let(access, monkeypatch):
    first = access.issue_application_token("app", ["train"])["token"]
    made = access.rotate_token("app", hours=1, by="owner")["token"]
    assert access.authenticate_token(first).annotator == access.authenticate_token(made).annotator
    clock = time.time() + 3601
    monkeypatch.setattr("preceptor.storage.access.now", lambda: clock)
    assert access.authenticate_token(first) is None
    assert access.authenticate_token(made).name == "app"
    for hours in (-1, float("nan"), float("inf"), 9000):
        with pytest.raises(UserError) as raised:
            access.rotate_token("app", hours=hours, by="owner")
        assert raised.value.where == "hours"


def test_rotating_lets_nobody_in_who_was_shut_out_nor_stay_longer(access):
    access.issue_application_token("short", ["chat"], days=1)
    made = access.rotate_token("short", by="owner")["token"]
    with access.project.database.reading() as connection:
        from preceptor.storage import access as kept

        assert kept.find_credential(connection, made).expires == pytest.approx(time.time() + 86400, abs=60)
    access.revoke_credentials("short", by="owner")
    for name in ("short", "nobody"):
        with pytest.raises(NotFoundError):
            access.rotate_token(name, by="owner")


def test_nobody_hands_out_more_than_they_may(access):
    access.invite("boss", "owner")
    access.issue_application_token("app", ["read", "train"])
    for hand_out in (
        lambda within: access.rotate_token("boss", by="clerk", within=within),
        lambda within: access.rotate_token("app", by="clerk", within=within),
        lambda within: access.issue_application_token("more", ["train"], by="clerk", within=within),
        lambda within: access.invite("ann", "owner", by="clerk", within=within),
    ):
        with pytest.raises(AccessForbidden, match="train"):
            hand_out(frozenset(["manage", "annotate", "read", "review", "items", "chat"]))


def test_of_two_rotations_at_the_same_moment_one_token_stands(access):
    from concurrent.futures import ThreadPoolExecutor

    access.issue_application_token("app", ["train"])
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: access.rotate_token("app", by="owner")["token"], range(8)))
    assert len(set(made)) == 8
    assert sum(access.authenticate_token(token) is not None for token in made) == 1


def test_links_lead_where_serve_listens_unless_the_project_says_where_else(access):
    """`serve --port 8097` handed out links to port 8000."""
    assert access.invite("ann")["link"].startswith("http://127.0.0.1:8000/join/")
    access.project.set_address("http://127.0.0.1:8097")
    access.project.set_address("http://127.0.0.1:8098")
    assert access.invite("bob")["link"].startswith("http://127.0.0.1:8098/join/")
    assert access.invite_crowd("crowd")["link"].startswith("http://127.0.0.1:8098/crowd/")
    people = access.project.config.annotators.model_copy(update={"address": "https://judge.example/"})
    access.project.config = access.project.config.model_copy(update={"annotators": people})
    assert access.invite("cleo")["link"].startswith("https://judge.example/join/")


@pytest.mark.parametrize(
    ("host", "begins"),
    [("127.0.0.1", "http://127.0.0.1:80"), ("0.0.0.0", "http://127.0.0.1:80"), ("::", "http://127.0.0.1:80"), ("::1", "http://[::1]:80")],
)
def test_a_link_holds_an_address_that_can_be_reached(host, begins):
    assert base_url(host, 80) == begins
