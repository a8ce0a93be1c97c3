# syntax=docker/dockerfile:1
# A worker that trains, on the CPU or on GPUs.
# docker build --file docker/trainer.Dockerfile --tag shapefarm-trainer .
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
ENV UV_CACHE_DIR=/var/cache/uv UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
RUN --mount=type=cache,target=/root/.cache/pip python -m pip install uv==0.13.9
WORKDIR /src
# What is pinned in pyproject.toml first: it changes less often than the code.
COPY pyproject.toml ./
RUN --mount=type=cache,target=/var/cache/uv \
    uv venv /opt/farm \
 && uv pip install --python /opt/farm --requirement pyproject.toml --extra train
COPY . .
RUN --mount=type=cache,target=/var/cache/uv uv pip install --python /opt/farm --no-deps .

FROM ${PYTHON}
LABEL org.opencontainers.image.title="shapefarm-trainer" org.opencontainers.image.licenses="MIT"
ARG UID=10001
RUN useradd --uid "$UID" --user-group --no-create-home --home-dir /var/lib/farm farm \
 && install --directory --owner=farm --group=farm --mode=0700 /var/lib/farm /data
COPY --from=build /opt/farm /opt/farm
ENV PATH=/opt/farm/bin:$PATH HOME=/var/lib/farm FARM_HOME=/var/lib/farm PYTHONUNBUFFERED=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER $UID
# An image whose torch does not start is none.
RUN mkdir /tmp/home && HOME=/tmp/home TMPDIR=/tmp/home python -m trainer doctor && rm -r /tmp/home
WORKDIR /data
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 \
  CMD ["farm", "health", "worker"]
ENTRYPOINT ["farm"]
CMD ["worker", "train"]
