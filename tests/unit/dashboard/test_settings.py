from amago.dashboard.settings import MISSING, diff, flat


def test_settings_are_flattened_to_dotted_names():
    config = {"a": {"b": 1, "c": {"d": [1, 2]}}, "e": {}, "f": None}
    assert flat(config) == {"a.b": 1, "a.c.d": [1, 2], "e": {}, "f": None}


def test_only_settings_that_differ_are_listed():
    one = {"x": {"same": 1, "lr": 0.1, "only": "here", "empty": {}}}
    two = {"x": {"same": 1.0, "lr": 0.2, "empty": {"now": 1}}}
    assert diff([one, two]) == [
        {"key": "x.empty", "values": [{}, MISSING]},
        {"key": "x.empty.now", "values": [MISSING, 1]},
        {"key": "x.lr", "values": [0.1, 0.2]},
        {"key": "x.only", "values": ["here", MISSING]},
    ]


def test_true_is_not_one():
    assert len(diff([{"a": True}, {"a": 1}])) == 1


def test_one_run_or_none_differs_in_nothing():
    assert diff([{"a": 1}]) == diff([]) == []
