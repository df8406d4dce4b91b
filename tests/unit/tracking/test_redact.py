import pytest

from amago.tracking.redact import (
    HIDDEN,
    is_secret_name,
    redact_command,
    redact_config,
    redact_text,
)


@pytest.mark.parametrize(
    "name",
    [
        *("api_key", "apiKey", "API-KEY", "apikey", "wandb.api_key", "WANDB_API_KEY", "token"),
        *("hf_token", "password", "db_password_2", "client_secret", "AWS_ACCESS_KEY_ID", "ssh_key"),
    ],
)
def test_names_of_secrets_are_recognised(name):
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("key_location", "RoomKeyDoor.key_location", "token_dim", "num_tokens", "max_tokens"),
        *("pass_obs_keys_to_actor", "obs_key", "tokenizer", "monkey", "keyboard", "has_key_door"),
        *("train_test_split_key", "amago.nets.goal_embedders.TokenGoalEmb.zero_embedding", ""),
    ],
)
def test_ordinary_names_stay(name):
    assert not is_secret_name(name)


def test_secret_flags_lose_their_values():
    command = [
        "train.py",
        "--api-key=a",
        "--lr=1e-4",
        "--token",
        "b",
        "--seed",
        "3",
        "Agent.api_key=c",
        "-v",
    ]
    assert redact_command(command) == [
        *("train.py", f"--api-key={HIDDEN}", "--lr=1e-4", "--token", HIDDEN, "--seed", "3"),
        *(f"Agent.api_key={HIDDEN}", "-v"),
    ]


def test_a_flag_without_a_value_hides_nothing_that_follows():
    assert redact_command(["--use-token", "--seed", "3"]) == ["--use-token", "--seed", "3"]


def test_a_number_is_no_token_but_may_be_a_password():
    assert redact_command(["--max_token=64", "--password=1234"]) == [
        "--max_token=64",
        f"--password={HIDDEN}",
    ]


def test_credentials_in_a_url_are_hidden():
    text = "https://user:pass@host/x?token=abc&page=2"
    assert redact_text(text) == f"https://{HIDDEN}@host/x?token={HIDDEN}&page=2"


def test_gin_text_keeps_everything_but_secrets():
    text = "Agent.gamma = 0.99\nRoomKeyDoor.key_location = 'random'\nClient.api_key = 'a b'\n"
    assert redact_text(text) == text.replace("'a b'", HIDDEN)


def test_nested_config_loses_its_secret_leaves_only():
    config = {
        "env": {"key_location": "random", "api_key": "x", "keys": ["a"]},
        "password": 12,
        "use_auth": True,
        "max_token": 64,
        "hosts": ["http://a:b@c"],
        "token": None,
    }
    assert redact_config(config) == {
        "env": {"key_location": "random", "api_key": HIDDEN, "keys": ["a"]},
        "password": HIDDEN,
        "use_auth": True,
        "max_token": 64,
        "hosts": [f"http://{HIDDEN}@c"],
        "token": None,
    }


def test_a_secret_of_the_environment_is_hidden_wherever_it_turns_up(monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "very-secret-value")
    assert redact_command(["run", "--note", "use very-secret-value"]) == [
        *("run", "--note", f"use {HIDDEN}")
    ]
