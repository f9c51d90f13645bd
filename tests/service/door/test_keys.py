"""The file of keys: what `tandem key` writes, what is read of it, and when."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from batch.cli.commands import tandem
from service.door.errors import KeyFileInvalid
from service.door.key import read_rate
from service.door.key_file import hash_key, read_key_file
from service.door.key_ring import KeyRing
from service.door.scope import read_scope


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def run(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(tandem, ["key", *arguments], env={"TANDEM_KEYS": str(path)})


def test_a_key_is_shown_once_and_only_its_hash_is_written(path: Path) -> None:
    shown = run(path, "add", "ann", "--scope", "predict", "--scope", "jobs:bbc-bert", "--rate", "100/s").output.strip()
    assert len(shown) >= 43
    text = path.read_text()
    assert shown not in text
    assert hash_key(shown) in text
    assert os.stat(path).st_mode & 0o777 == 0o600
    listed = run(path, "list").output
    assert "ann  predict jobs:bbc-bert  rate 100/s" in listed
    assert hash_key(shown) not in listed
    found = KeyRing(path).find(shown)
    assert found is not None
    assert (found.name, found.reaches("jobs", "bbc-bert:7"), found.reaches("jobs", "other:1")) == ("ann", True, False)


def test_a_name_is_given_once_and_a_removed_key_is_gone(path: Path) -> None:
    run(path, "add", "ann")
    assert "has a key called ann" in run(path, "add", "ann").output
    assert run(path, "remove", "ann").exit_code == 0
    assert "no key called ann" in run(path, "remove", "ann").output
    assert read_key_file(path).keys == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scope", "fly"], "expected ACTION or ACTION:MODEL, where ACTION is predict, jobs or admin"),
        (["--scope", "predict:"], "expected ACTION"),
        (["--scope", "predict:a/b"], "expected ACTION"),
        (["--rate", "fast"], "such as 100/s"),
        (["--rate", "0/s"], "such as 100/s"),
        (["--expires", "tomorrow"], "such as 30d"),
        (["--max-rows", "0"], "0 is not in the range"),
    ],
)
def test_what_a_key_may_not_be_given_is_said_in_one_line(path: Path, arguments: list[str], said: str) -> None:
    result = run(path, "add", "ann", *arguments)
    assert result.exit_code == 2
    assert said in result.output.replace("\n", " ")
    assert not path.exists()


@pytest.mark.parametrize(
    ("scope", "reached", "not_reached"),
    [
        ("predict", ["a:1", "b:2"], []),
        ("predict:a", ["a:1", "a:2"], ["ab:1", "b:1"]),
        ("predict:a:1", ["a:1"], ["a:2", "a:11"]),
        ("predict:bbc-*", ["bbc-bert:1", "bbc-:1"], ["bbc:1", "abbc-bert:1", "A:bbc-x"]),
        ("predict:*:2", ["a:2"], ["a:1"]),
        ("predict:A", ["A:1"], ["a:1"]),
    ],
)
def test_a_scope_reaches_the_models_of_its_pattern(scope: str, reached: list[str], not_reached: list[str]) -> None:
    read = read_scope(scope)
    assert [read.reaches(tag) for tag in reached + not_reached] == [True] * len(reached) + [False] * len(not_reached)
    assert str(read) == scope


def test_keys_count_from_the_next_look_on_and_a_broken_file_changes_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = run(path, "add", "ann").output.strip()
    ring = KeyRing(path)
    second = run(path, "add", "bob").output.strip()
    assert ring.find(second) is None
    ring.refresh()
    assert ring.find(second) is not None
    good = path.read_text()
    for broken in ("", "{", '{"keys": [{"name": "x"}]}'):
        path.write_text(broken)
        ring.refresh()
        assert ring.find(first) is not None
    path.unlink()
    ring.refresh()
    assert ring.find(first) is not None
    assert caplog.text.count("the keys from before still count") == 4
    path.write_text(good)
    run(path, "remove", "ann")
    ring.refresh()
    assert (ring.find(first), ring.find(second) is not None) == (None, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "EOF"),
        ("tandem_pasted", "Invalid JSON"),
        ('{"keys": [{"name": "a", "sha256": "tandem_pasted", "scopes": ["predict"]}]}', "sha256"),
        ("[]", "object"),
        ('{"keys": [], "key": 1}', "key"),
        ('{"keys": [{"name": "a", "sha256": "00", "scopes": ["predict"]}]}', "sha256"),
        ('{"keys": [{"name": "../a", "sha256": "%s", "scopes": ["predict"]}]}' % ("0" * 64), "name"),
        ('{"keys": [{"name": "a", "sha256": "%s", "scopes": []}]}' % ("0" * 64), "scopes"),
        ('{"keys": [{"name": "a", "sha256": "%s", "scopes": ["fly"]}]}' % ("0" * 64), "expected ACTION"),
        ('{"keys": [{"name": "a", "sha256": "%s", "scopes": ["jobs"], "expires": "x"}]}' % ("0" * 64), "expires"),
        ('{"keys": [{"name": "a", "sha256": "%s", "scopes": ["jobs"], "expires": "2030"}]}' % ("0" * 64), "expires"),
        ('{"keys": [{"name": "a", "sha256": "%s", "scopes": ["jobs"], "expires": 9e9}]}' % ("0" * 64), "expires"),
    ],
)  # fmt: skip
def test_a_broken_file_is_refused_and_says_where(path: Path, text: str, said: str) -> None:
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeyFileInvalid, match=said) as found:
        read_key_file(path)
    assert str(path) in str(found.value)
    assert "tandem_pasted" not in str(found.value), "a key is nobody's to read in a log"


def test_a_file_that_is_not_there_or_that_others_may_write_is_refused(path: Path) -> None:
    with pytest.raises(KeyFileInvalid, match="no such file"):
        read_key_file(path)
    path.write_text(json.dumps({"keys": []}))
    path.chmod(0o666)
    with pytest.raises(KeyFileInvalid, match="others may write"):
        read_key_file(path)


def test_a_link_to_the_file_stays_one(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.json"
    target.write_text('{"keys": []}')
    target.chmod(0o600)
    path.symlink_to(target)
    run(path, "add", "ann")
    assert path.is_symlink()
    assert [key.name for key in read_key_file(target).keys] == ["ann"]


@pytest.mark.parametrize("text", ["1/s", "600/m", "1000/h"])
def test_a_rate_is_written_as_it_is_read(text: str) -> None:
    assert str(read_rate(text)) == text
