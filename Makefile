# Two commands: `make demo` and `make test`. Both install what they need into .venv and are safe to repeat.
PYTHON ?= python3
EXTRAS ?= data,dev
VENV   := .venv
BIN    := $(VENV)/bin
comma  := ,
installed := $(VENV)/.installed-$(subst $(comma),-,$(EXTRAS))

.PHONY: demo test slow oldest lint format bench clean-runs help

help:
	@echo "make demo    the main jobs on real input, in under 6 minutes; ends with an HTML report in runs/demo/"
	@echo "make test    the test suite"
	@echo "make slow    the tests marked slow"
	@echo "make oldest  a few tests with the oldest versions that are supported, in an environment of their own"
	@echo "make lint    ruff, pyright and the layer contract"
	@echo "make format  ruff format and its safe fixes"
	@echo "make bench   against diffrax (compile times and the Lorenz ensemble); about 10 minutes"

demo: $(VENV)/.installed-data
	$(BIN)/duhamel demo

test: $(installed)
	$(BIN)/python -m pytest -n 2 --dist loadfile

slow: $(installed)
	$(BIN)/python -m pytest -m slow

# What a first user meets, with the lowest version of everything that pyproject.toml names.
SMOKE := $(addprefix tests/,laws/test_solve.py laws/test_train_fit.py laws/test_house_report.py errors/test_files.py \
  errors/test_runs.py errors/test_data_files.py diffusion/test_sampling.py)
OLDEST := $(VENV)/oldest

oldest: $(OLDEST)/.installed
	$(OLDEST)/bin/duhamel solve burgers --points 64 --t1 1 --runs $(OLDEST)/runs
	$(OLDEST)/bin/duhamel sample digits --runs $(OLDEST)/runs
	$(OLDEST)/bin/python -m pytest $(SMOKE)

$(OLDEST)/.installed: pyproject.toml tests/oldest.txt
	@test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	@echo "Installing the oldest versions into $(OLDEST) (a few minutes the first time) ..."
	@$(OLDEST)/bin/python -m pip install --disable-pip-version-check -c tests/oldest.txt -e ".[data]" pytest "beartype>=0.23"
	@touch $@

lint: $(installed)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

format: $(installed)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-data-bench
	$(BIN)/duhamel bench ensemble
	$(BIN)/duhamel bench compile

# The stamp is written last, so an installation that was interrupted is taken up again.
$(VENV)/.installed-%: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "duhamel needs Python 3.11 or newer; name one: make PYTHON=python3.11 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(BIN)/python -m ensurepip
	@echo "Installing duhamel[$(subst -,$(comma),$*)] into $(VENV) (a few minutes the first time) ..."
	@$(BIN)/python -m pip install --disable-pip-version-check -e ".[$(subst -,$(comma),$*)]"
	@touch $@
