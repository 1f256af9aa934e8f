import os
import string
import subprocess

import pytest

from ssm_plugin.copying.places import (
    PART,
    Direction,
    Place,
    at_node,
    base_name,
    octal,
    parse_place,
    part_of,
    plan,
)
from ssm_plugin.errors import UsageError


@pytest.mark.parametrize(
    "word, target, path",
    [
        ("a", None, "a"),
        ("-", None, "-"),
        ("./a:b", None, "./a:b"),
        ("/x:y", None, "/x:y"),
        ("db1:", "db1", ""),
        ("db1:/etc/hosts", "db1", "/etc/hosts"),
        ("db1:a:b", "db1", "a:b"),
        ("db1:-", "db1", "-"),
        ("web1,web2:/etc/x", "web1,web2", "/etc/x"),
        ("ecs:c_t_r:/x", "ecs:c_t_r", "/x"),
        ("ecs:c_t_r:x", "ecs:c_t_r", "x"),
        ("tag:env=prod:/etc/a:/b", "tag:env=prod", "/etc/a:/b"),
        ("tag:aws:autoscaling:groupName=web:~/x", "tag:aws:autoscaling:groupName=web", "~/x"),
        ("web1,tag:env=prod:/etc/x", "web1,tag:env=prod", "/etc/x"),
        ("ip:fe80::1:/x", "ip:fe80::1", "/x"),
        ("name:my host:x\ny", "name:my host", "x\ny"),
        ("tag:env=prod", "tag", "env=prod"),
    ],
)
def test_a_colon_before_any_slash_ends_a_target(word, target, path):
    if word == "tag:env=prod":
        # Nothing ends it as a target, so it is no place at a node.
        target, path = None, word
    assert parse_place(word) == Place(target, path)


@pytest.mark.parametrize("word", ["", ":x", "a\0b", "db1:a\0b"])
def test_words_that_are_no_places(word):
    with pytest.raises(UsageError):
        parse_place(word)


def planned(*words):
    return plan([parse_place(word) for word in words])


def test_one_side_is_at_a_node():
    assert planned("a", "b", "db1:/c") == Direction(True, "db1", ("a", "b"), "/c")
    assert planned("db1:a", "db1:b", "c") == Direction(False, "db1", ("a", "b"), "c")


@pytest.mark.parametrize(
    "words, said",
    [
        (["a"], "SOURCE and a DESTINATION"),
        (["a", "b"], "both are on this machine"),
        (["db1:a", "db1:b"], "copy from a node, then"),
        (["a", "db1:b", "c"], "all sources must be in one place"),
        (["db1:a", "db2:b", "c"], "all sources must be in one place"),
        (["-", "a", "db1:b"], "standard input is copied alone"),
        (["db1:a", "db1:b", "-"], "standard output takes one file"),
    ],
)
def test_other_sides_are_explained(words, said):
    with pytest.raises(UsageError, match=said):
        planned(*words)


@pytest.mark.parametrize(
    "path, name",
    [("/a/b", "b"), ("a/", "a"), ("a", "a"), (".", ""), ("a/..", ""), ("/", ""), ("~", "")],
)
def test_the_name_of_a_source(path, name):
    assert base_name(path) == name


def test_paths_at_the_node_start_at_home_and_are_never_options():
    assert [at_node(path) for path in ("/a", "a", "-rf", "~/a", "~", "")] == [
        "/a", "./a", "./-rf", "./a", "./", "./"]


def test_a_part_stands_beside_its_file_whatever_the_length_of_the_name():
    assert part_of("/a/b") == "/a/b" + PART
    part = part_of("/a/" + "ä" * 127)
    assert part.startswith("/a/") and len(os.fsencode(os.path.basename(part))) <= 255


def test_printf_gives_any_bytes_back():
    path = os.fsdecode(bytes(range(1, 256)) + b"%s {{x}} \\n\n\n")
    printed = subprocess.check_output(["sh", "-c", 'printf "$1"', "sh", octal(path)])
    assert printed == os.fsencode(path)
    assert set(octal(path)) <= set(string.ascii_letters + string.digits + "./_\\")
