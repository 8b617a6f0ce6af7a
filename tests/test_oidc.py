"""Tokens of an OpenID Connect issuer: whose they are, which are refused, and when its keys are asked for."""

from __future__ import annotations

import json
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask import Flask
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

import factories as f
from changes import CHANGES, USERNAME, fill
from clients import API, SETTINGS, credentials
from databases import fresh
from issuers import (
    AUDIENCE,
    KEYS,
    METADATA,
    Issuer,
    certificate,
    issuer,
    own,
    private_key,
    public,
    published,
    segment,
    settings,
    somebody,
    with_secret,
)
from problems import assert_problem
from windsock import auth, spec, tokens
from windsock.app import create_app
from windsock.auth import issuer as module_of_keys
from windsock.auth.oidc_settings import policy_of
from windsock.config import Config, ConfigError
from windsock.context import KEY as KEY_OF_APP
from windsock.db import Database
from windsock.models import DagRunNote, Log, User
from worlds import World

POOL = {"name": "p", "slots": 1, "include_deferred": False}
ROLES = {"roles_claim": "realm_access.roles", "roles": "admins: Admin, staff: Viewer, staff: Passer-by, odd:one: Op"}


@pytest.fixture(scope="module")
def running() -> Iterator[Issuer]:
    """One issuer for all tests."""
    with issuer() as running:
        yield running


@pytest.fixture
def idp(running: Issuer) -> Issuer:
    """The issuer as it was at its start, whose keys no server knows."""
    running.reset()
    policy_of.cache_clear()
    return running


@pytest.fixture(scope="module")
def sites() -> dict[Any, Flask]:
    """The servers that were built, by their settings."""
    return {}


@pytest.fixture
def make_site(idp: Issuer, connection: Connection, sites: dict[Any, Flask]) -> Callable[..., Flask]:
    """`make_site(oidc_setting=...)` gives a server, on this test's connection, that takes the tokens of the issuer."""

    def make_site(backends: str = "oidc", **more: str) -> Flask:
        named = settings(idp.url, backends, **more)
        key, database = frozenset(named.items()), Database(connection)
        app = sites[key] = sites.get(key) or create_app(Config(named), database)
        app.extensions[KEY_OF_APP].database = database
        return app

    return make_site


@pytest.fixture
def site(make_site: Any, make_user: Any) -> Flask:
    """A server that takes them, and whose database knows ada, an administrator."""
    make_user("Admin", username="ada")
    return make_site()


@pytest.fixture
def mapping(make_site: Any) -> Flask:
    """A server that takes roles from a claim."""
    return make_site(**ROLES)


