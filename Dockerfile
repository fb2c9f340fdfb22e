# The connector's image, as the Airbyte platform runs it. Build it with `make image`, or with plain `docker build .`.
ARG BASE_IMAGE=docker.io/airbyte/python-connector-base:4.1.0@sha256:1d1aa21d34e851df4e8a87b391c27724c06e2597608e7161f4d167be853bd7b6

# The dependencies, exactly as locked and with their hashes checked.
FROM ${BASE_IMAGE} AS dependencies
USER root
RUN python3 -m venv /opt/poetry && /opt/poetry/bin/pip install --no-cache-dir --quiet poetry==2.5.1
RUN python3 -m venv --without-pip /opt/connector
ENV VIRTUAL_ENV=/opt/connector
WORKDIR /build
COPY pyproject.toml poetry.lock ./
RUN /opt/poetry/bin/poetry sync --only main --no-root --compile --no-cache --no-interaction --no-ansi

# The connector itself, as a wheel, apart from its dependencies.
FROM dependencies AS package
COPY README.md LICENSE ./
COPY destination_cleverpush destination_cleverpush
RUN /opt/poetry/bin/poetry build --format wheel --output dist \
    && /opt/poetry/bin/pip --python /opt/connector/bin/python install --no-deps --no-index --prefix /opt/package dist/*.whl

FROM ${BASE_IMAGE}
LABEL io.airbyte.name="airbyte/destination-cleverpush" \
    io.airbyte.version="0.1.0" \
    org.opencontainers.image.title="destination-cleverpush" \
    org.opencontainers.image.licenses="MIT"
USER root
RUN id airbyte >/dev/null 2>&1 || useradd --system --uid 1000 --user-group --no-create-home airbyte
COPY --from=dependencies /opt/connector /opt/connector
COPY --from=package /opt/package /opt/connector
USER airbyte
WORKDIR /airbyte
ENV PATH=/opt/connector/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    AIRBYTE_ENTRYPOINT=/opt/connector/bin/destination-cleverpush
ENTRYPOINT ["/opt/connector/bin/destination-cleverpush"]
