"""The command line: help, version, configuration and its origins, exit codes."""

import json
import threading

import psycopg
import pytest

from harness.ports import free_port
from harness.product import options_of, run

VERBS = ["migrate", "consume", "lookup", "rewind", "config"]  # those of this version
FORBIDDEN = ["group.id", "transactional.id", "enable.auto.commit", "enable.auto.offset.store",
             "auto.offset.reset", "isolation.level", "enable.idempotence", "acks",
             "request.required.acks", "max.in.flight.requests.per.connection",
             "max.in.flight", "enable.partition.eof", "allow.auto.create.topics", "check.crcs"]


def config(*arguments, env=None):
    return run("postonce", "config", *arguments, env=env)


def line_of(output, name):
    """The one line of `postonce config` about a setting."""
    found = [line for line in output.splitlines() if name in line.split("=")[0].split()]
    assert len(found) == 1, (name, output)
    return found[0]


# ---- help and usage ----

@pytest.mark.parametrize("program", ["postonce", "postonce-send"])
def test_help_and_version(program):
    for option in ("--help", "--version"):
        done = run(program, option)
        assert done.returncode == 0 and done.stdout.strip() and not done.stderr, option
    assert program in run(program, "--version").stdout


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb(verb):
    done = run("postonce", verb, "--help")
    assert done.returncode == 0 and verb in done.stdout and not done.stderr


def test_help_names_every_verb():
    text = run("postonce", "--help").stdout
    assert all(verb in text for verb in VERBS)


@pytest.mark.parametrize("arguments", [
    [], ["destroy"], ["consume", "--colour"], ["consume", "-X"], ["consume", "-c"],
    ["consume", "too", "many"], ["lookup"], ["lookup", "a", "b"], ["migrate", "--execute"],
    ["config", "-X", "batch.records"], ["-X"]])
def test_wrong_usage(arguments):
    done = run("postonce", *arguments)
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert done.stderr.strip() and not done.stdout


def test_the_verb_that_a_halt_names_is_answered_with_what_to_do_instead():
    done = run("postonce", "adopt")
    assert done.returncode == 2 and 'README says under "When a partition halts"' in done.stderr


@pytest.mark.parametrize("arguments", [["--colour"], ["--timeout"], ["--timeout", "soon"],
                                       ["--timeout", "-1"], ["a", "b"],
                                       ["/no/such/file.json"]])
def test_wrong_usage_of_send(arguments):
    done = run("postonce-send", *arguments)
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert done.stderr.strip()


# ---- configuration ----

@pytest.mark.parametrize("name", FORBIDDEN)
def test_settings_the_guarantee_depends_on(name):
    done = config("-X", f"kafka.{name}=x")
    assert done.returncode == 2, done.stdout
    assert f"kafka.{name}" in done.stderr and "-X" in done.stderr


@pytest.mark.parametrize("setting", [
    "colour=red", "batch.records=0", "batch.records=many", "batch.records=-1",
    "batch.records=99999999999999999999", "batch.records=", "batch.records=10x", "posters=0",
    "log.format=xml", "log.level=loud", "kafka.no.such.setting=1",
    "kafka.session.timeout.ms=soon", "retention.hours=0", "group=", "topics.commands="])
def test_a_wrong_setting_is_named_with_its_origin(setting):
    done = config("-X", setting)
    assert done.returncode == 2, (setting, done.stdout)
    assert setting.split("=")[0] in done.stderr and "-X" in done.stderr


def test_a_wrong_line_of_a_file_is_named(tmp_path):
    file = tmp_path / "postonce.conf"
    for bad in ("colour = red", "batch.records = many", "kafka.acks = 0", "batch.records"):
        file.write_text(f"# a comment\n\n{bad}\n")
        done = config("-c", file)
        assert done.returncode == 2 and "postonce.conf:3" in done.stderr, (bad, done.stderr)


def test_a_file_that_is_not_there(tmp_path):
    done = config("-c", tmp_path / "absent.conf")
    assert done.returncode == 2 and "absent.conf" in done.stderr


def test_a_wrong_variable_is_named():
    done = config(env={"POSTONCE_BATCH_RECORDS": "many"})
    assert done.returncode == 2 and "POSTONCE_BATCH_RECORDS" in done.stderr
    done = config(env={"POSTONCE_KAFKA_ACKS": "0"})
    assert done.returncode == 2 and "POSTONCE_KAFKA_ACKS" in done.stderr


def test_an_unknown_variable_is_a_warning():
    done = config(env={"POSTONCE_PORT_9092_TCP": "tcp://10.0.0.1:9092"})
    assert done.returncode == 0 and "POSTONCE_PORT_9092_TCP" in done.stderr


