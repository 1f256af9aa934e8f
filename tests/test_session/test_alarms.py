from ssm_plugin.session.alarms import Alarm, Alarms


def test_without_alarms_there_is_nothing_to_wait_for():
    alarms = Alarms()
    assert alarms.next() is None
    assert alarms.take_due(1e9) == []


def test_alarms_come_when_they_are_due_earliest_first_and_once():
    alarms = Alarms()
    alarms.set("late", 30.0)
    alarms.set("later", 40.0)
    alarms.set("early", 20.0)
    assert alarms.next() == 20.0
    assert alarms.take_due(19.9) == []
    assert alarms.take_due(30.0) == [Alarm("early"), Alarm("late")]
    assert alarms.take_due(30.0) == []
    assert alarms.next() == 40.0


def test_setting_an_alarm_again_replaces_it():
    alarms = Alarms()
    alarms.set("one", 10.0)
    alarms.set("one", 20.0)
    assert alarms.take_due(15.0) == []
    assert alarms.take_due(20.0) == [Alarm("one")]


def test_an_alarm_that_was_cancelled_does_not_come():
    alarms = Alarms()
    alarms.set("one", 10.0)
    alarms.cancel("one")
    alarms.cancel("unknown")
    assert alarms.next() is None
    assert alarms.take_due(10.0) == []
