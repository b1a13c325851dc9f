"""Each value of the chart, and what it changes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from deploy.helm.build import SET_BY_THE_CHART
from exporter.settings import Settings
from tests.support.helm import CHART, EVERYTHING, SECRET, helm, render

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))

PLACES = {"container": "pod containers 0", "pod": "Deployment spec template spec"}
"""Short words for the beginning of a place."""

FREE = {"settings", "resources", *("startup", "liveness", "readiness"), "basicAuth"}
"""Values that count as one, though the schema knows what is in them."""

MONITORS = {
    "serviceMonitor": ("ServiceMonitor", "endpoints", "relabelings", "metricRelabelings"),
    "podMonitor": ("PodMonitor", "podMetricsEndpoints", "relabelings", "metricRelabelings"),
    "vmServiceScrape": ("VMServiceScrape", "endpoints", "relabelConfigs", "metricRelabelConfigs"),
}
LABEL = {"marked": "yes"}
USER = {key: {"name": "scrape", "key": key} for key in ("username", "password")}


class Case(NamedTuple):
    """A value that is given, and what is then found at a place: a kind, and keys from there."""

    value: str
    given: Any
    place: str
    expected: Any


def _monitor_cases() -> Iterator[Case]:
    for value, (kind, endpoints, relabelings, metric_relabelings) in MONITORS.items():
        endpoint = f"{kind} spec {endpoints} 0"
        for key, given, place, expected in (
            ("enabled", True, f"{endpoint} port", "http"),
            ("namespace", "watch", f"{kind} metadata namespace", "watch"),
            ("namespace", "watch", f"{kind} spec namespaceSelector matchNames", ["loom-exporter"]),
            ("labels", LABEL, f"{kind} metadata labels marked", "yes"),
            ("annotations", LABEL, f"{kind} metadata annotations marked", "yes"),
            ("interval", "30s", f"{endpoint} interval", "30s"),
            ("scrapeTimeout", "7s", f"{endpoint} scrapeTimeout", "7s"),
            ("sampleLimit", 5, f"{kind} spec sampleLimit", 5),
            ("relabelings", [LABEL], f"{endpoint} {relabelings} 2", LABEL),
            ("metricRelabelings", [LABEL], f"{endpoint} {metric_relabelings} 0", LABEL),
            ("basicAuth", USER, f"{endpoint} basicAuth", USER),
            ("tlsConfig", {"caFile": "/ca"}, f"{endpoint} tlsConfig", {"caFile": "/ca"}),
        ):
            yield Case(f"{value}.{key}", given, place, expected)


CASES = [
    *(
        Case(**each)
        for each in yaml.safe_load(Path(__file__).with_name("helm_values.yaml").read_text())
    ),
    *_monitor_cases(),
]

TESTED_ELSEWHERE = {
    # In this file, because they need another value besides.
    *("database.ca.key", "database.probeSecret.key"),
    *("webConfig.scheme", "webConfig.caKey", "verify.inconclusive"),
    # In test_helm_chart.py, against the rules.
    *("prometheusRule.additionalRuleLabels", "prometheusRule.runbookUrl"),
    *("prometheusRule.grafanaUrl", "prometheusRule.disabled", "prometheusRule.overrides"),
}


def _leaves(values: dict[str, Any], schema: dict[str, Any], above: str = "") -> Iterator[str]:
    """Yield the dotted names of all values; a map of free keys is one value."""
    for key, value in values.items():
        part = _resolved(schema["properties"][key])
        if isinstance(value, dict) and "properties" in part and key not in FREE:
            yield from _leaves(value, part, f"{above}{key}.")
        else:
            yield f"{above}{key}"


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    found: dict[str, Any] = (
        SCHEMA["definitions"][reference.rpartition("/")[2]] if reference else schema
    )
    return found


def _given(case: Case) -> dict[str, Any]:
    """Return a file of values with this one, and with what it belongs to enabled."""
    values: dict[str, Any] = json.loads(json.dumps(SECRET))
    top = case.value.split(".")[0]
    if top in EVERYTHING and top not in ("database", "queries", "webConfig", "scrapeAnnotations"):
        values[top] = {**EVERYTHING[top]}
    *above, key = case.value.split(".")
    place = values
    for part in above:
        place = place.setdefault(part, {})
    place[key] = case.given
    return values


def _found(case: Case) -> Any:
    place = case.place
    for word, meant in PLACES.items():
        place = re.sub(rf"^{word}\b", meant, place)
    kind, *keys = place.split(" ")
    kind, _, suffix = kind.partition("/")
    objects: list[Any] = [
        each
        for each in render(_given(case))
        if each["kind"] == kind and each.get("metadata", {}).get("name", "").endswith(suffix)
    ]
    if not objects:
        return None
    found = objects[-1] if kind == "ConfigMap" and not suffix else objects[0]
    for key in keys:
        found = found[int(key)] if isinstance(found, list) else found[key]
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.value}={case.given}"[:60])
def test_value_is_where_it_belongs(case: Case) -> None:
    assert _found(case) == case.expected


def test_every_value_is_tested() -> None:
    values = set(_leaves(VALUES, SCHEMA))
    assert {case.value for case in CASES} | TESTED_ELSEWHERE == values


def test_every_value_of_the_schema_has_a_default() -> None:
    def names(schema: dict[str, Any], values: Any, above: str = "") -> Iterator[str]:
        for key, part in schema.get("properties", {}).items():
            if key not in values:
                yield f"{above}{key}"
            elif isinstance(values[key], dict) and key not in FREE:
                yield from names(_resolved(part), values[key], f"{above}{key}.")

    assert set(names(SCHEMA, VALUES)) == {"global"}  # Helm's own


def test_settings_are_those_of_the_exporter() -> None:
    offered = set(SCHEMA["properties"]["settings"]["properties"])
    assert offered | SET_BY_THE_CHART == set(Settings.model_fields)
    assert not offered & SET_BY_THE_CHART


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"databse": {"name": "x"}}, "'databse' not allowed"),
        ({"database": {"existingSecret": {"nmae": "x"}}}, "'nmae' not allowed"),
        ({"database": {"password": "x"}}, "'password' not allowed"),
        ({"settings": {"max_intervall": "5s"}}, "'max_intervall' not allowed"),
        ({"settings": {"listen": ":1"}}, "'listen' not allowed"),
        ({"serviceMonitor": {"intervall": "5s"}}, "'intervall' not allowed"),
        ({"serviceMonitor": {"interval": "5 s"}}, "/serviceMonitor/interval'"),
        ({"prometheusRule": {"overrides": {"LoomQueryStale": {"fro": "5m"}}}}, "'fro' not allowed"),
        ({"probes": {"liveness": {"httpGet": {}}}}, "'httpGet' not allowed"),
        ({"replicas": 2}, "/replicas': maximum: got 2, want 1"),
        ({"persistence": {"accessModes": ["ReadWriteMany"]}}, "/persistence/accessModes/0'"),
        ({"persistence": {"accessModes": []}}, "/persistence/accessModes'"),
        ({"persistence": {"size": "1 GB"}}, "/persistence/size'"),
        ({"networkPolicy": {"databasePorts": []}}, "/networkPolicy/databasePorts'"),
        ({"image": {"digest": "latest"}}, "/image/digest'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_misspelt_value_is_refused_by_its_name(values: dict[str, Any], named: str) -> None:
    code, said = helm("template", "x", str(CHART), values=values)
    assert code != 0
    assert named in said


TWO_AUTHORITIES = {"existingSecret": "a", "existingConfigMap": "b"}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"database": {"existingSecret": {"name": ""}}}, "database.existingSecret.name: name the"),
        (
            {"database": {**SECRET["database"], "ca": TWO_AUTHORITIES}},
            "database.ca: name a Secret or",
        ),
        ({"queries": {"existingConfigMap": "a", "inline": {"b.sql": ""}}}, "queries: name a"),
        ({"persistence": {"enabled": False}, "verify": {"enabled": True}}, "verify.enabled: needs"),
        ({"ingress": {"enabled": True}}, "ingress.hosts: name at least one"),
        ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs: name at least one"),
        ({"prometheusRule": {"enabled": True, "disabled": ["LoomX"]}}, "LoomX: no such alert"),
        ({"prometheusRule": {"enabled": True, "overrides": {"LoomX": {}}}}, "LoomX: no such alert"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_that_do_not_fit_together_are_explained(values: dict[str, Any], named: str) -> None:
    code, said = helm("template", "x", str(CHART), values={**SECRET, **values})
    assert code != 0
    assert named in said


@pytest.mark.parametrize("kind", ["existingSecret", "existingConfigMap"])
def test_authority_is_mounted_under_one_name_whatever_its_key_is(kind: str) -> None:
    values = {"database": {**SECRET["database"], "ca": {kind: "ca", "key": "root.pem"}}}
    (deployment,) = (each for each in render(values) if each["kind"] == "Deployment")
    volume = deployment["spec"]["template"]["spec"]["volumes"][2]
    source = volume["secret" if kind == "existingSecret" else "configMap"]
    assert source["items"] == [{"key": "root.pem", "path": "ca.crt"}]


def test_login_of_the_probes_is_mounted_under_one_name_whatever_its_key_is() -> None:
    values = {"database": {**SECRET["database"], "probeSecret": {"name": "probes", "key": "uri"}}}
    objects = render(values)
    (deployment,) = (each for each in objects if each["kind"] == "Deployment")
    volume = deployment["spec"]["template"]["spec"]["volumes"][2]
    assert volume["secret"]["items"] == [{"key": "uri", "path": "url"}]
    (settings,) = (each for each in objects if each["metadata"]["name"].endswith("-settings"))
    file = settings["data"]["LOOM_EXPORTER_PROBE_DATABASE_URL_FILE"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == "probes")
    assert file == f"{mount['mountPath']}/url"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_endpoint_is_scraped_by_the_scheme_that_it_speaks(scheme: str) -> None:
    web = {"existingSecret": "web", "scheme": scheme, "caKey": "root.pem"}
    for value, (kind, endpoints, *_) in MONITORS.items():
        objects = render({**SECRET, "webConfig": web, value: {"enabled": True}})
        (monitor,) = (each for each in objects if each["kind"] == kind)
        (endpoint,) = monitor["spec"][endpoints]
        assert endpoint.get("scheme", "http") == scheme
        if scheme == "https":
            assert endpoint["tlsConfig"]["ca"] == {"secret": {"name": "web", "key": "root.pem"}}
        else:
            assert "tlsConfig" not in endpoint


@pytest.mark.parametrize("inconclusive", [0, 3])
def test_verify_job_ends_as_configured_when_it_cannot_be_told(inconclusive: int) -> None:
    values = {**SECRET, "verify": {"enabled": True, "inconclusive": inconclusive}}
    (job,) = (each for each in render(values) if each["kind"] == "CronJob")
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert f'if [ "$code" -eq 3 ]; then exit {inconclusive}; fi' in container["args"][0]