def test_order_of_precedence(tmp_path):
    file = tmp_path / "postonce.conf"
    file.write_text("batch.records = 11\n# a comment\n")
    env = {"POSTONCE_BATCH_RECORDS": "12"}
    for arguments, variables, value, origin in (
            ((), {}, "2000", "default"), (("-c", file), {}, "11", "postonce.conf:1"),
            (("-c", file), env, "12", "POSTONCE_BATCH_RECORDS"),
            (("-c", file, "-X", "batch.records=13"), env, "13", "-X")):
        done = config(*arguments, env=variables)
        assert done.returncode == 0, done.stderr
        line = line_of(done.stdout, "batch.records")
        assert value in line and origin in line, line


def test_an_underscore_in_a_name_is_doubled_in_its_variable():
    done = config(env={"POSTONCE_TOPICS_DEAD__LETTERS": "dead",
                       "POSTONCE_KAFKA_BOOTSTRAP_SERVERS": "there:1"})
    assert "dead" in line_of(done.stdout, "topics.dead_letters")
    assert "there:1" in line_of(done.stdout, "kafka.bootstrap.servers")


def test_secrets_are_masked():
    secrets = {"postgres": "postgresql://me:s3cr3t@host/db", "kafka.sasl.password": "s3cr3t",
               "kafka.ssl.key.password": "s3cr3t"}
    for more in ((), ("--json",)):
        done = config(*options_of(secrets), *more)
        assert done.returncode == 0, done.stderr
        assert "s3cr3t" not in done.stdout + done.stderr
    done = config("-X", "postgres=host=h user=u password=s3cr3t")
    assert "s3cr3t" not in done.stdout + done.stderr


def test_config_as_json():
    done = config("--json", "-X", "batch.records=7")
    assert done.returncode == 0, done.stderr
    assert "batch.records" in json.dumps(json.loads(done.stdout))


# ---- servers that are not there ----

def test_a_postgres_that_is_not_there_is_69(deploy):
    deployment = deploy(migrated=False)
    nobody = f"postgresql://u:p@127.0.0.1:{free_port()}/d"
    for verb, *arguments in (("migrate",), ("migrate", "--check"), ("lookup", "k")):
        done = deployment.verb(verb, *arguments, postgres=nobody)
        assert done.returncode == 69, (verb, done.returncode, done.stderr)
        assert done.stderr.strip()


def test_a_kafka_that_is_not_there_is_69(deploy):
    deployment = deploy()
    done = deployment.verb("rewind", "--to-earliest",
                           kafka__bootstrap__servers=f"127.0.0.1:{free_port()}")
    assert done.returncode == 69, (done.returncode, done.stderr)


# ---- migrate ----

def test_migrate_and_its_check(deploy):
    deployment = deploy(migrated=False)
    assert deployment.verb("migrate", "--check").returncode == 1
    assert not deployment.query("SELECT FROM pg_namespace WHERE nspname = 'postonce'")
    assert deployment.verb("migrate").returncode == 0
    assert deployment.verb("migrate", "--check").returncode == 0
    assert deployment.verb("migrate").returncode == 0, "once more does nothing"


def test_migrate_many_at_once(deploy):
    deployment = deploy(migrated=False)
    done = []
    threads = [threading.Thread(target=lambda: done.append(deployment.verb("migrate")))
               for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [each.returncode for each in done] == [0] * 6, [each.stderr for each in done]
    versions = deployment.query("SELECT version FROM postonce.schema_version ORDER BY version")
    assert [row["version"] for row in versions] == list(range(1, len(versions) + 1))


def test_migrate_with_wrong_credentials(deploy):
    deployment = deploy(migrated=False)
    wrong = psycopg.conninfo.make_conninfo(deployment.url, password="not-this-one")
    done = deployment.verb("migrate", postgres=wrong)
    assert done.returncode == 2 and "not-this-one" not in done.stderr, done.stderr


def test_the_schema_defends_itself(deploy):
    """Every check the decision makes on money is a constraint, too."""
    deployment = deploy()
    with psycopg.connect(deployment.url, autocommit=True) as connection:
        insert = ("INSERT INTO postonce.account (name, currency, balance_minor, "
                  "minimum_balance_minor, version) VALUES (%s, 'USD', %s, %s, 0)")
        with pytest.raises(psycopg.errors.IntegrityError):
            connection.execute(insert, ("a", -1, 0))
        with pytest.raises(psycopg.errors.IntegrityError):
            connection.execute(insert, ("b", 0, 1))
