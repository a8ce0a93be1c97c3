# syntax=docker/dockerfile:1
# The controller, and what shows a farm: `farm monitor`, `farm dashboard`; and, as the target
# `redis`, the farm's Redis.  docker build --file docker/farm.Dockerfile --tag shapefarm .
ARG PYTHON=python:3.11-slim-bookworm

FROM debian:bookworm-slim AS redis
ARG UID=10001
# Debian keeps no older versions: a pinned one soon stops building.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends redis-server \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid "$UID" --user-group --no-create-home --home-dir /var/lib/farm farm \
 && install --directory --owner=farm --group=farm --mode=0700 /var/lib/farm /var/lib/farm/data
USER $UID
WORKDIR /var/lib/farm/data
# The password goes in by standard input: a command line can be read by everybody.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["sh", "-c", "{ printf 'AUTH monitor '; cat /run/secrets/monitor; printf '\\nPING\\n'; } | redis-cli | grep --quiet PONG"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["redis-server"]
CMD ["/var/lib/farm/redis.conf"]

FROM ${PYTHON} AS build
ENV UV_CACHE_DIR=/var/cache/uv UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
RUN --mount=type=cache,target=/root/.cache/pip python -m pip install uv==0.13.9
WORKDIR /src
# What is pinned in pyproject.toml first: it changes less often than the code.
COPY pyproject.toml ./
RUN --mount=type=cache,target=/var/cache/uv \
    uv venv /opt/farm \
 && uv pip install --python /opt/farm --requirement pyproject.toml --extra monitor
COPY . .
RUN --mount=type=cache,target=/var/cache/uv uv pip install --python /opt/farm --no-deps .

FROM ${PYTHON}
LABEL org.opencontainers.image.title="shapefarm" org.opencontainers.image.licenses="MIT"
ARG UID=10001
RUN useradd --uid "$UID" --user-group --no-create-home --home-dir /var/lib/farm farm \
 && install --directory --owner=farm --group=farm --mode=0700 /var/lib/farm /data
COPY --from=build /opt/farm /opt/farm
ENV PATH=/opt/farm/bin:$PATH HOME=/var/lib/farm FARM_HOME=/var/lib/farm PYTHONUNBUFFERED=1
USER $UID
WORKDIR /data
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 \
  CMD ["farm", "health", "controller"]
ENTRYPOINT ["farm"]
CMD ["controller"]
