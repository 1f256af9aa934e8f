import pytest

from ssm_plugin import masking

TOKEN = "AAEAAc0ffee+/token=="


@pytest.fixture(autouse=True)
def no_secrets():
    masking._secrets.clear()
    yield
    masking._secrets.clear()


@pytest.mark.parametrize(
    "text",
    [
        '{"SessionId": "s", "TokenValue": "%s"}',
        '{"sessionId": "s", "tokenValue":"%s"}',
        '"{\\"TokenValue\\": \\"%s\\"}"',
        "{'TokenValue': '%s', 'a': 1}",
        "StartedSession(token_value='%s')",
        "TokenValue=%s&x",
        "token=%s",
        "x-amz-security-token: %s",
        "('X-Amz-Security-Token', '%s')",
        "https://h/?X-Amz-Signature=%s&X-Amz-Date=1",
        "wss://h/?X-Amz-Security-Token=%s",
        "Authorization: AWS4-HMAC-SHA256 Credential=x, Signature=%s",
        "{'Authorization': 'AWS4 SignedHeaders=a;b, Signature=%s'}",
        "[b'Proxy-Authorization: Basic %s']",
        '{"Plaintext": "%s"}',
        "aws_secret_access_key = %s",
        '"SecretAccessKey" : "%s"',
        "'SessionToken': '%s'",
        "http://me:%s@proxy:3128",
        "http://me:p@%s@proxy:3128",
        'password="%s"',
        "<Credentials>\n<SecretAccessKey>%s</SecretAccessKey>\n<a/></Credentials>",
        "<s:SessionToken xmlns:s='urn:x'>\n%s\n</s:SessionToken>",
    ],
)
def test_secrets_are_known_by_what_is_around_them(text):
    masked = masking.mask(text.replace("%s", TOKEN.replace("/", "")))
    assert "c0ffee" not in masked and masking.MASK in masked


def test_what_stands_beside_a_secret_stays():
    text = '{"TokenValue": "abc def", "SessionId": "me-01"}'
    assert masking.mask(text) == '{"TokenValue": ***, "SessionId": "me-01"}'


def test_what_stands_beside_a_secret_of_xml_stays():
    text = "<r>\n <SessionToken>abc+/=</SessionToken>\n <Expiration>9</Expiration>\n</r>"
    assert masking.mask(text) == text.replace("abc+/=", masking.MASK)


def test_a_key_id_keeps_its_ends():
    assert masking.mask("with ASIAABCDEFGHIJKLMNOP.") == "with ASIA***MNOP."


@pytest.mark.parametrize(
    "text",
    [
        "connecting to wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/me-01",
        "resume: the tokens are exchanged",
        "http://[::1]:8080/a",
        "sequence 7, 1024 bytes",
    ],
)
def test_ordinary_text_stays_as_it_is(text):
    assert masking.mask(text) == text


@pytest.mark.parametrize(
    "spelling", [TOKEN, "AAEAAc0ffee%2B%2Ftoken%3D%3D", TOKEN.replace("/", "\\/")]
)
def test_a_registered_secret_is_masked_wherever_it_turns_up(spelling):
    masking.register_secret(TOKEN)
    assert masking.mask("got " + spelling + " here") == "got *** here"


def test_a_secret_that_is_not_unicode_does_no_harm():
    masking.register_secret("\udcff-secret")
    assert masking.mask("the \udcff-secret") == "the ***"


def test_the_longer_of_two_secrets_goes_first():
    masking.register_secret("12345678")
    masking.register_secret("12345678-and-more")
    assert masking.mask("12345678-and-more") == "***"


def test_a_secret_as_short_as_a_word_is_not_registered():
    masking.register_secret("")
    masking.register_secret("node")
    assert masking.mask("the node") == "the node"


def test_registered_secrets_are_bounded_and_not_kept_twice():
    for number in range(1000):
        masking.register_secret("secret-%06d" % number)
        masking.register_secret("secret-%06d" % number)
    assert len(masking._secrets) == 200
    assert masking.mask("secret-000999") == "***"
