"""What the doctor says of fast tunnels, where the configuration wants them, and of documents."""

import pytest

from ssm_plugin.doctor.document import check_document
from ssm_plugin.doctor.finding import NOTE, OK, PROBLEM
from ssm_plugin.doctor.node import check_speed
from tests.support.running import service_client
from tests.support.service import local_service

NODE = "i-0123456789abcdef0"


@pytest.mark.parametrize(
    "preferences, target, state, said",
    [
        ({}, NODE, OK, "not logged"),
        (None, NODE, OK, "not logged"),
        ({"s3BucketName": "logs"}, NODE, NOTE, "SSM-SessionManagerRunShell logs sessions"),
        ({}, "ecs:c_t_r", NOTE, "containers"),
    ],
)
def test_the_reason_for_plain_tunnels_is_told(preferences, target, state, said):
    with local_service() as service:
        service.ssm.diagnosis.preferences = preferences
        (finding,) = check_speed("auto", target, service_client(service))
        assert finding.mark == state and said in finding.text


@pytest.mark.parametrize("content", ["schemaVersion: 1.0", [], {"inputs": "none"}])
def test_a_document_that_cannot_be_read_is_not_taken_for_one_that_sets_nothing(content):
    with local_service() as service:
        service.ssm.diagnosis.contents["SSM-SessionManagerRunShell"] = content
        (finding,) = check_document(None, NODE, service_client(service))
        assert finding.mark == PROBLEM and "cannot be read" in finding.text
