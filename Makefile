# make install   set up .venv with everything, at the versions of requirements/
# make test      lint, types, import directions, tests: exactly what CI runs
# make faults    the faults of docs/reliability.md at their full size (hours), or SIZE=50 of each
# make fuzz      BYTES (10 million) random and broken bytes through every decoder
# make docs      the documentation as a site, in site/; nothing of it comes from elsewhere
# make demo      simulated cashier PCs with faults and a live page, on PORT
# make deb      dist/tillwatch_VERSION_ARCH.deb (as root; ARCH=arm64, VERSION=…); test-deb tries it in a clean Debian
# make guest    the package under a real systemd, in QEMU; GUEST=--container: systemd-nspawn, minutes instead of an hour
# make lock      renew requirements/*.txt after a change of pyproject.toml

PYTHON ?= python3
PORT ?= 8080
SIZE ?= full
BYTES ?= 10000000
GUEST ?=
ARCH ?= amd64
VERSION ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
DEB = dist/tillwatch_$(VERSION)_$(ARCH).deb
DEB_SYSTEM := debootstrap dpkg-dev binutils
GUEST_SYSTEM := qemu-system-x86 e2fsprogs systemd-container socat
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SYSTEM := mosquitto mosquitto-clients openssl libusb-1.0-0
TEST_SYSTEM := socat strace systemd tmux postgresql chromium fonts-noto-cjk

.PHONY: install test test-system lint types unit faults fuzz deb test-deb guest demo bench docs lock clean

install: $(STAMP)

$(STAMP): pyproject.toml requirements/dev.txt
	@packaging/prepare-system $(PYTHON) $(SYSTEM)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# What only the tests need: PostgreSQL and Chromium are large, and a cashier PC or a demo does without.
test-system:
	@packaging/prepare-system $(PYTHON) $(TEST_SYSTEM)

test: test-system lint types unit

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: install
	$(BIN)/mypy

# Three at a time: much of it waits, for terminals that think and for queries that come later.
unit: install test-system
	$(BIN)/pytest -n 3 --dist loadgroup --reruns 1 -rR --durations 15

faults: install
	TILLWATCH_FAULTS=$(SIZE) $(BIN)/pytest -s tests/faults

fuzz: install
	$(BIN)/python -m tests.fuzz $(BYTES)

deb: install
	@packaging/prepare-system $(PYTHON) $(DEB_SYSTEM)
	PYTHON=$(BIN)/python packaging/build-deb --arch $(ARCH) --version $(VERSION)

test-deb: deb
	TILLWATCH_DEB=$(DEB) $(BIN)/pytest -n 0 tests/packaging

guest: deb
	@packaging/prepare-system $(PYTHON) $(GUEST_SYSTEM)
	$(BIN)/python -m tests.guest $(GUEST) $(DEB)

demo: install
	@$(BIN)/tillwatch demo --port $(PORT)

bench: install
	$(BIN)/python -m bench

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir site

lock: install
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --allow-unsafe --output-file requirements/agent.txt pyproject.toml
	$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --allow-unsafe --extra usb --extra screen --output-file requirements/deb.txt pyproject.toml
	$(BIN)/pip-compile --quiet --generate-hashes --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --allow-unsafe --extra test --extra usb --extra screen --extra docs --extra demo --extra collector --output-file requirements/dev.txt pyproject.toml

clean:
	rm -rf $(VENV) build dist site *.egg-info
