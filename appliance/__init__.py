"""The air-gapped AI appliance.

Map of the package, top layer first; imports only point down (enforced by the contracts in ``pyproject.toml``).

cli, portal         programs: the command line and the local web pages
demo                fleet generator and guided run; the only reader of the truth file
deploy              the servers of a site: configuration, certificates, start, readiness, stop
orchestration       the retrain pipeline, its journal and the generated Airflow DAG
serving             loads packaged, signed models; gateway, canary, shadow, prediction log
wiring              the only place that turns configuration into parts
training            recipes, training jobs, evaluation, honesty report, ONNX export
features            feature views, point-in-time join, training sets, online features
ingestion           spool, decoding, row rules, commit protocol, ledger, quarantine
storage             object store and Iceberg tables
governance          audit, roles, lineage, registry, approvals
observability       metrics, drift, calibration, alerts, GPU telemetry
trust               keys, ceremony, transparency log, signed statements, verification
secrets             passwords of services: files, or entries of OpenBao read by AppRole
config              the site file and declaration files
base                standard library only: errors, crash-safe files, canonical JSON, clock, processes, logs
"""

__version__ = "0.1.0"
