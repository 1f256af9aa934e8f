"""moto's EC2 and ECS, which others wrote, as a process of its own. It checks no signatures::

    with MotoServer(program) as moto:
        moto.run_instance("web-7", Role="web")
        ...  # clients get moto.endpoint_url
"""

import json
import os
import re
import subprocess
import time
import urllib.request

from .running import service_client

TIME_LIMIT = 40.0
IMAGE = "ami-12c6146b"  # one of those that it knows


class MotoServer:
    def __init__(self, program):
        self._process = subprocess.Popen(
            [program, "-H", "127.0.0.1", "-p", "0"],
            env=dict(os.environ, PYTHONUNBUFFERED="1"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            self.endpoint_url = self._address()
            self._warm_up()
        except BaseException:
            self.close()
            raise
        self.client = service_client(self)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self._process.kill()
        self._process.wait(TIME_LIMIT)
        self._process.stdout.close()

    def run_instance(self, name, **tags):
        """Its id."""
        pairs = [{"Key": key, "Value": value} for key, value in dict(tags, Name=name).items()]
        request = {
            "ImageId": IMAGE,
            "MinCount": 1,
            "MaxCount": 1,
            "TagSpecification": [{"ResourceType": "instance", "Tag": pairs}],
        }
        [instance] = self.client.query("ec2:RunInstances", request).items("instancesSet")
        return instance.value("instanceId")

    def reset(self):
        """Forget all that was made."""
        url = self.endpoint_url + "/moto-api/reset"
        urllib.request.urlopen(url, b"", timeout=TIME_LIMIT).close()

    def hold(self, kind):
        """Without this, each look at a thing of this kind takes it one state on."""
        rule = {"model_name": kind, "transition": {"progression": "manual", "times": 1000}}
        url = self.endpoint_url + "/moto-api/state-manager/set-transition"
        data = json.dumps(rule).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=TIME_LIMIT).close()

    def _warm_up(self):
        """Its first answer takes as long as loading all its images and types of instances does, and
        that is longer than our client waits where the machine is busy."""
        request = urllib.request.Request(
            self.endpoint_url,
            b"Action=DescribeImages&Version=2016-11-15&Owner.1=self",
            {"Authorization": "AWS4-HMAC-SHA256 Credential=x/20200101/us-east-1/ec2/aws4_request"},
        )
        with urllib.request.urlopen(request, timeout=TIME_LIMIT) as answer:
            assert b"DescribeImagesResponse" in answer.read()

    def _address(self):
        deadline = time.monotonic() + TIME_LIMIT
        while time.monotonic() < deadline:
            line = self._process.stdout.readline().decode()
            assert line, "moto has ended"
            found = re.search(r"Running on (http://[0-9.:]+)", line)
            if found:
                return found.group(1)
        raise AssertionError("moto does not start")