def ask(app: Flask, token: str, method: str = "GET", path: str = "/pools", **headers: str) -> Any:
    sent = {"json": POOL} if method == "POST" else {}
    return app.test_client().open(
        API + path, method=method, headers={"Authorization": f"Bearer {token}", **headers}, **sent
    )


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let time pass for the keys."""
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + seconds)


def with_roles(*values: str, **claims: Any) -> dict[str, Any]:
    return {"realm_access": {"roles": list(values)}, **claims}


# ---------------------------------------------------------------- users of the database
@pytest.mark.parametrize("key", ["rsa", "ec"])
def test_a_token_signs_in_the_user_of_its_name_with_their_rights(key, idp, make_site, make_user):
    make_user("Viewer", username="ada")
    app, token = make_site(), idp.token(key)
    assert ask(app, token).status_code == 200
    assert_problem(ask(app, token, "POST"), 403, "Pools.can_create")


def test_a_change_is_logged_with_the_name(idp, site, session):
    assert ask(site, idp.token(), "POST").status_code == 201
    assert session.execute(select(Log.owner, Log.owner_display_name)).all() == [("ada", "Ada Lovelace")]


@pytest.mark.parametrize("name", ["ADA", "Ada", "nobody", "ada@example.com"])
def test_who_is_no_user_of_exactly_this_name_is_refused(name, idp, site):
    assert_problem(ask(site, idp.token(preferred_username=name)), 401)


@pytest.mark.parametrize("active", [False, None])
def test_a_deactivated_user_is_refused_at_once(active, idp, site, session):
    token = idp.token()
    assert ask(site, token).status_code == 200
    session.scalar(select(User).where(User.username == "ada")).active = active
    session.commit()
    assert_problem(ask(site, token), 401)


def test_another_claim_may_hold_the_name(idp, make_site, make_user):
    for name in ("1", "deep"):
        make_user("Admin", username=name)
    for claim, more in (("sub", {}), ("a.b", {"a": {"b": "deep"}}), ("https://x.example/name", {})):
        app = make_site(username_claim=claim)
        known = idp.token(**more, **{"https://x.example/name": "deep"}, preferred_username=None)
        assert ask(app, known).status_code == 200, claim


def test_nothing_takes_the_place_of_a_missing_name(idp, site, make_user):
    make_user("Admin", username="1")  # the sub of the token
    assert_problem(ask(site, idp.token(preferred_username=None)), 401)


def test_an_address_counts_when_the_issuer_has_verified_it(idp, make_site, make_user):
    make_user("Admin", username="ada@example.com")
    app = make_site(username_claim="email")
    assert ask(app, idp.token(email="ada@example.com", email_verified=True)).status_code == 200
    for doubtful in ({}, {"email_verified": False}, {"email_verified": "true"}):
        assert_problem(ask(app, idp.token(email="ada@example.com", **doubtful)), 401)


# ---------------------------------------------------------------- roles from claims
def test_a_claim_gives_roles_to_who_is_no_user(idp, make_site, session):
    app = make_site(**ROLES)
    assert ask(app, idp.token(**with_roles("admins"), name="Ada L."), "POST").status_code == 201
    assert session.execute(select(Log.owner, Log.owner_display_name)).all() == [("ada", "Ada L.")]
    reader = idp.token(**with_roles("other", "staff"))
    assert ask(app, reader).status_code == 200
    assert_problem(ask(app, reader, "POST"), 403, "'ada' lacks Pools.can_create")
    assert ask(app, idp.token(**with_roles("odd:one")), path="/variables").status_code == 200


def test_several_values_and_several_roles_of_a_value_add_up(idp, make_site, add, session):
    add(f.role("Passer-by", permissions=f.permissions(session, ["Pools.can_create"])))
    app = make_site(**ROLES)
    assert ask(app, idp.token(**with_roles("staff")), "POST").status_code == 201
    assert ask(app, idp.token(**with_roles("staff")), path="/dags").status_code == 200


def test_a_role_may_be_limited_to_single_dags(idp, make_site, add, session):
    add(f.dag("shown"), f.dag("hidden"))
    add(f.role("Passer-by", permissions=f.permissions(session, ["DAG:shown.can_read"])))
    app = make_site(roles_claim="groups", roles="staff: Passer-by")
    token = idp.token(groups=["staff"])
    found = ask(app, token, path="/dags").get_json()
    assert [dag["dag_id"] for dag in found["dags"]] == ["shown"] and found["total_entries"] == 1
    assert_problem(ask(app, token, path="/dags/hidden"), 403, "'hidden'")


@pytest.mark.parametrize(
    "claims",
    [
        {},
        with_roles(),
        with_roles("Admin", "ADMINS", "admins ", "odd", "one"),
        {"realm_access": ["admins"]},
        {"realm_access": {"roles": {"admins": True}}},
        {"realm_access": {"roles": [["admins"], {"a": "admins"}, None, 1]}},
        {"realm_access": None, "roles": ["admins"]},
        {"realm_access": {"roles": "admins staff"}},
    ],
)
def test_who_has_no_mapped_role_is_known_and_may_nothing(claims, idp, make_site):
    app, token = make_site(**ROLES), idp.token(**claims)
    for path in ("/pools", "/dags", "/dags/x", "/users"):
        assert_problem(ask(app, token, path=path), 403, "'ada' lacks")


def test_a_role_that_the_database_lacks_gives_nothing(idp, make_site):
    app = make_site(roles_claim="groups", roles="staff: No such role")
    assert_problem(ask(app, idp.token(groups="staff")), 403)


def test_a_claim_with_a_dotted_name_and_a_list_of_scopes_are_read(idp, make_site):
    named = {"https://x.example/roles": ["staff"]}
    assert (
        ask(make_site(roles_claim="https://x.example/roles", roles="staff: Viewer"), idp.token(**named)).status_code
        == 200
    )
    scopes = make_site(roles_claim="scope", roles="pools:read: Viewer")
    assert ask(scopes, idp.token(scope="openid pools:read")).status_code == 200
    assert_problem(ask(scopes, idp.token(scope="openid pools:reader")), 403)


@pytest.mark.parametrize("active", [False, None])
def test_a_claim_gives_no_role_to_a_user_who_was_deactivated(active, idp, make_site, make_user):
    make_user(username="Ada", active=active)
    app = make_site(**ROLES)
    assert_problem(ask(app, idp.token(**with_roles("admins"))), 401)
    assert ask(app, idp.token(**with_roles("admins"), preferred_username="grace")).status_code == 200


def test_the_rights_of_a_user_of_the_same_name_are_not_added(idp, make_site, make_user):
    make_user("Admin", username="ada")
    assert_problem(ask(make_site(**ROLES), idp.token(**with_roles("staff")), "POST"), 403)


BAD_NAMES = ["", " ", " ada", "ada ", "a\nb", "a\rb", "a\x00b", "a\x1b[31mb", "\u202eada", "ad\u200ba", "a\ud800",
             "x" * 501, 1, True, None, ["ada"], {"ada": 1}]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
def test_what_cannot_be_a_name_in_the_audit_log_is_refused(name, idp, site, make_site):
    for app in (site, make_site(**ROLES)):
        assert_problem(ask(app, idp.token(**with_roles("admins"), preferred_username=name)), 401)


def test_the_longest_name_and_names_in_any_script_are_logged_as_they_are(idp, make_site, session):
    app = make_site(**ROLES)
    for number, name in enumerate(("x" * 500, "Žofie Łukasz", "张伟", "google|123/x@y")):
        response = app.test_client().post(
            f"{API}/pools",
            json={**POOL, "name": f"p{number}"},
            headers={"Authorization": f"Bearer {idp.token(**with_roles('admins'), preferred_username=name)}"},
        )
        assert response.status_code == 201
        assert session.scalar(select(Log.owner).order_by(Log.id.desc())) == name


# ---------------------------------------------------------------- every operation
@pytest.fixture
def whole(database_kind: str, idp: Issuer, tmp_path: Any) -> Iterator[Flask]:
    """A server with a database of its own, in which every change succeeds."""
    with fresh(database_kind, tmp_path) as url:
        place = {("database", "sql_alchemy_conn"): url.render_as_string(hide_password=False)}
        names = "oidc,airflow.api.auth.backend.basic_auth"
        app = create_app(Config({**settings(idp.url, names, **ROLES), **place}))
        database = app.extensions[KEY_OF_APP].database
        fill(database.writing)
        yield app
        database.reading.dispose(), database.writing.dispose()


def test_an_administrator_by_claims_may_do_what_one_of_the_database_may(whole, idp):
    made, operations = World(None, f.filled), spec.operations()
    bearer = {"Authorization": f"Bearer {idp.token(**with_roles('admins'))}"}
    basic = {"Authorization": credentials(USERNAME)}
    for operation in operations.values():
        if not operation.audit and not operation.public:
            url, body = made.url(operation), {"json": {}} if operation.method == "post" else {}
            answers = [
                whole.test_client().open(url, method=operation.method, headers=h, **body) for h in (bearer, basic)
            ]
            assert answers[0].status_code == answers[1].status_code, operation.id
            assert answers[0].get_data() == answers[1].get_data(), operation.id
    found = {}
    for name, change in CHANGES.items():
        answer = whole.test_client().open(API + change.path, method=change.method, json=change.body, headers=bearer)
        found[name] = answer.status_code
    assert found == {name: operations[name].success[0] for name in CHANGES}
    with whole.extensions[KEY_OF_APP].database.reading.connect() as connection:
        events = connection.execute(select(Log.event).where(Log.owner == "ada")).all()
        assert len(events) == len(CHANGES)
        written = select(DagRunNote.user_id).where(DagRunNote.content == "changed")
        assert connection.execute(written).scalars().all() == [None]


# ---------------------------------------------------------------- tokens that are refused
def unsigned(idp: Issuer, algorithm: Any, signature: str = "", **header: Any) -> str:
    return f"{segment({'alg': algorithm, 'kid': 'rsa', **header})}.{segment(idp.claims())}.{signature}"


def signed(idp: Issuer, **claims: Any) -> str:
    """A token that the issuer signed, with claims of any type."""
    text = f"{segment({'alg': 'RS256', 'kid': 'rsa'})}.{segment({**idp.claims(), **claims})}"
    implementation = jwt.get_algorithm_by_name("RS256")
    return f"{text}.{segment(implementation.sign(text.encode(), idp.private['rsa']))}"


def shifted(**claims: int) -> Callable[[Issuer], str]:
    return lambda idp: idp.token(**{name: int(time.time()) + seconds for name, seconds in claims.items()})


def tampered(idp: Issuer) -> str:
    head, _, signature = idp.token().split(".")
    return f"{head}.{segment(idp.claims(preferred_username='ada', admin=True))}.{signature}"


REFUSED: dict[str, Callable[[Issuer], str]] = {
    **{f"alg {name!r}": lambda idp, n=name: unsigned(idp, n) for name in ("none", "None", "NONE", "", None, "RS256")},
    "no signature, and some": lambda idp: unsigned(idp, "none", "AAAA"),
    "alg is a list": lambda idp: unsigned(idp, ["none"], "AAAA"),
    "the public key as a secret, PEM": lambda idp: with_secret(idp, public(idp, Encoding.PEM)),
    "the public key as a secret, PKCS1": lambda idp: with_secret(idp, public(idp, Encoding.PEM, PublicFormat.PKCS1)),
    "the public key as a secret, DER": lambda idp: with_secret(idp, public(idp, Encoding.DER), "HS512"),
    "the public key as a secret, JWK": lambda idp: with_secret(idp, json.dumps(idp.keys[0]).encode()),
    "an empty secret": lambda idp: with_secret(idp, b""),
    "a key of somebody": own,
    "a key of somebody, in the header": lambda idp: own(idp, jwk=somebody(kid="rsa")),
    "a key of somebody, at jku": lambda idp: own(idp, jku=f"{idp.url}/theirs"),
    "a key of somebody, at x5u": lambda idp: own(idp, x5u=f"{idp.url}/theirs", x5c=["MIIB"]),
    "a key of somebody, kid is its URL": lambda idp: own(idp, kid=f"{idp.url}/theirs"),
    "a key of somebody, kid is a file": lambda idp: own(idp, kid="../../../../dev/null"),
    "a key of somebody, kid is SQL": lambda idp: own(idp, kid="x' UNION SELECT 'AA"),
    "a short key of somebody": lambda idp: own(idp, key=rsa.generate_private_key(65537, 1024)),
    "an algorithm that is not taken": lambda idp: own(idp, "PS256", idp.private["rsa"]),
    "a curve that is not taken": lambda idp: own(idp, "ES384"),
    "the kid of another key": lambda idp: idp.token("rsa", {"kid": "ec"}),
    "an unknown kid": lambda idp: idp.token("rsa", {"kid": "x"}),
    "an empty kid": lambda idp: idp.token("rsa", {"kid": ""}),
    "no kid": lambda idp: jwt.encode(idp.claims(), idp.private["rsa"], "RS256"),
    "another issuer": lambda idp: idp.token(iss="https://other.example"),
    "another tenant": lambda idp: idp.token(iss=idp.url + "/tenant"),
    "the issuer with a slash": lambda idp: idp.token(iss=idp.url + "/"),
    "a list of issuers": lambda idp: signed(idp, iss=[idp.url]),
    "another audience": lambda idp: idp.token(aud="another-api"),
    "other audiences": lambda idp: idp.token(aud=["another-api", AUDIENCE + "x"]),
    "an empty audience": lambda idp: idp.token(aud=""),
    "audiences of no kind": lambda idp: idp.token(aud=[AUDIENCE, 1]),
    "an audience by its name": lambda idp: idp.token(aud={AUDIENCE: True}),
    **{f"no {claim}": lambda idp, c=claim: idp.token(**{c: None}) for claim in ("iss", "aud", "exp", "iat")},
    "expired": shifted(exp=-60),
    "for ever": lambda idp: idp.token(exp="never"),
    "not yet": shifted(nbf=60),
    "made in the future": shifted(iat=60),
    "a critical extension": lambda idp: idp.token(header={"crit": ["http://x.example/ext"], "http://x.example/ext": 1}),
    "an empty list of critical extensions": lambda idp: idp.token(header={"crit": []}),
    "a payload that is elsewhere": lambda idp: unsigned(idp, "RS256", "AAAA", b64=False, crit=["b64"]),
    "a log-out token": lambda idp: idp.token(header={"typ": "logout+jwt"}),
    "a proof": lambda idp: idp.token(header={"typ": "dpop+jwt"}),
    "a typ of no kind": lambda idp: idp.token(header={"typ": ["JWT"]}),
    "bound to a key": lambda idp: idp.token(cnf={"jkt": "x"}),
    "other claims": tampered,
    "a cut signature": lambda idp: idp.token()[:-3],
    "no signature at all": lambda idp: idp.token().rpartition(".")[0],
    "five parts": lambda idp: idp.token() + ".AAAA.AAAA",
    "more behind it": lambda idp: idp.token() + " x",
}  # fmt: skip


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED.keys())
def test_a_token_that_is_not_all_it_should_be_is_refused(make, idp, site):
    idp.answers["/theirs"] = lambda request: request.send_json({"keys": [somebody(kid="rsa")]})
    refused = ask(site, make(idp))
    assert_problem(refused, 401)
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="Windsock", error="invalid_token"'
    assert ask(site, idp.token()).status_code == 200
    assert set(idp.asked) <= {METADATA, KEYS}


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", None])
def test_the_kinds_of_tokens_that_are_credentials_are_taken(typ, idp, site):
    assert ask(site, idp.token(header={"typ": typ})).status_code == 200


def test_a_token_may_be_for_several(idp, site):
    assert ask(site, idp.token(aud=["account", AUDIENCE], azp="some-client")).status_code == 200


@pytest.mark.parametrize(("claim", "seconds"), [("exp", -60), ("nbf", 60), ("iat", 60)])
def test_clocks_may_differ_as_much_as_is_set(claim, seconds, idp, site, make_site):
    token = shifted(**{claim: seconds})(idp)
    assert ask(make_site(leeway="120"), token).status_code == 200
    assert_problem(ask(make_site(leeway="0"), token), 401)


@pytest.mark.parametrize("algorithm", ["PS256", "EdDSA", "ES384"])
def test_other_algorithms_are_taken_when_they_are_allowed(algorithm, idp, make_site, make_user):
    make_user("Admin", username="ada")
    key = private_key(algorithm)
    idp.keys.append(published(key, algorithm, kid="other"))
    token = own(idp, algorithm, key, kid="other")
    assert ask(make_site(algorithms=f"RS256,{algorithm}"), token).status_code == 200
    assert_problem(ask(make_site(), token), 401)


@pytest.mark.parametrize(
    "members", [{"use": "enc"}, {"alg": "RS512"}, {"alg": "HS256"}, {"kty": "oct", "k": "AAAA"}, {"kid": 1}]
)
def test_a_published_key_of_another_use_is_not_taken(members, idp, site):
    damaged = [1, {}, {"kid": "rsa"}, {"kid": "rsa", "kty": "RSA", "n": "!"}, idp.keys[1]]
    idp.keys = [{**idp.keys[0], **members}, *damaged]
    assert_problem(ask(site, idp.token()), 401)
    assert ask(site, idp.token("ec")).status_code == 200


def test_a_published_key_that_is_too_short_is_not_taken(idp, site):
    key = rsa.generate_private_key(65537, 1024)
    idp.keys.append(published(key, "RS256", kid="short"))
    assert_problem(ask(site, own(idp, key=key, kid="short")), 401)


DEEP, HUGE = segment(b"[" * 20_000), segment(b'{"alg": ' + b"9" * 10_000 + b"}")
MALFORMED = ["", "x", ".", "..", "...", "a.b.c", "null.null.null", "e30.e30.", "e30.e30.AAAA", "W10.W10.AAAA", "é.è.ê",
             "AAAA.AAAA.AAAA", "x" * 100_000, f"{DEEP}.e30.AAAA", f"e30.{DEEP}.AAAA", f"{HUGE}.e30.AAAA", "\x00",
             segment(b'{"kid": NaN}') + ".MQ.AAAA", "Bearer", "a=b", '"a"']  # fmt: skip


@pytest.mark.parametrize("text", MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_no_token_is_refused_without_asking_anybody(text, idp, site, statements):
    with statements() as seen:
        assert_problem(ask(site, text), 401)
    assert seen == [] and idp.asked == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
CLAIMS = ["iss", "aud", "exp", "iat", "nbf", "sub", "jti", "preferred_username", "realm_access", "name", "cnf", "email"]


HEADER = st.dictionaries(st.sampled_from(["typ", "kid", "alg", "crit", "b64"]), JSON, max_size=2)
ALLOWED = [HealthCheck.function_scoped_fixture]


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=ALLOWED)
@given(claims=st.dictionaries(st.sampled_from(CLAIMS), JSON, max_size=4), header=HEADER, signed=st.booleans())
def test_no_token_whatever_it_says_is_a_failure_of_the_server(claims, header, signed, idp, mapping):
    said = {**idp.claims(**with_roles("staff")), **claims}
    text = f"{segment({'alg': 'RS256', 'kid': 'rsa', **header})}.{segment(said)}"
    signature = jwt.get_algorithm_by_name("RS256").sign(text.encode(), idp.private["rsa"]) if signed else b"x"
    assert ask(mapping, f"{text}.{segment(signature)}").status_code in (200, 401, 403)


# ---------------------------------------------------------------- the keys of the issuer
def test_keys_are_asked_for_once_and_a_token_costs_one_statement(idp, site, statements):
    for kid in ("rsa", "ec"):
        assert ask(site, idp.token(kid)).status_code == 200
    with statements() as seen:
        ask(site, idp.token(), path="/pools/default_pool")
    assert len([text for text in seen if "ab_user" in text]) == 1
    assert idp.asked == [METADATA, KEYS]


def test_a_new_key_is_found_and_unknown_ones_do_not_flood_the_issuer(idp, site, monkeypatch):
    assert ask(site, idp.token()).status_code == 200
    idp.rotate()
    for number in range(30):
        assert_problem(ask(site, idp.token("new", {"kid": f"random {number}"})), 401)
    assert idp.asked.count(KEYS) == 1
    later(monkeypatch, module_of_keys.PAUSE + 1)
    assert ask(site, idp.token("new")).status_code == 200
    for number in range(30):
        assert_problem(ask(site, idp.token("new", {"kid": f"random {number}"})), 401)
    assert idp.asked.count(KEYS) == 2


def test_tokens_of_another_issuer_are_no_reason_to_ask(idp, site):
    for number in range(5):
        assert_problem(ask(site, idp.token(header={"kid": f"{number}"}, iss="https://other.example")), 401)
    assert idp.asked == []


def test_a_removed_key_dies_while_its_tokens_are_still_good(idp, site, monkeypatch):
    token = idp.token(exp=int(time.time()) + 10_000)
    assert ask(site, token).status_code == 200
    idp.rotate()
    later(monkeypatch, module_of_keys.FRESH - 5)
    assert ask(site, token).status_code == 200
    later(monkeypatch, 10)
    assert_problem(ask(site, token), 401)
    assert ask(site, idp.token("new")).status_code == 200


@pytest.mark.parametrize("kid", ["rsa", "ec"])
def test_an_issuer_that_withdraws_all_keys_is_believed(kid, idp, site, monkeypatch):
    assert ask(site, idp.token(kid)).status_code == 200
    idp.keys = []
    later(monkeypatch, module_of_keys.FRESH + 1)
    assert_problem(ask(site, idp.token(kid)), 401)


def hang_up(request: Any) -> None:
    request.connection.close()


def redirect(request: Any) -> None:
    request.send_response(302)
    request.send_header("Location", "/theirs")
    request.end_headers()


FAILURES: dict[str, Callable[[Any], None]] = {
    "500": lambda request: request.send_json({"keys": []}, 500),
    "hangs up": hang_up,
    "redirects": redirect,
    "no JSON": lambda request: request.send_json(b"<html>"),
    "no UTF-8": lambda request: request.send_json(b"\xff\xfe\x00"),
    "deep JSON": lambda request: request.send_json(b"[" * 100_000),
    "a list": lambda request: request.send_json([]),
    "other members": lambda request: request.send_json({}),
    "keys of no kind": lambda request: request.send_json({"keys": {"kid": "rsa"}, "jwks_uri": 1}),
    "too large": lambda request: request.send_json({"keys": [], "x": "x" * module_of_keys.LARGEST}),
}


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES.keys())
@pytest.mark.parametrize("path", [METADATA, KEYS])
def test_an_issuer_in_trouble_keeps_nobody_out_for_a_while(fail, path, idp, site, monkeypatch):
    token = idp.token(exp=int(time.time()) + 10_000)
    assert ask(site, token).status_code == 200
    idp.answers[path] = fail
    later(monkeypatch, module_of_keys.FRESH + 1)
    for _ in range(5):
        assert ask(site, token).status_code == 200
    assert idp.asked.count(path) == 2 and "/theirs" not in idp.asked
    later(monkeypatch, module_of_keys.KEPT)
    assert_problem(ask(site, token), 401)
    idp.answers.clear()
    later(monkeypatch, module_of_keys.PAUSE + 1)
    assert ask(site, token).status_code == 200


def test_an_issuer_that_is_down_at_the_start_is_asked_again(idp, site, monkeypatch):
    idp.answers[METADATA] = hang_up
    for _ in range(5):
        assert_problem(ask(site, idp.token()), 401)
    assert idp.asked == [METADATA]
    idp.answers.clear()
    later(monkeypatch, module_of_keys.PAUSE + 1)
    assert ask(site, idp.token()).status_code == 200


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://other.example"},
        {"issuer": None},
        {"jwks_uri": "http://192.0.2.1/keys"},
        {"jwks_uri": None},
        {"jwks_uri": ["x"]},
        {"jwks_uri": "https://[x"},
    ],
)
def test_metadata_that_leads_elsewhere_is_not_followed(metadata, idp, site):
    idp.metadata |= metadata
    assert_problem(ask(site, idp.token()), 401)
    assert idp.asked == [METADATA]


def test_an_issuer_is_asked_over_https_when_its_certificate_is_trusted(make_app, make_user, tmp_path, monkeypatch):
    make_user("Admin", username="ada")
    with issuer(certificate(tmp_path / "issuer.pem")) as idp:
        assert_problem(ask(make_app(settings(idp.url)), idp.token()), 401)
        assert idp.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "issuer.pem"))
        assert ask(make_app(settings(idp.url)), idp.token()).status_code == 200


@pytest.mark.parametrize("where", ["file", "data", "user"])
def test_good_keys_in_a_place_that_nobody_protects_are_not_read(where, idp, site, tmp_path):
    content = json.dumps({"keys": idp.keys})
    (tmp_path / "keys").write_text(content)
    places = {"file": (tmp_path / "keys").as_uri(), "data": "data:," + urllib.parse.quote(content)}
    idp.metadata["jwks_uri"] = places.get(where, idp.url.replace("//", "//u:p@") + KEYS)
    assert_problem(ask(site, idp.token()), 401)
    assert idp.asked == [METADATA]


def test_the_place_of_the_keys_may_be_set(idp, make_site, make_user):
    make_user("Admin", username="ada")
    assert ask(make_site(jwks_url=idp.url + KEYS), idp.token()).status_code == 200
    assert idp.asked == [KEYS]


def test_an_answer_that_trickles_is_given_up(idp, site, monkeypatch):
    monkeypatch.setattr(module_of_keys, "TIMEOUT", 0.3)
    finished = []

    def trickle(request: Any) -> None:
        request.send_response(200)
        request.end_headers()
        with suppress(OSError):
            for _ in range(500):
                request.wfile.write(b" ")
                time.sleep(0.02)
            finished.append(True)

    idp.answers[KEYS] = trickle
    assert_problem(ask(site, idp.token()), 401)
    assert finished == []


def test_many_threads_ask_once_and_who_has_a_key_does_not_wait(idp, monkeypatch):
    keys = module_of_keys.Issuer(idp.url, "", ["RS256"])
    held, found, waited = threading.Event(), [], []

    def slow(request: Any) -> None:
        waited.append(held.wait(module_of_keys.TIMEOUT - 1))
        request.send_json({"keys": idp.keys})

    def ask_for_key() -> None:
        found.append(keys.key("rsa", "RS256"))

    def start(count: int) -> list[threading.Thread]:
        threads = [threading.Thread(target=ask_for_key) for _ in range(count)]
        for thread in threads:
            thread.start()
        return threads

    idp.answers[KEYS] = slow
    first = start(16)
    held.set()
    for thread in first:
        thread.join()
    assert len(found) == 16 and None not in found and idp.asked.count(KEYS) == 1
    held.clear(), found.clear()
    later(monkeypatch, module_of_keys.FRESH + 1)
    second = start(16)
    try:
        for _ in range(500):
            if len(found) == 15:
                break
            time.sleep(0.01)
        assert len(found) == 15 and None not in found and len(waited) == 1  # one thread still asks
    finally:
        held.set()
        for thread in second:
            thread.join()
    assert len(found) == 16 and None not in found and idp.asked.count(KEYS) == 2


# ---------------------------------------------------------------- beside other back ends
BOTH = ["token,oidc", "oidc,token", "windsock.auth.oidc,windsock.auth.token,windsock.auth.basic"]


@pytest.mark.parametrize("backends", BOTH)
def test_two_kinds_of_bearer_tokens_work_in_either_order(backends, idp, make_site, make_user, connection, statements):
    user, app = make_user("Admin", username="ada"), make_site(backends)
    ours = tokens.make(connection, Config(SETTINGS), tokens.Wanted(user.username, timedelta(days=1))).text
    assert ask(app, ours).status_code == 200
    assert idp.asked == []
    theirs = idp.token()
    with statements() as seen:
        assert ask(app, theirs).status_code == 200
    assert len([text for text in seen if "ab_user" in text]) == 1
    refused = ask(app, "e30.e30.AAAA")
    assert_problem(refused, 401)
    assert [text[:6] for text in refused.headers.getlist("WWW-Authenticate")].count("Bearer") == 1


def test_what_is_no_bearer_token_is_left_to_others(idp, make_site, make_user):
    user = make_user("Admin", username="ada")
    app = make_site("oidc,airflow.api.auth.backend.basic_auth")
    header = {"Authorization": credentials(user.username)}
    assert app.test_client().get(f"{API}/pools", headers=header).status_code == 200
    assert idp.asked == []


def test_a_refused_token_is_not_taken_for_no_credentials(idp, make_app):
    app = make_app({**settings(idp.url), ("windsock", "anonymous_role"): "Viewer"})
    assert app.test_client().get(f"{API}/pools").status_code == 200
    assert_problem(ask(app, idp.token(aud="x")), 401)


# ---------------------------------------------------------------- the start
WRONG = {
    "issuer": ["", "idp.example", "http://idp.example", "https://", "https://u:p@idp.example", "https://idp.example#x",
               "https://idp.example?x=1", "file:///etc/passwd", "https://[x"],
    "audience": ["", " , "],
    "jwks_url": ["http://idp.example/keys", "file:///keys"],
    "algorithms": ["", "none", "HS256", "RS256,HS512", "rs256", "RS256,None"],
    "username_claim": ["", " "],
    "leeway": ["-1", "301", "x"],
    "roles": ["admins: Admin", "admins", ": Admin", "admins:"],
    "roles_claim": ["groups"],
}  # fmt: skip


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_settings_that_cannot_be_used_stop_the_start(key, value):
    named = "roles" if key == "roles_claim" else key
    with pytest.raises(ConfigError, match=rf"oidc_{named} must be "):
        auth.load(Config({**settings("https://idp.example"), ("windsock", f"oidc_{key}"): value}))


@pytest.mark.parametrize(
    "url", ["https://idp.example/realms/x", "https://idp.example:8443/", "http://localhost:1", "http://[::1]:1"]
)
def test_the_url_of_an_issuer_may_have_a_path_and_a_port(url):
    assert len(auth.load(Config(settings(url)))) == 1


def test_without_the_package_the_start_says_what_to_install(monkeypatch):
    for name in [
        name for name in sys.modules if name.startswith(("jwt", "windsock.auth.oidc", "windsock.auth.issuer"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(ConfigError, match=r"pip install 'windsock\[oidc\]'"):
        auth.load(Config(settings("https://idp.example")))


# ---------------------------------------------------------------- a provider of others
class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """The code is in the place where a browser would go."""


def test_a_token_of_a_real_provider_is_taken_and_that_of_another_client_is_not(make_app, make_user):
    provider = pytest.importorskip("oidc_provider_mock", reason="oidc-provider-mock needs Python 3.12")
    make_user("Viewer", username="ada@example.com")
    with provider.run_server_in_thread() as server:
        url = f"http://localhost:{server.server_port}"
        app = make_app(settings(url, username_claim="sub"))
        assert ask(app, _log_in(url, AUDIENCE)).status_code == 200
        assert_problem(ask(app, _log_in(url, AUDIENCE), "POST"), 403)
        assert_problem(ask(app, _log_in(url, "another-client")), 401)


def _log_in(url: str, client: str) -> str:
    """The token that a client gets for ada, by the authorization code flow."""
    with urllib.request.urlopen(url + METADATA) as response:
        metadata = json.load(response)
    back = "https://client.example/back"
    query = {"response_type": "code", "client_id": client, "redirect_uri": back, "scope": "openid", "state": "x"}
    page = f"{metadata['authorization_endpoint']}?{urllib.parse.urlencode(query)}"
    form = urllib.parse.urlencode({"sub": "ada@example.com"}).encode()
    with pytest.raises(urllib.error.HTTPError) as redirected:
        urllib.request.build_opener(_NoRedirect).open(page, form)
    code = urllib.parse.parse_qs(urllib.parse.urlsplit(redirected.value.headers["Location"]).query)["code"][0]
    asked = {"grant_type": "authorization_code", "code": code, "redirect_uri": back, "client_id": client,
             "client_secret": "any"}  # fmt: skip
    with urllib.request.urlopen(metadata["token_endpoint"], urllib.parse.urlencode(asked).encode()) as response:
        return json.load(response)["id_token"]
