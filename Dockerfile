# One image for all processes of Signpost; docker-compose.yml has the command of each.
# Another base with Python 3.11 or later and venv: `docker build --build-arg BASE=… .`
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
WORKDIR /src
COPY requirements-setup.lock requirements.lock ./
# Wheels only, so that the image needs no compiler.
RUN python -m venv /build && /build/bin/pip install --no-cache-dir --only-binary :all: --require-hashes -r requirements-setup.lock
RUN python -m venv /opt/signpost && /opt/signpost/bin/pip install --no-cache-dir --only-binary :all: --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY api_service api_service
COPY outbox_relay outbox_relay
COPY receiver receiver
COPY operator_console operator_console
COPY tenants tenants
COPY shared shared
COPY migrations migrations
COPY devstack devstack
RUN /build/bin/python -m build --wheel --no-isolation --outdir /dist && /opt/signpost/bin/pip install --no-cache-dir --no-deps --no-index /dist/*.whl
# pip is not needed at run time.
RUN /opt/signpost/bin/pip uninstall --yes --quiet pip

FROM ${BASE}
COPY --from=build /opt/signpost /opt/signpost
ENV PATH=/opt/signpost/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A number shows an orchestrator that the user is not root.
USER 10001:10001
WORKDIR /tmp
CMD ["api-service", "serve"]
