"""What is private does not leave in a bug report, whoever wrote it and however."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sir_convert_a_lot.domain.redaction import PrivateWords, Redactor, read_secrets

WORDS = PrivateWords(
    users=frozenset({"anna", "root"}),
    homes=frozenset({"/srv/people/anna"}),
    hosts=frozenset({"hemma", "hemma.example.net"}),
    secrets=frozenset({"correct horse battery"}),
)
LETTERS = st.characters(codec="utf-8", exclude_categories=("Cs",))


@pytest.mark.parametrize(
    ("written", "left"),
    [
        ("the key is correct horse battery, again", "the key is <secret>, again"),
        ("GET /v1?key=correct%20horse%20battery", "GET /v1?key=<secret>"),
        ("/srv/people/anna/sir/.venv", "<home>/sir/.venv"),
        ("/home/somebody/.ssh/id and /root/.cache", "<home>/.ssh/id and <home>/.cache"),
        ("started by anna on HEMMA (hemma.example.net)", "started by <user> on <host> (<host>)"),
        ("hannah annals", "hannah annals"),
        ("needs root", "needs root"),
        ("SIR_CONVERT_A_LOT_API_KEY=abc", "SIR_CONVERT_A_LOT_API_KEY=<secret>"),
        ('{"api_key": "abc", "port": 18085}', '{"api_key": "<secret>", "port": 18085}'),
        ('{"api_key": {"value": "********"}}', '{"api_key": {"value": "********"}}'),
        ('{"api_key": null}', '{"api_key": null}'),
        ("X-API-Key: abc", "X-API-Key: <secret>"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer <secret>"),
        ("postgresql://sir:pw@db/jobs", "postgresql://<secret>@db/jobs"),
        ("token hf_abcdefghijklmnopqrstuv in a log", "token <secret> in a log"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n", "<secret>"),
        ("peer 192.168.1.20:443, listening on 127.0.0.1:18085", "peer <address>:443, listening on 127.0.0.1:18085"),
        ("client=192.168.1.20 addr=10.2.3.4", "client=<address> addr=<address>"),
        ("it was 10.0.0.5. Then fe80::1c2d.", "it was <address>. Then <address>."),
        ("10.0.0.5-10.0.0.9, 10.0.0.5-box", "<address>-<address>, <address>-box"),
        ("peer fe80::1c2d and ::1", "peer <address> and ::1"),
        ("nvidia-cublas-cu12==12.8.4.1", "nvidia-cublas-cu12==12.8.4.1"),
        ("nvidia-cublas>=12.8.4.1,<=13.0.0.1", "nvidia-cublas>=12.8.4.1,<=13.0.0.1"),
        ("nvidia_cublas-12.8.4.1-py3-none-any.whl", "nvidia_cublas-12.8.4.1-py3-none-any.whl"),
        ("installed nvidia-cublas-12.8.4.1", "installed nvidia-cublas-12.8.4.1"),
        ("serve --api-key abc --port 18085", "serve --api-key <secret> --port 18085"),
        ('["--api-key", "abc", "--json"]', '["--api-key", "<secret>", "--json"]'),
        ("--api-key --json", "--api-key --json"),
        ("api_key abcdefgh", "api_key <secret>"),
        ("the api_key is not set, the token is missing", "the api_key is not set, the token is missing"),
        ("https://abc123@packages.example/simple", "https://<secret>@packages.example/simple"),
        ("at 12:30:45, PCI 0000:65:00.0", "at 12:30:45, PCI 0000:65:00.0"),
        ("write to anna.b@example.org", "write to <mail>"),
    ],
)
def test_what_is_private_is_replaced_and_nothing_else(written: str, left: str) -> None:
    assert Redactor(WORDS).redact(written) == left


@given(secret=st.text(LETTERS, min_size=6), around=st.text(LETTERS), spelled=st.sampled_from(["", "json", "url"]))
def test_no_known_secret_survives_wherever_it_stands(secret: str, around: str, spelled: str) -> None:
    assume(secret not in around and secret.strip())
    written = {"": secret, "json": json.dumps({"said": secret}), "url": quote(secret, safe="")}[spelled]
    found = {"": secret, "json": json.dumps(secret)[1:-1], "url": quote(secret, safe="")}[spelled]
    assume(found not in around)
    left = Redactor(PrivateWords(secrets=frozenset({secret}))).redact(f"{around}{written}{around}")
    assert found not in left.replace("<secret>", "")


@given(st.text(LETTERS))
def test_what_was_redacted_stays_as_it_is(text: str) -> None:
    redactor = Redactor(WORDS)
    once = redactor.redact(f"anna {text} correct horse battery 10.0.0.1 key=abc")
    assert redactor.redact(once) == once


def test_a_name_that_begins_with_another_is_replaced_whole() -> None:
    words = PrivateWords(users=frozenset({"gpu-runner"}), hosts=frozenset({"gpu", "gpu-runner-box"}))
    assert Redactor(words).redact("gpu-runner on gpu, gpu-runner-box") == "<user> on <host>, <host>"


def test_secrets_are_the_values_of_variables_that_are_named_so() -> None:
    environment = {
        "SIR_CONVERT_A_LOT_API_KEY": "a",
        "HF_TOKEN": "b",
        "PGPASSWORD": "c",
        "AWS_SECRET_ACCESS_KEY": "d",
        "SSH_AUTH_SOCK": "e",
        "PATH": "f",
        "KEYBOARD": "g",
        "EMPTY_TOKEN": "",
    }
    assert read_secrets(environment) == {"a", "b", "c", "d", "e"}
