# The image of loom-exporter: `docker build --tag loom-exporter:0.1.0 .` at the top of the checkout.
#
# A tag can come to mean another image. Once you have looked at one, build on just that:
#   --build-arg PYTHON=python:3.13-slim@sha256:…
# It is a glibc image on purpose: PostgreSQL's parser recurses, and musl's threads have small stacks.
# It brings /etc/ssl/certs/ca-certificates.crt, by which the certificates of databases are checked; a
# base of your own has to bring it too.
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# What changes seldom comes first. The environment gets no pip: nothing is installed at run time.
COPY requirements/build.txt requirements/run.txt requirements/
RUN python -m pip install --require-hashes --requirement requirements/build.txt \
    && python -m venv --without-pip /opt/loom-exporter \
    && python -m pip --python /opt/loom-exporter/bin/python \
        install --require-hashes --requirement requirements/run.txt \
    # Typer needs these only for coloured help, which TYPER_USE_RICH turns off: 13 MB.
    && python -m pip --python /opt/loom-exporter/bin/python \
        uninstall --yes markdown-it-py mdurl pygments rich
COPY pyproject.toml README.md LICENSE ./
COPY queries queries
COPY alerts/rule-templates alerts/rule-templates
COPY alerts/runbooks alerts/runbooks
COPY grafana/dashboards grafana/dashboards
COPY exporter exporter
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && python -m pip --python /opt/loom-exporter/bin/python install --no-deps dist/*.whl \
    && mkdir /state

FROM ${PYTHON}
ARG PYTHON
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="loom-exporter" \
    org.opencontainers.image.description="Watches a database deployment on PostgreSQL and tells Prometheus whether it went well." \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.base.name="${PYTHON}"
COPY --from=build /opt/loom-exporter /opt/loom-exporter
# A new volume takes over the owner of the folder that it covers.
COPY --from=build --chown=65532:65532 /state /var/lib/loom-exporter
ENV PATH=/opt/loom-exporter/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TYPER_USE_RICH=0 \
    LOOM_EXPORTER_LOG_FORMAT=json \
    LOOM_EXPORTER_STATE_DIR=/var/lib/loom-exporter
# A number, for Kubernetes cannot tell from a name that it is not root's.
USER 65532:65532
VOLUME ["/var/lib/loom-exporter"]
EXPOSE 10187
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["loom-exporter", "healthcheck"]
ENTRYPOINT ["loom-exporter"]
CMD ["serve"]
