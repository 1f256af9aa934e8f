"""Commands at a local service, sent and looked up by our own signed client::

    sender = Sender(service)
    command_id = sender.send("echo hi", ids=["i-demo"])
    sender.finish(command_id)
    sender.got(command_id)["StandardOutputContent"]
"""

from ssm_plugin.errors import ServiceError

from .running import TIME_LIMIT, service_client

DEMO = "i-demo"


class Sender:
    def __init__(self, service):
        self._engine = service.run_command.engine
        self._client = service_client(service)

    def call(self, operation, **fields):
        return self._client.call("ssm:" + operation, fields)

    def refusal(self, operation, **fields):
        """The code of the error that a call is answered with."""
        try:
            self.call(operation, **fields)
        except ServiceError as error:
            return error.code
        raise AssertionError("it was not refused")

    def request(self, *commands, ids=(), targets=(), **more):
        """The fields of SendCommand. Without ``ids`` and ``targets`` it is for i-demo."""
        parameters = dict(more.pop("parameters", {}), commands=list(commands))
        fields = dict(more, DocumentName="AWS-RunShellScript", Parameters=parameters)
        if targets:
            fields["Targets"] = [{"Key": key, "Values": values} for key, values in targets]
        else:
            fields["InstanceIds"] = list(ids) or [DEMO]
        return fields

    def send(self, *commands, **more):
        """Its id."""
        return self.call("SendCommand", **self.request(*commands, **more))["Command"]["CommandId"]

    def run(self, *commands, **more):
        """What GetCommandInvocation says of i-demo once it is over."""
        command_id = self.send(*commands, **more)
        self.finish(command_id)
        return self.got(command_id)

    def wait_for(self, command_id, condition):
        """Until it holds for the service's own command."""
        command = self._engine.commands[command_id]
        with self._engine.changed:
            assert self._engine.changed.wait_for(lambda: condition(command), TIME_LIMIT)

    def finish(self, command_id):
        self.wait_for(command_id, lambda command: command.is_over)

    def got(self, command_id, node=DEMO):
        return self.call("GetCommandInvocation", CommandId=command_id, InstanceId=node)

    def listed(self, command_id, **more):
        answer = self.call("ListCommandInvocations", CommandId=command_id, **more)
        return answer["CommandInvocations"]

    def details(self, command_id):
        """How many nodes have which."""
        counts = {}
        for one in self.listed(command_id):
            counts[one["StatusDetails"]] = counts.get(one["StatusDetails"], 0) + 1
        return counts

    def command(self, command_id):
        [one] = self.call("ListCommands", CommandId=command_id)["Commands"]
        return one

    def state(self, command_id):
        one = self.command(command_id)
        return one["Status"], one["StatusDetails"]
