"""Who is let in: keys, their scopes, pages from elsewhere, rates, and what every answer carries."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from service.door.key_file import now
from tests.service.door.ask import PATHS, add_key, ask, make_door

ALL = [(method, path.replace("{name}", "letters").replace("{id}", "7"), action) for method, path, action in PATHS]
OPEN = ["/livez", "/readyz", "/healthz", "/ui"]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.mark.parametrize(("method", "path", "action"), ALL)
def test_nothing_but_what_is_open_to_all_is_answered_without_a_key(
    keys: Path, method: str, path: str, action: str | None
) -> None:
    add_key(keys, "ann", "predict")
    reply = ask(make_door(keys=keys), method, path)
    assert reply.status_code == (401 if action else 200)
    if action:
        assert reply.headers["WWW-Authenticate"].startswith("Bearer")
        assert "a key is needed" in reply.text.lower()


@pytest.mark.parametrize(("method", "path", "action"), ALL)
def test_a_key_may_do_what_its_scope_says_and_is_told_which_scope_it_lacks(
    keys: Path, method: str, path: str, action: str | None
) -> None:
    for scope in ("predict", "jobs", "admin"):
        header = add_key(keys, f"{scope}-key", f"{scope}:letters")
        reply = ask(make_door(keys=keys), method, path, headers=header)
        if action in {scope, None}:
            assert (reply.status_code, reply.json()["key"]) == (200, f"{scope}-key")
        else:
            assert reply.status_code == 403
            assert repr(action) in reply.text


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer ", "Basic YTpi", "annannannannannannannannann", "Bearer ä"])
def test_a_wrong_key_is_no_key(keys: Path, header: str) -> None:
    add_key(keys, "ann", "predict")
    assert ask(make_door(keys=keys), "GET", "/models", headers={"Authorization": header}).status_code == 401


def test_a_key_may_come_in_a_header_of_its_own(keys: Path) -> None:
    add_key(keys, "ann", "predict")
    assert ask(make_door(keys=keys), "GET", "/models", headers={"X-Api-Key": "ann" * 9}).json()["key"] == "ann"


def test_a_key_that_has_run_out_is_none(keys: Path) -> None:
    header = add_key(keys, "ann", "predict", expires=now() - timedelta(seconds=1))
    other = add_key(keys, "bob", "predict", expires=now() + timedelta(hours=1))
    assert ask(make_door(keys=keys), "GET", "/models", headers=header).status_code == 401
    assert ask(make_door(keys=keys), "GET", "/models", headers=other).status_code == 200


def test_without_keys_everybody_on_this_machine_may_do_everything() -> None:
    assert [ask(make_door(), method, path).status_code for method, path, _ in ALL] == [200] * len(ALL)
    assert ask(make_door(), "GET", "/metrics").status_code == 200


def test_metrics_are_for_a_key_that_administers_every_model(keys: Path) -> None:
    predicts, some, every = (
        add_key(keys, "ann", "predict"), add_key(keys, "bob", "admin:letters"), add_key(keys, "cat", "admin"),
    )  # fmt: skip
    door = make_door(keys=keys)
    assert [ask(door, "GET", "/metrics", headers=key).status_code for key in ({}, predicts, some, every)] == [
        401, 403, 403, 200,
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["/schema.json", "/", "/static_content/x.js", "/models/", "//models", "/predict%0A"])
def test_what_no_room_lists_is_not_there(keys: Path, path: str) -> None:
    header = add_key(keys, "ann", "predict", "jobs", "admin")
    assert ask(make_door(), "GET", path).status_code == 404
    assert ask(make_door(keys=keys), "GET", path).status_code == 404
    assert ask(make_door(keys=keys), "GET", path, headers=header).status_code == 404


def test_an_unknown_method_of_a_guarded_path_takes_a_key(keys: Path) -> None:
    add_key(keys, "ann", "predict")
    assert ask(make_door(keys=keys), "DELETE", "/models").status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.7", ""])
@pytest.mark.parametrize("path", ["/models", "/ui", "/metrics", "/docs.json"])
def test_a_name_that_leads_here_but_is_not_ours_is_refused_without_keys(host: str, path: str) -> None:
    assert ask(make_door(), "GET", path, headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:3000", "127.9.9.9:3000", "[::1]:3000", "b.example"])
def test_localhost_and_the_names_that_are_allowed_are_ours(host: str) -> None:
    assert ask(make_door(allow_hosts=("b.example",)), "GET", "/models", headers={"Host": host}).status_code == 200


def test_with_keys_any_name_is_ours_until_some_are_given(keys: Path) -> None:
    header = add_key(keys, "ann", "predict") | {"Host": "models.example"}
    assert ask(make_door(keys=keys), "GET", "/models", headers=header).status_code == 200
    assert ask(make_door(keys=keys, allow_hosts=("b.example",)), "GET", "/models", headers=header).status_code == 403
    assert ask(make_door(keys=keys, allow_hosts=("b.example",)), "GET", "/livez", headers=header).status_code == 200


FOREIGN: list[dict[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:8000"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://127.0.0.1:3000 "},
    {"Origin": "http://127.0.0.1:3000.evil.example"},
    {"Origin": "http://ann@127.0.0.1:3000"},
    {"Origin": "\x80"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    {"Sec-Fetch-Site": "what is this"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize(("method", "path"), [("GET", "/models"), ("POST", "/predict"), ("OPTIONS", "/predict")])
def test_a_page_from_elsewhere_is_refused(headers: dict[str, str], method: str, path: str) -> None:
    assert ask(make_door(), method, path, headers=headers).status_code == 403


def test_a_page_of_ours_and_a_link_to_it_are_let_in() -> None:
    door = make_door()
    own = {"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "same-origin"}
    assert ask(door, "POST", "/predict", headers=own).status_code == 200
    assert ask(door, "GET", "/models", headers={"Sec-Fetch-Site": "none"}).status_code == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert ask(door, "GET", "/ui", headers=link).status_code == 200


def test_a_page_from_the_list_may_ask_and_read_the_answer(keys: Path) -> None:
    header = add_key(keys, "ann", "predict")
    door = make_door(keys=keys, cors_origins=("https://app.example",))
    asks = {"Origin": "https://app.example", "Sec-Fetch-Site": "cross-site"}
    preflight = ask(door, "OPTIONS", "/predict", headers=asks | {"Access-Control-Request-Method": "POST"})
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "authorization" in preflight.headers["Access-Control-Allow-Headers"].lower()
    reply = ask(door, "POST", "/predict", headers=asks | header)
    assert reply.status_code == 200
    assert (reply.headers["Access-Control-Allow-Origin"], reply.headers["Vary"]) == ("https://app.example", "Origin")
    refused = ask(door, "POST", "/predict", headers=asks)
    assert refused.status_code == 401
    assert refused.headers["Access-Control-Allow-Origin"] == "https://app.example"  # so that the page can read why
    assert "Access-Control-Allow-Origin" not in ask(door, "POST", "/predict", headers=header).headers


def test_a_key_asks_no_faster_than_its_rate(keys: Path) -> None:
    slow, other = add_key(keys, "ann", "predict", rate="2/h"), add_key(keys, "bob", "predict")
    door = make_door(keys=keys)
    assert [ask(door, "GET", "/models", headers=slow).status_code for _ in range(3)] == [200, 200, 429]
    refused = ask(door, "GET", "/models", headers=slow)
    assert 1700 < int(refused.headers["Retry-After"]) <= 1800
    assert "2/h" in refused.text
    assert ask(door, "GET", "/models", headers=other).status_code == 200


def test_every_answer_carries_the_headers_that_keep_browsers_in(keys: Path) -> None:
    add_key(keys, "ann", "predict")
    door = make_door(keys=keys)
    for method, path in (("GET", "/ui"), ("GET", "/models"), ("GET", "/nothing"), ("GET", "/livez")):
        for url in ("http://127.0.0.1:3000", "https://127.0.0.1:3000"):
            headers = ask(door, method, path, url=url).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cache-Control"] == "no-store"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
            assert ("Strict-Transport-Security" in headers) == url.startswith("https")


def test_clients_of_openai_are_refused_in_their_own_form(keys: Path) -> None:
    add_key(keys, "ann", "predict")
    error = ask(make_door(keys=keys), "GET", "/v1/models").json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert "key is needed" in error["message"]
