"""How targets are written."""

import pytest

from ssm_plugin.errors import UsageError
from ssm_plugin.nodes.grammar import ADDRESS, ID, NAME, TAG, parse_target, split_targets


@pytest.mark.parametrize(
    "word",
    ["i-0123456789abcdef0", "i-web", "mi-0", "ecs:c_t_r", "sagemaker-cluster:abc_group-i-1"],
)
def test_an_id_is_what_it_is(word):
    assert parse_target(word) == (ID, word, word, "")


@pytest.mark.parametrize(
    "word, kind, value, key",
    [
        ("web-7", NAME, "web-7", ""),
        ("name:web-7", NAME, "web-7", ""),
        ("name:i-web", NAME, "i-web", ""),
        ("name:tag:x=y", NAME, "tag:x=y", ""),
        ("tag:Role=web", TAG, "web", "Role"),
        ("tag:a:b=c=d", TAG, "c=d", "a:b"),
        ("ip:10.0.0.7", ADDRESS, "10.0.0.7", ""),
        ("ip:2001:DB8::0:7", ADDRESS, "2001:db8::7", ""),
        ("prod: web", NAME, "prod: web", ""),
        ("tag", NAME, "tag", ""),
        ("name", NAME, "name", ""),
        ("ip", NAME, "ip", ""),
        ("a b, \u65e5\u672c \x1b[31m", NAME, "a b, \u65e5\u672c \x1b[31m", ""),
    ],
)
def test_other_words_are_looked_up(word, kind, value, key):
    assert parse_target(word) == (kind, value, word, key)


def test_a_configured_name_goes_before_all_others_and_may_mean_any_of_them():
    configured = {"db": "tag:Role=db", "i-9": "i-8", "name:x": "i-7"}
    assert parse_target("db", configured) == (TAG, "db", "db", "Role")
    assert parse_target("i-9", configured)[:2] == (ID, "i-8")
    assert parse_target("name:x", configured)[:2] == (ID, "i-7")


def test_a_configured_name_is_resolved_once():
    assert parse_target("a", {"a": "b", "b": "a"})[:2] == (NAME, "b")


@pytest.mark.parametrize(
    "word, said",
    [
        ("", "is empty"),
        ("tag:Role", "'tag:Role' is not written tag:KEY=VALUE"),
        ("tag:=web", "is not written tag:KEY=VALUE"),
        ("tag:Role=", "is not written tag:KEY=VALUE"),
        ("name:", "holds no name"),
        ("ip:", "holds no IP address"),
        ("ip:10.0.0.256", "holds no IP address"),
        ("ip:web-7", "holds no IP address"),
    ],
)
def test_mistakes_are_told_without_a_lookup(word, said):
    with pytest.raises(UsageError, match=said):
        parse_target(word)


@pytest.mark.parametrize(
    "text, words",
    [
        ("a,b", ["a", "b"]),
        (" a , ,b,", ["a", "b"]),
        ("a\\, b,c", ["a, b", "c"]),
        ("tag:k=v\\,w", ["tag:k=v,w"]),
        ("", []),
    ],
)
def test_several_targets_have_commas_in_between(text, words):
    assert split_targets(text) == words


def test_an_argument_that_python_could_not_decode_is_utf8():
    assert parse_target(b"caf\xc3\xa9".decode("ascii", "surrogateescape")).value == "caf\u00e9"
