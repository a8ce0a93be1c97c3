# syntax=docker/dockerfile:1
# A worker that renders, on the CPU or on one GPU.
# docker build --file docker/renderer.Dockerfile --tag shapefarm-renderer .
ARG PYTHON=python:3.11-slim-bookworm

# Blender's USD library links against libGL.so.1 and Cycles never calls it.  Debian's package would
# bring Mesa and LLVM, 200 MB; the three dispatching libraries alone are 2 MB.
FROM ${PYTHON} AS gl
WORKDIR /gl
RUN apt-get update \
 && apt-get download libgl1 libglx0 libglvnd0 \
 && for package in *.deb; do dpkg-deb --extract "$package" .; done

FROM ${PYTHON} AS build
ENV UV_CACHE_DIR=/var/cache/uv UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
RUN --mount=type=cache,target=/root/.cache/pip python -m pip install uv==0.13.9
WORKDIR /src
# What is pinned in pyproject.toml first: it changes less often than the code.
COPY pyproject.toml ./
RUN --mount=type=cache,target=/var/cache/uv \
    uv venv /opt/farm \
 && uv pip install --python /opt/farm --requirement pyproject.toml --extra render
COPY . .
RUN --mount=type=cache,target=/var/cache/uv uv pip install --python /opt/farm --no-deps .

FROM ${PYTHON}
LABEL org.opencontainers.image.title="shapefarm-renderer" org.opencontainers.image.licenses="MIT"
# Debian keeps no older versions: a pinned one soon stops building.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
    libice6 libsm6 libx11-6 libxfixes3 libxi6 libxkbcommon0 libxrender1 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=gl /gl/usr/lib /usr/lib
ARG UID=10001
RUN useradd --uid "$UID" --user-group --no-create-home --home-dir /var/lib/farm farm \
 && install --directory --owner=farm --group=farm --mode=0700 /var/lib/farm /data
COPY --from=build /opt/farm /opt/farm
# OptiX comes with the driver's graphics part.
ENV PATH=/opt/farm/bin:$PATH HOME=/var/lib/farm FARM_HOME=/var/lib/farm PYTHONUNBUFFERED=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,graphics,utility
USER $UID
# An image whose Blender does not start is none.
RUN mkdir /tmp/home && HOME=/tmp/home TMPDIR=/tmp/home python -m renderer doctor && rm -r /tmp/home
WORKDIR /data
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 \
  CMD ["farm", "health", "worker"]
ENTRYPOINT ["farm"]
CMD ["worker", "render"]
