"""The files that deploy Baton in containers: held to rules where no container engine runs."""

import re
import shutil
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, object]] = COMPOSE["services"]
ONE_SHOT = {"temporal-schema", "temporal-namespace", "migrate"}
SECRET = re.compile(r"PASSWORD|PWD|SECRET|KEY|TOKEN")
NO_OLDER_ONES = "${BATON_OLDER_SECRETS:-[]}"
DEMANDED = re.compile(r"\$\{[A-Z_]+:\?[^}]+\}")


def environment(service: dict[str, object]) -> dict[str, str]:
    variables = service.get("environment", {})
    assert isinstance(variables, dict)
    return {name: str(value) for name, value in variables.items()}


def test_every_service_that_stays_has_a_health_check() -> None:
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == ONE_SHOT


def test_what_runs_once_is_not_restarted_for_ever() -> None:
    for name in ONE_SHOT:
        assert str(SERVICES[name]["restart"]).startswith(("no", "on-failure:"))


def test_every_secret_must_be_given() -> None:
    secrets = [
        value for service in SERVICES.values() for name, value in environment(service).items() if SECRET.search(name)
    ]
    assert len(secrets) >= len(("postgres", "temporal", "schema", "bootstrap", "worker", "dispatcher", "api"))
    assert all(DEMANDED.fullmatch(value) or value == NO_OLDER_ONES for value in secrets)


def test_no_url_has_a_password_of_its_own() -> None:
    for service in SERVICES.values():
        for value in environment(service).values():
            if password := re.search(r"://[^:/]+:(.+)@", value):
                assert DEMANDED.fullmatch(password[1])


def test_every_dependency_says_what_it_waits_for() -> None:
    for service in SERVICES.values():
        needed = service.get("depends_on", {})
        assert isinstance(needed, dict)
        for other, how in needed.items():
            expected = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
            assert how == {"condition": expected}


def test_ports_are_open_on_this_machine_only() -> None:
    for service in SERVICES.values():
        ports = service.get("ports", [])
        assert isinstance(ports, list)
        assert all(str(port).startswith("127.0.0.1:") for port in ports)


def test_the_image_does_not_run_as_root_and_installs_only_what_has_a_hash() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert users == ["baton"]
    installs = [line for line in lines if "pip install" in line]
    assert all("--require-hashes" in line or "--no-deps" in line for line in installs)


def test_the_ci_script_is_sound_shell() -> None:
    bash = shutil.which("bash")
    assert bash is not None
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    subprocess.run([bash, "-n", str(script)], check=True)  # noqa: S603 - our own file, only parsed
