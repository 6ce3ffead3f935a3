"""`nitido serve` on the command line."""

from typing import Any

import pytest
from click.testing import CliRunner

from nitido.cli import main
from nitido.web import server


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """With what the server was started."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(server, "serve", lambda **options: calls.append(options))
    monkeypatch.setattr("nitido.optional.load", lambda *_, **__: None)
    monkeypatch.delenv("NITIDO_AUTH", raising=False)
    return calls


def run(*arguments: str, **environment: str) -> Any:
    return CliRunner().invoke(main, ["serve", *arguments], env=environment)


def test_by_itself_it_is_for_this_computer_alone(served: list[dict[str, Any]]) -> None:
    done = run()
    assert done.exit_code == 0
    assert "Warning" not in done.stderr
    assert "http://127.0.0.1:7860" in done.stderr
    assert served[0]["host"] == "127.0.0.1"
    assert served[0]["auth"] is None


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "music.example"])
def test_open_to_others_without_a_password_it_warns(
    served: list[dict[str, Any]], host: str
) -> None:
    assert "whoever reaches" in run("--host", host).stderr
    assert "Warning" not in run("--host", host, "--auth", "ann:secret").stderr
    assert served[1]["auth"] == ("ann", "secret")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_this_computer_needs_no_password(served: list[dict[str, Any]], host: str) -> None:
    assert "Warning" not in run("--host", host).stderr


def test_the_password_can_come_from_the_environment(served: list[dict[str, Any]]) -> None:
    run(NITIDO_AUTH="ann:a:b")
    assert served[0]["auth"] == ("ann", "a:b")


@pytest.mark.parametrize("auth", ["ann", "ann:", ":secret", ""])
def test_half_a_password_is_wrong_usage(served: list[dict[str, Any]], auth: str) -> None:
    done = run("--auth", auth)
    assert done.exit_code == 2
    assert "USER:PASSWORD" in done.stderr
    assert served == []


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "http://127.0.0.1"), ("0.0.0.0", "http://127.0.0.1"), ("::", "http://[::1]")],
)
def test_the_browser_is_shown_an_address_that_it_can_reach(
    served: list[dict[str, Any]], host: str, address: str
) -> None:
    run("--host", host, "--open", "--port", "8000")
    assert served[0]["open_at"] == f"{address}:8000"
    run("--host", host)
    assert served[1]["open_at"] == ""


def test_its_names_are_handed_on(served: list[dict[str, Any]]) -> None:
    run("--name", "music.test", "--name", "nas")
    assert served[0]["names"] == ("music.test", "nas")


def test_limits_are_handed_on(served: list[dict[str, Any]]) -> None:
    run("--max-megabytes", "5", "--max-minutes", "1", "--at-once", "3")
    limits = served[0]["limits"]
    assert (limits.megabytes, limits.minutes, limits.at_once) == (5, 1, 3)


def test_without_its_parts_it_says_which_command_adds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nitido.optional.available", lambda _: False)
    done = run()
    assert done.exit_code == 1
    assert "pip install 'nitido[web]'" in done.stderr
