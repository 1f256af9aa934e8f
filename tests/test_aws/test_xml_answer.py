"""XML of a service, and XML that no service writes."""

import pytest

from ssm_plugin.aws.xml_answer import MAX_DEPTH, XmlError, parse_xml

ANSWER = b"""<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
  <reservationSet>
    <item><instancesSet><item><instanceId>i-1</instanceId></item></instancesSet></item>
    <item><instancesSet/></item>
  </reservationSet>
  <nextToken> a&amp;b </nextToken>
</DescribeInstancesResponse>"""

ENTITIES = b"""<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">]>
<lolz>&lol2;</lolz>"""

FOREIGN = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'


def test_elements_are_found_by_their_path():
    root = parse_xml(ANSWER)
    assert root.name == "DescribeInstancesResponse"
    assert len(list(root.items("reservationSet"))) == 2
    [first, _] = root.items("reservationSet")
    assert [item.value("instanceId") for item in first.items("instancesSet")] == ["i-1"]
    assert root.value("nextToken") == "a&b"


def test_what_is_not_there_is_empty():
    root = parse_xml(ANSWER)
    assert root.find("nothing", "here") is None
    assert root.value("nothing") == ""
    assert list(root.items("nothing")) == []


@pytest.mark.parametrize("data", [ENTITIES, FOREIGN, b"<!DOCTYPE a><a/>"])
def test_a_document_type_is_refused_before_it_can_do_anything(data):
    with pytest.raises(XmlError, match="document type"):
        parse_xml(data)


@pytest.mark.parametrize("data", [b"", b"{}", b"<a>", b"<a></b>", b"<a>\xff</a>", b"<a>&x;</a>"])
def test_what_is_no_xml_is_an_error(data):
    with pytest.raises(XmlError):
        parse_xml(data)


def test_depth_is_bounded():
    parse_xml(b"<a>" * MAX_DEPTH + b"</a>" * MAX_DEPTH)
    with pytest.raises(XmlError):
        parse_xml(b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1))
