.DEFAULT_GOAL := help
.PHONY: help check test format docs pins secrets images up

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  \1\t/' | expand -t 14

check:  ## ruff, mypy, the layers
	uv run --all-extras ruff check .
	uv run --all-extras ruff format --check .
	uv run --all-extras mypy
	uv run --all-extras lint-imports

test:  ## the whole suite
	uv run --all-extras pytest

format:  ## let ruff write
	uv run ruff check --fix .
	uv run ruff format .

docs:  ## docs/cli.md from the commands' own help
	uv run --all-extras python docs/cli.py

pins:  ## the newest versions of everything, as exact pins in pyproject.toml
	uv run --no-project python -m deploy.pins

secrets:  ## passwords for docker/compose.yaml, once
	uv run --no-project python -m deploy.compose

images:  ## the farm's images
	docker compose --file docker/compose.yaml --profile gpu build

up: secrets  ## a farm in containers
	docker compose --file docker/compose.yaml up --build
