# One image for every process of Signpost; docker-compose.yml says which command each runs.
# Another base can stand in: `docker build --build-arg BASE=… .`; it needs Python 3.11 or later, with venv.
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
WORKDIR /src
COPY requirements-setup.lock requirements.lock ./
# Wheels only: nothing is compiled, so that no compiler is ever there.
RUN python -m venv /build && /build/bin/pip install --no-cache-dir --only-binary :all: --require-hashes -r requirements-setup.lock
RUN python -m venv /opt/signpost && /opt/signpost/bin/pip install --no-cache-dir --only-binary :all: --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY api_service api_service
COPY outbox_relay outbox_relay
COPY operator_console operator_console
COPY tenants tenants
COPY shared shared
COPY migrations migrations
COPY devstack devstack
RUN /build/bin/python -m build --wheel --no-isolation --outdir /dist && /opt/signpost/bin/pip install --no-cache-dir --no-deps --no-index /dist/*.whl
# What installs is not needed to run, and could install more.
RUN /opt/signpost/bin/pip uninstall --yes --quiet pip

FROM ${BASE}
COPY --from=build /opt/signpost /opt/signpost
ENV PATH=/opt/signpost/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A number, so that an orchestrator can see that it is not root without looking into the image.
USER 10001:10001
WORKDIR /tmp
CMD ["api-service", "serve"]
