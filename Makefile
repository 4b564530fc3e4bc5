PYTHON ?= python3
BIN := .venv/bin
SOURCES := pyproject.toml constraints.txt setup.py $(wildcard src/prismrec/ops/_kernels/*.cpp src/prismrec/ops/_kernels/*.h)

.PHONY: demo test lint sanitize
demo: .venv/.demo
	$(BIN)/prismrec demo --overwrite

test: .venv/.test
	$(BIN)/pytest -n auto

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The kernels under AddressSanitizer and UndefinedBehaviorSanitizer; needs g++.
sanitize: .venv/.test
	g++ -std=c++17 -O1 -g -fno-math-errno -fno-trapping-math -fopenmp -fPIC -shared -DPER_INSTRUCTION_SET= \
		-fsanitize=address,undefined -fno-sanitize-recover=undefined \
		src/prismrec/ops/_kernels/*.cpp -o .venv/sanitized.so
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 \
		PRISMREC_KERNELS=$(CURDIR)/.venv/sanitized.so $(BIN)/pytest tests/ops/test_kernels.py tests/ops/test_topk.py

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"prismrec needs Python 3.11 or newer, for example: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv

# One stamp per set of extras, so that the demo does not install test tools.
.venv/.demo: .venv/bin/pip $(SOURCES)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,serve]'
	touch $@

.venv/.test: .venv/bin/pip $(SOURCES)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,features,hub,audio,video,serve,index,ray,report,tune,test,lint]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt musicnn # its metadata asks for TensorFlow 1
	touch $@ .venv/.demo
