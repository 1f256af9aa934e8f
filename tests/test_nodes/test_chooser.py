"""The chooser: what it shows, and what an answer means. On a terminal: test_names."""

from ssm_plugin.nodes.chooser import menu, picked
from ssm_plugin.nodes.node import Node

NODES = [Node("i-%d" % number, "web-%d" % number, address="10.0.0.%d" % number)
         for number in range(1, 31)]


def test_a_menu_that_does_not_fit_is_cut_and_says_so():
    lines = menu(NODES, 0.0, 80, 12).split("\n")
    assert len(lines) <= 13
    assert lines[1].startswith(" 1  i-1 ")
    assert lines[-2] == "... and 20 more"


def test_a_menu_that_fits_is_whole():
    assert len(menu(NODES, 0.0, 80, 40).split("\n")) == 32


def test_a_number_counts_in_what_was_shown_last():
    assert picked(NODES, NODES, "7") == [NODES[6]]
    assert picked(NODES, NODES[10:13], "2") == [NODES[11]]


def test_a_number_beyond_them_is_looked_for_in_the_names():
    assert [node.name for node in picked(NODES, NODES[:3], "30")] == ["web-30"]


def test_a_name_is_chosen_even_if_others_begin_with_it():
    assert picked(NODES, NODES, "WEB-1") == [NODES[0]]
    assert picked(NODES, NODES, "i-2") == [NODES[1]]


def test_a_part_of_a_name_or_an_address_narrows_the_choice():
    assert len(picked(NODES, NODES, "web-2")) == 1
    assert len(picked(NODES, NODES, "eb-2")) == 11
    assert len(picked(NODES, NODES, "10.0.0.3")) == 2


def test_no_answer_leaves_all_and_nonsense_leaves_none():
    assert list(picked(NODES, NODES, "")) == NODES
    assert list(picked(NODES, NODES, "zzz")) == []


def test_no_answer_does_not_choose_the_one_without_a_name():
    nodes = NODES[:2] + [Node("i-99", "")]
    assert list(picked(nodes, nodes, "")) == nodes
