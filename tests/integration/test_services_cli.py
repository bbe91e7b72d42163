"""`batchinfer services`: what a person sees of what a DAG deployed."""

import json

import pytest

from airflow_batchinfer.deployment import record
from airflow_batchinfer.errors import ScriptError
from tests.integration.deployed import NAME, RAISES, Deployer, answers
from tests.integration.lab import Ended

pytestmark = pytest.mark.deploys


def services(deployer: Deployer, *arguments: object) -> Ended:
    return deployer.lab.batchinfer("services", *arguments, "--workspace", deployer.lab.workspace_url)


def test_a_service_is_listed_shown_heard_and_deleted(deployer: Deployer):
    assert services(deployer, "list").stdout == f"no services in the workspace {deployer.lab.workspace_url}\n"
    status = deployer.deploy("def init():\n    print('seven weights')\n" + answers(1))
    with pytest.raises(ScriptError):
        deployer.deploy(RAISES)
    (listed,) = json.loads(services(deployer, "list", "--json").stdout)
    assert (listed["name"], listed["state"], listed["scoring_uri"]) == (NAME, "Healthy", status.scoring_uri)
    told = services(deployer, "list").stdout
    assert [word in told for word in (NAME, "Healthy", "1/1", status.scoring_uri, deployer.target.place)] == [True] * 5
    shown = services(deployer, "show", NAME).stdout
    assert "revision 1 serves, 1 of 1 replicas are ready" in shown
    assert "revision 2 failed: the script cannot be served: RuntimeError: the weights are missing" in shown
    assert json.loads(services(deployer, "show", NAME, "--json").stdout)["failure"]["revision"] == 2
    assert "replica 0 | seven weights" in services(deployer, "logs", NAME).stdout
    assert services(deployer, "delete", NAME).stdout == f"deleted {NAME}\n"
    again = services(deployer, "delete", NAME)
    assert (again.code, again.stderr) == (2, f"batchinfer: there is no service {NAME!r}\n")


def test_keys_are_printed_and_one_is_replaced(deployer: Deployer):
    deployer.deploy(answers(1))
    first = services(deployer, "keys", NAME).stdout.split()
    assert first == list(deployer.target.keys(NAME))
    second = services(deployer, "keys", NAME, "--regenerate", "Secondary").stdout.split()
    assert second[0] == first[0]
    assert second[1] != first[1]
    assert deployer.ask(key=second[1]).status == 200
    assert "give one of primary, secondary" in services(deployer, "keys", NAME, "--regenerate", "third").stderr


def test_a_service_that_is_not_there_and_one_that_is_elsewhere_are_told(deployer: Deployer):
    assert "there is no service 'nobody' in the workspace" in services(deployer, "show", "nobody").stderr
    record.note(deployer.workspace, record.Record.of(deployer.order(answers(1)), "local on elsewhere", deployer.asked))
    assert "elsewhere" in services(deployer, "list").stdout
    refused = services(deployer, "delete", NAME)
    assert refused.code == 1
    assert "--forget` lets go of the name" in refused.stderr
    assert services(deployer, "delete", NAME, "--forget").code == 0
