import pytest

from amago.envs.resets import reset_with


class Resets:
    def both(self, seed=None, options=None):
        return seed, options

    def seed_only(self, *, seed=None):
        return seed

    def neither(self):
        return "reset"

    def anything(self, **kwargs):
        return kwargs


@pytest.mark.parametrize(
    "name, result",
    [
        ("both", (3, {"a": 1})),
        ("seed_only", 3),
        ("neither", "reset"),
        ("anything", {"seed": 3, "options": {"a": 1}}),
    ],
)
def test_a_reset_gets_the_arguments_it_takes(name, result):
    assert reset_with(getattr(Resets(), name), 3, {"a": 1}) == result
