import os
import ssl

import pytest

from ssm_plugin.config import NetworkSettings
from ssm_plugin.errors import UsageError
from ssm_plugin.net.route import ca_bundle_path
from ssm_plugin.net.tls import client_context


@pytest.fixture
def bundles(tmp_path):
    """Four files that can be read, by the letter that ends their names."""
    paths = {}
    for letter in "caper":
        path = tmp_path / (letter + ".pem")
        path.write_text("anything")
        paths[letter] = str(path)
    return paths


def test_the_first_setting_wins(bundles):
    environ = {
        "AWS_CA_BUNDLE": bundles["a"],
        "REQUESTS_CA_BUNDLE": bundles["r"],
        "SSL_CERT_FILE": bundles["e"],
    }
    configured = NetworkSettings(ca_bundle=bundles["c"])
    assert ca_bundle_path(configured, environ, bundles["p"]) == bundles["c"]
    assert ca_bundle_path(NetworkSettings(), environ, bundles["p"]) == bundles["a"]
    del environ["AWS_CA_BUNDLE"]
    assert ca_bundle_path(NetworkSettings(), environ, bundles["p"]) == bundles["p"]
    assert ca_bundle_path(NetworkSettings(), environ) == bundles["r"]
    del environ["REQUESTS_CA_BUNDLE"]
    assert ca_bundle_path(NetworkSettings(), environ) == bundles["e"]


def test_empty_settings_leave_the_system_certificates():
    environ = {"AWS_CA_BUNDLE": "", "SSL_CERT_FILE": ""}
    assert ca_bundle_path(NetworkSettings(ca_bundle=""), environ, "") is None


def test_a_directory_of_certificates_will_do(tmp_path):
    environ = {"AWS_CA_BUNDLE": str(tmp_path)}
    assert ca_bundle_path(NetworkSettings(), environ) == str(tmp_path)
    assert client_context(str(tmp_path)).verify_mode == ssl.CERT_REQUIRED


def test_a_tilde_is_the_home_directory():
    home = os.path.expanduser("~")
    assert ca_bundle_path(NetworkSettings(ca_bundle="~"), {}) == home


@pytest.mark.parametrize(
    "settings, environ, profile, source",
    [
        ({"ca_bundle": "/no/such.pem"}, {}, None, "network.ca_bundle of the configuration"),
        ({}, {"AWS_CA_BUNDLE": "/no/such.pem"}, None, "AWS_CA_BUNDLE"),
        ({}, {}, "/no/such.pem", "ca_bundle of the AWS profile"),
        ({}, {"SSL_CERT_FILE": "/no/such.pem"}, None, "SSL_CERT_FILE"),
    ],
)
def test_a_missing_bundle_is_an_error_that_names_file_and_setting(
    settings, environ, profile, source
):
    with pytest.raises(UsageError) as caught:
        ca_bundle_path(NetworkSettings(**settings), environ, profile)
    assert str(caught.value) == (
        "cannot read the CA bundle '/no/such.pem', set by {}: No such file or directory".format(
            source
        )
    )


@pytest.mark.parametrize("text", ["", "no certificate\n", "-----BEGIN CERTIFICATE-----\nx\n"])
def test_a_bundle_without_certificates_is_an_error_that_names_the_file(tmp_path, text):
    path = tmp_path / "empty.pem"
    path.write_text(text)
    with pytest.raises(UsageError, match="empty.pem.* holds no certificate"):
        client_context(str(path))


def test_certificates_are_always_verified_and_old_tls_is_off():
    context = client_context(None)
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    if hasattr(context, "minimum_version"):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    else:
        assert context.options & ssl.OP_NO_TLSv1 and context.options & ssl.OP_NO_TLSv1_1
