PYTHON ?= python3
BIN := .venv/bin
SOURCES := pyproject.toml constraints.txt setup.py $(wildcard src/prismrec/ops/_kernels/*.cpp src/prismrec/ops/_kernels/*.h)

.PHONY: demo test lint
demo: .venv/.demo
	$(BIN)/prismrec demo

test: .venv/.test
	$(BIN)/pytest -n auto

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/bin/pip:
	$(PYTHON) -m venv .venv

# One stamp per set of extras, so that the demo does not install test tools.
.venv/.demo: .venv/bin/pip $(SOURCES)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo]'
	touch $@

.venv/.test: .venv/bin/pip $(SOURCES)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,test,lint]'
	touch $@ .venv/.demo
