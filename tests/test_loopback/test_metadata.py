import http.client
import json
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

import pytest

from ssm_plugin.aws.container import container_credentials
from ssm_plugin.net.timing import Deadline
from tests.support.metadata_service import MetadataService, RoleKeys

KEYS = RoleKeys("AKIDROLE", "a-secret", "a-session-token", 600.0)
ROLES = "/latest/meta-data/iam/security-credentials/"
LIFETIME = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}


@pytest.fixture
def service():
    with MetadataService(KEYS) as service:
        yield service
    assert service.failures.empty()


def ask(service, method, path, headers=None):
    connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=10)
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def with_token(service):
    status, token = ask(service, "PUT", "/latest/api/token", LIFETIME)
    assert status == 200
    return {"X-aws-ec2-metadata-token": token}


def test_a_token_leads_to_the_role_and_the_role_to_its_keys(service):
    headers = with_token(service)
    assert ask(service, "GET", ROLES, headers) == (200, "loopback")
    status, text = ask(service, "GET", ROLES + "loopback", headers)
    document = json.loads(text)
    assert (status, document["Code"]) == (200, "Success")
    assert (document["AccessKeyId"], document["SecretAccessKey"]) == ("AKIDROLE", "a-secret")
    expiration = datetime.strptime(document["Expiration"], "%Y-%m-%dT%H:%M:%SZ")
    left = expiration.replace(tzinfo=timezone.utc) - datetime.now(timezone.utc)
    assert timedelta(minutes=9) < left < timedelta(minutes=11)
    assert service.paths() == ["/latest/api/token", ROLES, ROLES + "loopback"]


def test_without_a_token_nothing_is_told(service):
    assert ask(service, "GET", ROLES)[0] == 401
    assert ask(service, "GET", ROLES, {"X-aws-ec2-metadata-token": "guess"})[0] == 401


@pytest.mark.parametrize("method, headers", [("GET", LIFETIME), ("PUT", {})])
def test_a_token_must_be_asked_for_in_the_right_way(service, method, headers):
    assert ask(service, method, "/latest/api/token", headers)[0] == 400


@pytest.mark.parametrize("path", ["/", ROLES + "other"])
def test_what_is_not_there_is_not_found(service, path):
    assert ask(service, "GET", path, with_token(service))[0] == 404


def test_an_instance_may_have_no_role():
    with MetadataService(KEYS, role=None) as service:
        assert ask(service, "GET", ROLES, with_token(service))[0] == 404


def test_it_refuses_for_as_long_as_it_is_told_to(service):
    service.refuse(503)
    assert ask(service, "PUT", "/latest/api/token", LIFETIME)[0] == 503
    service.refuse(None)
    assert with_token(service)


def test_a_container_gets_its_keys_with_its_token():
    with MetadataService(KEYS, authorization="letmein") as service:
        path = urlsplit(service.container_url).path
        assert ask(service, "GET", path)[0] == 401
        status, text = ask(service, "GET", path, {"Authorization": "letmein"})
        assert (status, json.loads(text)["Token"]) == (200, "a-session-token")


def test_our_own_credentials_are_found_there():
    with MetadataService(KEYS, authorization="letmein") as service:
        environ = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": service.container_url,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "letmein",
        }
        found = container_credentials(environ, Deadline(10.0, "finding credentials"))
    assert found[:3] == KEYS[:3]


def test_the_record_hides_its_secrets():
    assert KEYS.secret_key not in repr(KEYS) and KEYS.token not in repr(KEYS)
